"""What a root or a directory says, and changes against the one before, in words that people read before they sign it.

Officers see these lines before they sign; whoever publishes at the broker, and whoever looks at its versions, sees the
same. So nothing that has a meaning may be missing here. Pure. SPEC.md section 4.

Before this room: nothing. After it: `valija.registry.show`, `valija_broker.console`, `valija_broker.observe.versions`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from valija_schemas import keys
from valija_schemas.agreements import Bilateral, Treaty
from valija_schemas.directory import ContactPoint, Directory, Key, Root, Route, SealKey

_calendar_max: Final = 253_402_300_799_999  #: The end of 9999; protocol times may be later.


def changes(before: Root | Directory | None, after: Root | Directory) -> list[str]:
    """What `after` changes against `before`, a line each: all but its version, its dates and the digest before.

    Officers see this before they sign, so nothing that has a meaning may be missing here.
    """
    if isinstance(after, Directory):
        lines = _directory_changes(before if isinstance(before, Directory) else None, after)
    else:
        lines = _root_changes(before if isinstance(before, Root) else None, after)
    return lines or ["It changes nothing but the dates."]


def when(time_ms: int) -> str:
    """A time as people write it: UTC, to the minute; a number where no calendar has it."""
    if time_ms > _calendar_max:
        return f"{time_ms} ms"
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def owner(state: str | None, organisation: str | None) -> str:
    """The State or the organisation that an entry belongs to."""
    return state or organisation or "?"


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


def keys_of(point: ContactPoint) -> list[tuple[str, Key | SealKey]]:
    """Every key of a contact point, with its use."""
    found: list[tuple[str, Key | SealKey]] = [("sign", key) for key in point.sign]
    found += [("seal", key) for key in point.seal]
    return found + [("auth", key) for key in point.auth]


def fingerprint(key: Key | SealKey) -> str:
    """A key of the directory in blocks of four."""
    return keys.fingerprint(key.public if isinstance(key, SealKey) else bytes.fromhex(key.key))


def standing(key: Key | SealKey) -> str:
    """What became of a key. The end of a retired one may lie ahead."""
    return key.status if key.ended is None else f"{key.status}, end {when(key.ended)}"


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
        *(f"    {use}  {fingerprint(key)}{_ended(key)}" for use, key in keys_of(point)),
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
                lines.append(f"~ {new.id}: {use} key {standing(key)}  {fingerprint(key)}")
        left = {key.key for key in has}
        lines += [f"~ {new.id}: {use} key removed  {fingerprint(key)}" for key in held if key.key not in left]
        stayed = [key.key for key in has if key.key in was]
        if stayed != [key.key for key in held if key.key in left]:
            lines.append(f"~ {new.id}: {use} keys in another order; the first is  {fingerprint(has[0])}")
    return lines


def _ended(key: Key | SealKey) -> str:
    return "" if key.status == "active" else f"  {standing(key)}"


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
