"""What it takes to validate a document: ours, with every rule, and a JSON Schema validator beside it."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import jsonschema_rs
import msgspec

from bench.figures import Aim, Run, benchmark
from valija_schemas import documents
from valija_schemas.documents import rules, schema

EXAMPLES: Final = Path(__file__).parents[2] / "schemas/examples"


@benchmark("documents.validate")
async def validate(run: Run) -> None:
    """The examples, one a type, from bytes to a verdict: processor time of one core, in turn within each repetition.

    Ours (`documents.decode`) reads, keeps the one spelling, and asks every rule and check digit. jsonschema-rs is
    given what msgspec reads of the same bytes without a type, and knows the schema alone.
    """
    calls = {type_: _calls(type_) for type_ in documents.types()}
    # Of each way: of each repetition: of each type, microseconds.
    taken: dict[str, list[list[float]]] = {name: [] for name in calls["response/1"]}
    for _ in range(7 if run.long else 5):
        for name, repetitions in taken.items():
            repetitions.append([_microseconds(ways[name]) for ways in calls.values()])
    for number, type_ in enumerate(calls):
        for name in ("decode", "jsonschema-rs"):
            run.add(f"{type_}, {name}", "us", [repetition[number] for repetition in taken[name]])
    for name, repetitions in taken.items():
        aim = Aim("<=", 20) if name == "decode" else None
        run.add(f"median of the types, {name}", "us", [statistics.median(each) for each in repetitions], aim)


def _calls(type_: str) -> dict[str, Callable[[], object]]:
    known = documents.types()[type_]
    data = (EXAMPLES / schema.file_name(known)).read_bytes()
    found = documents.decode(type_, data)
    decoder = msgspec.json.Decoder(known.struct)
    validator = jsonschema_rs.validator_for(documents.json_schema(type_))
    return {
        "decode": lambda: documents.decode(type_, data),
        "jsonschema-rs": lambda: validator.is_valid(msgspec.json.decode(data)),
        "reading by msgspec, with patterns": lambda: decoder.decode(data),
        "rules and check digits": lambda: rules.kept(found),
    }


def _microseconds(call: Callable[[], object], times: int = 400) -> float:
    call()
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6
