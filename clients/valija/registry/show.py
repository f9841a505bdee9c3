"""What a person reads before signing, and afterwards: who is in, what changes, and fingerprints in blocks.

Before this room: `cli`. After it: the terminal. Nothing here decides anything.
"""

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.table import Table

from valija.registry import entries
from valija.registry.admission import Kept
from valija.registry.core import Draft
from valija_schemas import keys
from valija_schemas.agreements import Bilateral, Treaty
from valija_schemas.directory import ContactPoint, Directory, Key, Root, Route, SealKey


def lines_of(label: str, digest: str) -> list[str]:
    """A digest in blocks, to be read over the telephone line by line; the label stands before the first."""
    first, *rest = keys.blocks(digest).splitlines()
    return [f"{label}{first}", *(f"{' ' * len(label)}{line}" for line in rest)]


def when(time_ms: int) -> str:
    """A time as people write it: UTC, to the minute."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def owner(state: str | None, organisation: str | None) -> str:
    """The State or the organisation that an entry belongs to."""
    return state or organisation or "?"


def point_lines(point: ContactPoint) -> list[str]:
    """A contact point with every key that it has and had, and what became of each."""
    return [
        f"contact point  {point.id}",
        f"belongs to     {owner(point.state, point.organisation)}",
        f"name           {point.name}",
        f"area           {point.area}",
        f"status         {point.status}",
        *(f"{use:14} {fingerprint(key)}  {_standing(key)}" for use, key in entries.keys_of(point)),
    ]


def request_lines(kept: Kept) -> list[str]:
    """A request with the fingerprints that officers compare by another channel."""
    request = kept.request
    return [
        f"contact point  {request.contact_point}",
        f"belongs to     {owner(request.state, request.organisation)}",
        f"name           {request.name}",
        f"area           {request.area}",
        f"made           {when(request.time)}",
        *lines_of("digest         ", kept.digest),
        f"sign           {keys.fingerprint(bytes.fromhex(request.sign))}",
        f"auth           {keys.fingerprint(bytes.fromhex(request.auth))}",
        f"seal           {keys.fingerprint(base64.b64decode(request.seal))}",
    ]


def changes(before: Root | Directory | None, after: Root | Directory) -> list[str]:
    """What `after` changes against `before`, a line each: all but its version, its dates and the digest before.

    Officers see this before they sign, so nothing that has a meaning may be missing here.
    """
    if isinstance(after, Directory):
        lines = _directory_changes(before if isinstance(before, Directory) else None, after)
    else:
        lines = _root_changes(before if isinstance(before, Root) else None, after)
    return lines or ["It changes nothing but the dates."]


def difference(a: Draft, b: Draft) -> list[str]:
    """What `b` says otherwise than `a`, two versions of one kind, for people."""
    return [
        *(f"{sign} version {one.value.version}, {_dates(one.value)}" for sign, one in (("-", a), ("+", b))),
        *changes(a.value, b.value),
    ]


def heading(draft: Draft, missing: tuple[int, int] | None) -> list[str]:
    """What a draft or note is, when it holds, who signed it, and what it still needs."""
    value = draft.value
    lines = [
        f"{draft.kind} of {draft.origin}, version {value.version}",
        *lines_of("digest   ", draft.digest),
        f"issued   {when(value.issued)}",
        f"expires  {when(value.expires)}",
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


def route_lines(routes: Iterable[Route]) -> list[str]:
    """Routes in few lines: senders with the same recipients together."""
    recipients: dict[tuple[str, str], list[str]] = {}
    for route in sorted(routes, key=lambda route: (route.type, route.sender, route.recipient)):
        recipients.setdefault((route.type, route.sender), []).append(route.recipient)
    senders: dict[tuple[str, str], list[str]] = {}
    for (type_, sender), found in recipients.items():
        senders.setdefault((type_, ", ".join(found)), []).append(sender)
    return [f"{type_}: from {', '.join(found)} to {to}" for (type_, to), found in senders.items()]


def bilateral_line(each: Bilateral) -> str:
    """A bilateral type, whose it is, and the digest by which both compare their schema's file."""
    return f"{each.type}: between {' and '.join(each.between)}, schema {each.schema}"


def treaty_line(treaty: Treaty) -> str:
    """A cell of the table of treaties, with everything that is said of it."""
    since = f" since {treaty.since}" if treaty.since else ""
    standing = f"a party{since}" if treaty.party else "no party"
    return f"{treaty.state}, {treaty.instrument}: {standing} ({treaty.source}, read {treaty.read})"


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
                owner(point.state, point.organisation),
                point.area,
                point.status,
                point.name,
                _short(point.sign),
                _short(point.seal),
            )
        console.print(points)
        console.print()
        for line in route_lines(value.routes):
            console.print(f"route {line}")
        for line in map(bilateral_line, value.bilateral):
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
    return f"issued {when(value.issued)}, expires {when(value.expires)}"


