"""What a person reads before signing, and afterwards: who is in, what changes, and fingerprints in blocks.

Before this room: `cli`. After it: `valija_schemas.changes`, the terminal. Nothing here decides anything.
"""

import base64
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from valija.registry.admission import Kept
from valija.registry.core import Draft
from valija_schemas import changes, keys
from valija_schemas.agreements import Treaty
from valija_schemas.directory import ContactPoint, Directory, Key, Root, SealKey


def lines_of(label: str, digest: str) -> list[str]:
    """A digest in blocks, to be read over the telephone line by line; the label stands before the first."""
    first, *rest = keys.blocks(digest).splitlines()
    return [f"{label}{first}", *(f"{' ' * len(label)}{line}" for line in rest)]


def point_lines(point: ContactPoint) -> list[str]:
    """A contact point with every key that it has and had, and what became of each."""
    return [
        f"contact point  {point.id}",
        f"belongs to     {changes.owner(point.state, point.organisation)}",
        f"name           {point.name}",
        f"area           {point.area}",
        f"status         {point.status}",
        *(f"{use:14} {changes.fingerprint(key)}  {changes.standing(key)}" for use, key in changes.keys_of(point)),
    ]


def request_lines(kept: Kept) -> list[str]:
    """A request with the fingerprints that officers compare by another channel."""
    request = kept.request
    return [
        f"contact point  {request.contact_point}",
        f"belongs to     {changes.owner(request.state, request.organisation)}",
        f"name           {request.name}",
        f"area           {request.area}",
        f"made           {changes.when(request.time)}",
        *lines_of("digest         ", kept.digest),
        f"sign           {keys.fingerprint(bytes.fromhex(request.sign))}",
        f"auth           {keys.fingerprint(bytes.fromhex(request.auth))}",
        f"seal           {keys.fingerprint(base64.b64decode(request.seal))}",
    ]


def difference(a: Draft, b: Draft) -> list[str]:
    """What `b` says otherwise than `a`, two versions of one kind, for people."""
    return [
        *(f"{sign} version {one.value.version}, {_dates(one.value)}" for sign, one in (("-", a), ("+", b))),
        *changes.changes(a.value, b.value),
    ]


def heading(draft: Draft, missing: tuple[int, int] | None) -> list[str]:
    """What a draft or note is, when it holds, who signed it, and what it still needs."""
    value = draft.value
    lines = [
        f"{draft.kind} of {draft.origin}, version {value.version}",
        *lines_of("digest   ", draft.digest),
        f"issued   {changes.when(value.issued)}",
        f"expires  {changes.when(value.expires)}",
        f"signed   {', '.join(line.name for line in draft.signatures) or 'by nobody'}",
    ]
    if missing is not None:
        lines.append(f"missing  {missing_words(missing)}")
    return lines


def missing_words(missing: tuple[int, int]) -> str:
    """How many signatures are missing, in words."""
    count, organisations = missing
    if not count and not organisations:
        return "nothing: it can be published"
    wanted = max(count, organisations)
    words = f"{wanted} more signature{'s' if wanted > 1 else ''}"
    return (
        f"{words}, of {organisations} other organisation{'s' if organisations > 1 else ''}" if organisations else words
    )


def treaty_table(treaties: Iterable[Treaty]) -> Table:
    """The cells of the table of treaties, one a line."""
    table = _table("State", "treaty", "party", "since", "read", "source")
    for treaty in treaties:
        standing = "yes" if treaty.party else "no"
        table.add_row(treaty.state, treaty.instrument, standing, treaty.since or "", treaty.read, treaty.source)
    return table


def print_value(console: Console, value: Root | Directory) -> None:
    """The entries of a root or directory as tables."""
    if isinstance(value, Directory):
        points = _table("contact point", "belongs to", "area", "status", "name", "sign", "seal")
        for point in value.contact_points:
            points.add_row(
                point.id,
                changes.owner(point.state, point.organisation),
                point.area,
                point.status,
                point.name,
                _short(point.sign),
                _short(point.seal),
            )
        console.print(points)
        console.print()
        for line in changes.route_lines(value.routes):
            console.print(f"route {line}")
        for line in map(changes.bilateral_line, value.bilateral):
            console.print(f"bilateral {line}")
        if value.treaties:
            console.print()
            console.print(treaty_table(value.treaties))
        return
    people = _table("id", "organisation or roles", "key")
    for officer in value.officers:
        people.add_row(officer.id, officer.organisation, keys.fingerprint(bytes.fromhex(officer.key)))
    for operator in value.operators:
        people.add_row(operator.id, ", ".join(operator.roles), keys.fingerprint(bytes.fromhex(operator.key)))
    for name, key in value.broker.named():
        people.add_row(name, "", keys.fingerprint(bytes.fromhex(key)))
    for witness in value.witnesses:
        people.add_row(f"witness {witness.name}", "", keys.fingerprint(bytes.fromhex(witness.key)))
    console.print(people)


def as_json(draft: Draft, missing: tuple[int, int] | None) -> str:
    """Everything that `show` says, for programs."""
    value = {
        "kind": draft.kind,
        "origin": draft.origin,
        "digest": draft.digest,
        "signed": [line.name for line in draft.signatures],
        "missing": None if missing is None else {"keys": missing[0], "organisations": missing[1]},
        "value": draft.value,
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _dates(value: Root | Directory) -> str:
    return f"issued {changes.when(value.issued)}, expires {changes.when(value.expires)}"


def _short(held: Sequence[Key | SealKey]) -> str:
    return changes.fingerprint(held[0])[:9]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
