"""The closed shape of a vector file: what a case may hold, and what each reader is given. schemas/vectors/README.md.

A key, a reader, an input or an outcome class that this page does not know is an error, never skipped: a vector that
nobody runs shows nothing.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

FORMAT: Final = "valija/vectors/v1"
FOLDER: Final = Path(__file__).parents[2] / "schemas/vectors"

_REFUSED: Final = frozenset({"refused"})
_CODES: Final = frozenset(
    {
        *("malformed", "too-large", "wrong-exchange", "unverified", "expired", "sent-in-the-future", "too-old"),
        *("suspended", "directory-expired", "attachments-not-accepted", "unknown-directory", "stale-directory"),
        *("unknown-type", "unknown-recipient", "route-not-allowed", "keys-mismatch", "body-mismatch", "body-shape"),
    }
)


class Read(msgspec.Struct, frozen=True):
    """A reader: what it is given, and what may come of it beside `accept`."""

    inputs: Mapping[str, str]  #: Name to type: bytes, text, number, notes (a list of bytes), texts (a list of text).
    refusals: frozenset[str] = _REFUSED


_CHAIN: Final = {"origin": "text", "anchor": "text", "held": "notes"}

READS: Final[Mapping[str, Read]] = {
    "note": Read({"origin": "text", "kind": "text", "data": "bytes"}),
    "erasure": Read({"origin": "text", "data": "bytes"}),
    "submit": Read({**_CHAIN, "note": "bytes", "body": "bytes", "now": "number"}, _CODES),
    "receive": Read(
        {**_CHAIN, "me": "text", "seal_key": "text", "note": "bytes", "body": "bytes", "now": "number"},
        frozenset({"unverifiable", "not-for-us", "cannot-open", "schema", "unknown-type", "local-fault"}),
    ),
    "shape": Read({"recipients": "number", "body": "bytes"}),
    "acceptance": Read({**_CHAIN, "note": "bytes", "data": "bytes"}),
    "receipt": Read({**_CHAIN, "note": "bytes", "data": "bytes"}),
    "event": Read({"origin": "text", "data": "bytes"}),
    "chain": Read({**_CHAIN, "data": "bytes"}),
    "sending": Read({**_CHAIN, "data": "bytes", "now": "number"}),
    "request": Read({**_CHAIN, "admitted": "notes", "data": "bytes"}),
    "ed25519-key": Read({"key": "text"}),
    "ed25519-signature": Read({"key": "text", "signature": "text", "data": "bytes"}),
    "seal-key": Read({"data": "bytes"}),
    "challenge": Read({"seal_key": "text", "data": "bytes"}),
    "http-request": Read(
        {"authorities": "texts", "key": "text", "request": "bytes", "body": "bytes", "now": "number"},
        frozenset({"not-signed"}),
    ),
    "event-leaf": Read({"salt": "text", "data": "bytes"}),
    "directory-leaf": Read({"digest": "text"}),
    "checkpoint": Read({**_CHAIN, "data": "bytes"}, frozenset({"refused", "unwitnessed"})),
    "proof": Read({**_CHAIN, "leaf": "text", "data": "bytes"}, frozenset({"refused", "unwitnessed"})),
    "order": Read({**_CHAIN, "data": "bytes", "now": "number"}),
    "session": Read({**_CHAIN, "address": "text", "drawn": "texts", "data": "bytes", "now": "number"}),
    "hold": Read({**_CHAIN, "earlier": "notes", "data": "bytes", "now": "number"}),
}


class VectorError(ValueError):
    """A vector file is not in its shape; the text says where."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One case as a file has it."""

    id: str
    stops: str  #: One sentence: which attack or mistake the rule stops.
    spec: str  #: Section of SPEC.md.
    input: dict[str, Any]
    expect: str  #: `accept`, or an outcome class of SPEC.md section 6.1.
    output: str | None = None  #: What an accepting reader gets: the reader's page says of what.
    provenance: str


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cases of one reader that share inputs."""

    read: str
    given: dict[str, Any]
    cases: list[Case]


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file."""

    format: str
    topic: str
    groups: list[Group]


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """One case with everything that its reader is given, decoded."""

    id: str
    read: str
    inputs: dict[str, Any]
    expect: str
    output: str | None


