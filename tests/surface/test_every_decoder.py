"""Whatever bytes come, a decoder reads them or says in our own words that it cannot; and no decoder is left out."""

import importlib
import inspect
import pkgutil
import random

import pytest
from decoders import all_decoders, changed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import valija_schemas
from valija_schemas import api, wire

DECODERS = all_decoders()
VERBS = ("read", "parse", "decode", "split", "verify_checkpoint", "verify_evidence")
#: They take something that was decoded, and a test of its own holds them to this.
ELSEWHERE = {
    "http_signature.parse": "tests/schemas/test_http_signature.py: field by field",
}


def read_and_see(row, data):
    """Read; an exception must be of a class of ours."""
    try:
        row.read(data)
    except Exception as error:  # noqa: BLE001 - any other one is what this is about
        ours = type(error).__module__.partition(".")[0] in {"valija", "valija_schemas", "valija_broker"}
        assert ours, (row.name, data, error)  # noqa: PT017 - most bytes raise, some are read


@pytest.mark.parametrize("row", DECODERS, ids=lambda row: row.name)
def test_random_bytes_raise_nothing_but_our_own_errors(row):
    for seed in row.seeds:
        row.read(seed) if row.name in GOOD else read_and_see(row, seed)

    @settings(max_examples=20, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**64) | st.binary(max_size=300))
    def any_bytes(drawn):
        if isinstance(drawn, bytes):
            read_and_see(row, drawn)
        else:
            dice = random.Random(drawn)
            read_and_see(row, changed(dice.choice(row.seeds), dice))

    any_bytes()


#: Rows whose seeds are read to the end: the changes begin from something that is accepted.
GOOD = {row.name for row in DECODERS} - {
    "message.read_note", "message.read_note signed", "evidence.verify_evidence", "checkpoint.verify_checkpoint",
    "evidence.verify_evidence signed", "witness.parse_response", "directory.Roots.extend signed",
    "shelves._entry summed",
}  # fmt: skip


def test_every_decoder_of_the_formats_is_tried():
    tried = {row.name.partition(" ")[0] for row in DECODERS} | ELSEWHERE.keys()
    found = set()
    for info in pkgutil.iter_modules(valija_schemas.__path__):
        module = importlib.import_module(f"valija_schemas.{info.name}")
        for name, value in vars(module).items():
            ours = isinstance(value, wire.Decoder | api.Decoder) or (
                inspect.isfunction(value) and value.__module__ == module.__name__ and name.startswith(VERBS)
            )
            if ours and not name.startswith("_"):
                found.add(f"{info.name}.{name}")
    assert found - tried == set()
    assert len(found) > 30