def _directory_changes(before: Directory | None, after: Directory) -> list[str]:
    old = {point.id: point for point in before.contact_points} if before else {}
    new = {point.id: point for point in after.contact_points}
    lines: list[str] = []
    for id_ in sorted(old.keys() | new.keys()):
        if id_ not in old:
            lines += _new_point(new[id_])
        elif id_ not in new:
            lines.append(f"- contact point {id_} is removed")
        else:
            lines += _point_changes(old[id_], new[id_])
    had, has = set(before.routes) if before else set[Route](), set(after.routes)
    lines += [f"+ route {line}" for line in route_lines(route for route in after.routes if route not in had)]
    lines += [f"- route {line}" for line in route_lines(route for route in had if route not in has)]
    lines += _agreement_changes(before, after)
    if before and before.root != after.root:
        lines.append(f"~ root {before.root} becomes root {after.root}")
    return lines


def _agreement_changes(before: Directory | None, after: Directory) -> list[str]:
    cells = {(treaty.state, treaty.instrument): treaty for treaty in before.treaties} if before else {}
    held = {(each.type, each.between): each for each in before.bilateral} if before else {}
    lines = []
    for treaty in after.treaties:
        was = cells.pop((treaty.state, treaty.instrument), None)
        if was != treaty:
            lines.append(f"{'~' if was else '+'} treaty {treaty_line(treaty)}")
    lines += [f"- treaty {state}, {instrument}: nothing is said of it any more" for state, instrument in cells]
    for each in after.bilateral:
        other = held.pop((each.type, each.between), None)
        if other != each:
            lines.append(f"{'~' if other else '+'} bilateral {bilateral_line(each)}")
    return lines + [f"- bilateral {bilateral_line(each)}" for each in held.values()]


def _new_point(point: ContactPoint) -> list[str]:
    said = f"{owner(point.state, point.organisation)}, {point.area}, {point.status}"
    return [
        f"+ contact point {point.id} ({said}): {point.name}",
        *(f"    {use}  {fingerprint(key)}{_ended(key)}" for use, key in entries.keys_of(point)),
    ]


def _point_changes(old: ContactPoint, new: ContactPoint) -> list[str]:
    lines = [
        f"~ {new.id}: {field} {getattr(old, field)!r} becomes {getattr(new, field)!r}"
        for field in ("state", "organisation", "name", "area", "status")
        if getattr(old, field) != getattr(new, field)
    ]
    for (use, held), (_, has) in zip(_uses(old), _uses(new), strict=True):
        was = {key.key: (key.status, key.ended) for key in held}
        for key in has:
            if key.key not in was:
                lines.append(f"~ {new.id}: new {use} key  {fingerprint(key)}{_ended(key)}")
            elif (key.status, key.ended) != was[key.key]:
                lines.append(f"~ {new.id}: {use} key {_standing(key)}  {fingerprint(key)}")
        left = {key.key for key in has}
        lines += [f"~ {new.id}: {use} key removed  {fingerprint(key)}" for key in held if key.key not in left]
        stayed = [key.key for key in has if key.key in was]
        if stayed != [key.key for key in held if key.key in left]:
            lines.append(f"~ {new.id}: {use} keys in another order; the first is  {fingerprint(has[0])}")
    return lines


def _standing(key: Key | SealKey) -> str:
    """What became of a key. The end of a retired one may lie ahead."""
    return key.status if key.ended is None else f"{key.status}, end {when(key.ended)}"


def _ended(key: Key | SealKey) -> str:
    return "" if key.status == "active" else f"  {_standing(key)}"


def _root_changes(before: Root | None, after: Root) -> list[str]:
    lines = []
    old, new = dict(_root_keys(before)) if before else {}, dict(_root_keys(after))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            lines.append(f"- {name}")
        elif name not in old:
            lines.append(f"+ {name}  {new[name]}")
        elif old[name] != new[name]:
            lines.append(f"~ {name} becomes  {new[name]}")
    if before is None or before.threshold != after.threshold:
        need = after.threshold
        lines.append(f"~ {need.keys} officers of {need.organisations} organisations must sign")
    if before is None or before.quorum != after.quorum:
        lines.append(f"~ {after.quorum} witnesses make a proof complete")
    return lines


def _root_keys(root: Root) -> Iterable[tuple[str, str]]:
    for officer in root.officers:
        yield f"{officer.id} ({officer.organisation})", keys.fingerprint(bytes.fromhex(officer.key))
    for operator in root.operators:
        yield f"{operator.id} ({', '.join(operator.roles)})", keys.fingerprint(bytes.fromhex(operator.key))
    for witness in root.witnesses:
        yield f"witness {witness.name}", keys.fingerprint(bytes.fromhex(witness.key))
    for name, key in root.broker.named():
        yield name, keys.fingerprint(bytes.fromhex(key))


def _uses(point: ContactPoint) -> list[tuple[str, Sequence[Key | SealKey]]]:
    return [("sign", point.sign), ("seal", point.seal), ("auth", point.auth)]


def fingerprint(key: Key | SealKey) -> str:
    """A key of the directory in blocks of four."""
    return keys.fingerprint(key.public if isinstance(key, SealKey) else bytes.fromhex(key.key))


def _short(held: Sequence[Key | SealKey]) -> str:
    return fingerprint(held[0])[:9]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