def spell(data: bytes) -> Any:
    """`data` as a vector file spells it: text where it is text, long runs of one character as a repetition."""
    parts: list[Any] = []
    end = 0
    for run in re.finditer(rb"([ -~])\1{999,}", data):
        parts += [_spell(data[end : run.start()])] if run.start() > end else []
        parts.append({"repeat": run[1].decode(), "times": run.end() - run.start()})
        end = run.end()
    if end < len(data) or not parts:
        parts.append(_spell(data[end:]))
    return parts[0] if len(parts) == 1 else parts


def read_bytes(value: Any) -> bytes:
    """The bytes that a vector file spells.

    Raises:
        VectorError: it is none of the spellings.
    """
    match value:
        case str():
            return value.encode()
        case {"base64": str(text)} if len(value) == 1:
            return base64.b64decode(text, validate=True)
        case {"repeat": str(text), "times": int(times)} if len(value) == 2:
            return text.encode() * times
        case [*parts]:
            return b"".join(map(read_bytes, parts))
        case _:
            raise VectorError(f"{str(value)[:60]} spells no bytes")


def read(raw: bytes) -> list[Vector]:
    """Every case of a vector file.

    Raises:
        VectorError: it is not in the closed shape.
    """
    try:
        file = msgspec.json.decode(raw, type=File)
    except msgspec.MsgspecError as error:
        raise VectorError(str(error)) from None
    if file.format != FORMAT:
        raise VectorError(f"the format is {file.format}")
    return [_vector(group, case) for group in file.groups for case in group.cases]


def read_all(folder: Path = FOLDER) -> Iterator[Vector]:
    """Every case of every file; an id stands once in all of them.

    Raises:
        VectorError: see `read`.
    """
    found = [vector for path in sorted(folder.glob("*.json")) for vector in read(path.read_bytes())]
    twice = [id_ for id_, times in Counter(vector.id for vector in found).items() if times > 1]
    if twice:
        raise VectorError(f"these ids stand twice: {twice}")
    yield from found


def write(file: File) -> bytes:
    """The file as it is kept: ASCII, so that no editor changes what nobody sees."""
    return json.dumps(msgspec.to_builtins(file), indent=1).encode() + b"\n"


def _spell(data: bytes) -> Any:
    text = data.decode(errors="replace")
    plain = text.encode() == data and text.replace("\n", "").isprintable()
    return text if plain else {"base64": base64.b64encode(data).decode()}


def _vector(group: Group, case: Case) -> Vector:
    where = f"{group.read}, {case.id}"
    reader = READS.get(group.read)
    if reader is None:
        raise VectorError(f"{where}: no such reader")
    if case.expect != "accept" and case.expect not in reader.refusals:
        raise VectorError(f"{where}: this reader has no outcome class {case.expect}")
    if case.expect != "accept" and case.output is not None:
        raise VectorError(f"{where}: what is refused has no output")
    if not all((case.id, case.stops.endswith("."), case.spec, case.provenance)):
        raise VectorError(f"{where}: a case has an id, a sentence, a section and a provenance")
    inputs = {**group.given, **case.input}
    if inputs.keys() != reader.inputs.keys():
        raise VectorError(f"{where}: the inputs are not {sorted(reader.inputs)}")
    return Vector(
        id=case.id,
        read=group.read,
        inputs={name: _input(value, reader.inputs[name], where) for name, value in inputs.items()},
        expect=case.expect,
        output=case.output,
    )


def _input(value: Any, type_: str, where: str) -> Any:
    match type_, value:
        case ("bytes", _):
            return read_bytes(value)
        case ("notes", [*parts]):
            return [read_bytes(part) for part in parts]
        case ("text", str()) | ("number", int()):
            return value
        case ("texts", [*parts]) if all(isinstance(part, str) for part in parts):
            return value
    raise VectorError(f"{where}: {str(value)[:60]} is no {type_}")
