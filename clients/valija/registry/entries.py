"""What officers change in a directory: contact points, their keys and status, and the routes. Values in, values out.

The promise: a key that ended never becomes active again, and no change undoes what officers decided before.

Before this room: `folder`, `cli_points`. After it: `core`, which makes the text to sign. Rules: schemas/SPEC.md
sections 1.6, 4.2 and 4.6.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal, TypeVar

import msgspec

from valija.errors import RegistryError
from valija.registry import core
from valija_schemas import changes
from valija_schemas.directory import Area, ContactPoint, Key, Request, Route, SealKey

K = TypeVar("K", Key, SealKey)
Status = Literal["active", "suspended", "withdrawn"]

overlap_days_default: Final = 7  #: A retired key ends that long after its draft: time for the officers to publish it.

_BEFORE: Final[dict[Status, tuple[Status, ...]]] = {
    "suspended": ("active",),
    "active": ("suspended",),
    "withdrawn": ("active", "suspended"),
}  #: What a status may follow.


def entry(request: Request) -> ContactPoint:
    """The entry of a contact point that was not there before."""
    return ContactPoint(
        id=request.contact_point,
        state=request.state,
        organisation=request.organisation,
        name=request.name,
        area=request.area,
        status="active",
        sign=(Key(key=request.sign, status="active", ended=None),),
        seal=(SealKey(key=request.seal, status="active", ended=None),),
        auth=(Key(key=request.auth, status="active", ended=None),),
    )


def with_request(points: Sequence[ContactPoint], request: Request, ends_ms: int) -> tuple[ContactPoint, ...]:
    """The entries with this one added, or with its new keys first and the ones they replace retired, to end then.

    Until `ends_ms` the replaced keys sign, so that nothing is void that was signed between the draft and the day that
    it is published. A suspended contact point stays suspended: new keys do not lift what officers decided. One that
    had withdrawn is back.
    """
    fresh = entry(request)
    others = [point for point in points if point.id != fresh.id]
    for old in points:
        if old.id == fresh.id:
            fresh = msgspec.structs.replace(
                fresh,
                status="active" if old.status == "withdrawn" else old.status,
                sign=_replaced(fresh.sign[0], old.sign, ends_ms),
                seal=_replaced(fresh.seal[0], old.seal, ends_ms),
                auth=_replaced(fresh.auth[0], old.auth, ends_ms),
            )
    return (*others, fresh)


def with_status(points: Sequence[ContactPoint], id_: str, status: Status, ends_ms: int) -> tuple[ContactPoint, ...]:
    """The entries with the status of one changed. Whoever withdraws leaves no key in force: all retire, to end then.

    Raises:
        RegistryError: there is no such contact point, or it cannot come to `status` from what it is.
    """
    point = find(points, id_)
    if point.status not in _BEFORE[status]:
        raise RegistryError(
            f"{id_} is {point.status}, and cannot become {status}",
            hint=f"Who withdrew comes back with new keys: `valija-registry admit {id_}.request`."
            if point.status == "withdrawn"
            else "Nothing was changed.",
        )
    changed = msgspec.structs.replace(point, status=status)
    if status == "withdrawn":
        active = [key.key for _, key in changes.keys_of(point) if key.status == "active"]
        changed = _end_keys(changed, active, "retired", ends_ms)
    return _with(points, changed)


def with_retired(points: Sequence[ContactPoint], id_: str, public: str, ends_ms: int) -> tuple[ContactPoint, ...]:
    """The entries with one key of one contact point retired: what it signs before `ends_ms` stays good.

    Raises:
        RegistryError: there is no such contact point, or this is no key of it that is active.
    """
    return _with_ended(points, id_, [public], "retired", ends_ms, ("active",))


def with_revoked(
    points: Sequence[ContactPoint], id_: str, publics: Sequence[str], now_ms: int
) -> tuple[ContactPoint, ...]:
    """The entries with keys of one contact point revoked: nothing verifies under them any more, whenever signed.

    Raises:
        RegistryError: there is no such contact point, or one of these is no key of it, or was revoked before.
    """
    return _with_ended(points, id_, publics, "revoked", now_ms, ("active", "retired"))


def overlapping(
    points: Iterable[ContactPoint], before: Iterable[ContactPoint], ends_ms: int
) -> tuple[ContactPoint, ...]:
    """The entries of a draft that waited: keys that it retires, active `before`, end at `ends_ms` at the earliest."""
    active = {key.key for point in before for _, key in changes.keys_of(point) if key.status == "active"}

    def late(key: K) -> K:
        ends = key.ended if key.status == "retired" and key.key in active else None
        return key if ends is None else msgspec.structs.replace(key, ended=max(ends, ends_ms))

    return tuple(
        msgspec.structs.replace(
            point,
            sign=tuple(late(key) for key in point.sign),
            seal=tuple(late(key) for key in point.seal),
            auth=tuple(late(key) for key in point.auth),
        )
        for point in points
    )


def find(points: Iterable[ContactPoint], id_: str) -> ContactPoint:
    """The entry of a contact point.

    Raises:
        RegistryError: there is none.
    """
    for point in points:
        if point.id == id_:
            return point
    raise RegistryError(f"there is no contact point {id_}", hint="`valija-registry show` lists them.")


def with_route(routes: Iterable[Route], added: Iterable[Route]) -> tuple[Route, ...]:
    """The routes with others added.

    Raises:
        RegistryError: all of them are there.
    """
    before = core.in_order(routes)
    after = core.in_order((*before, *added))
    if after == before:
        raise RegistryError("this is allowed already", hint="Nothing was changed; see `valija-registry route show`.")
    return after


def without_route(
    routes: Iterable[Route], type_: str, senders: Sequence[Area], recipients: Sequence[Area]
) -> tuple[Route, ...]:
    """The routes without those of `type_` from one of `senders` to one of `recipients`.

    Raises:
        RegistryError: there is no such route.
    """
    before = core.in_order(routes)
    gone = [(type_, sender, recipient) for sender in senders for recipient in recipients]
    after = tuple(route for route in before if (route.type, route.sender, route.recipient) not in gone)
    if after == before:
        raise RegistryError("there is no such route", hint="Nothing was changed; see `valija-registry route show`.")
    return after


def _with_ended(
    points: Sequence[ContactPoint],
    id_: str,
    publics: Collection[str],
    status: Literal["retired", "revoked"],
    ends_ms: int,
    before: Collection[str],
) -> tuple[ContactPoint, ...]:
    point = find(points, id_)
    fit = {key.key for _, key in changes.keys_of(point) if key.status in before}
    if not publics or not fit.issuperset(publics):
        raise RegistryError(
            f"{id_} has no such key that could still be {status}",
            hint=f"`valija-registry show --point {id_}` shows its keys, each with what became of it.",
        )
    return _with(points, _end_keys(point, publics, status, ends_ms))


def _with(points: Iterable[ContactPoint], changed: ContactPoint) -> tuple[ContactPoint, ...]:
    return tuple(changed if point.id == changed.id else point for point in points)


def _end_keys(
    point: ContactPoint, publics: Collection[str], status: Literal["retired", "revoked"], ends_ms: int
) -> ContactPoint:
    def ended(key: K) -> K:
        return msgspec.structs.replace(key, status=status, ended=ends_ms) if key.key in publics else key

    return msgspec.structs.replace(
        point,
        sign=tuple(ended(key) for key in point.sign),
        seal=tuple(ended(key) for key in point.seal),
        auth=tuple(ended(key) for key in point.auth),
    )


def _replaced(fresh: K, old: Sequence[K], ends_ms: int) -> tuple[K, ...]:
    held = [fresh]
    for key in old:
        if key.key != fresh.key:
            ends = key.status == "active"
            held.append(msgspec.structs.replace(key, status="retired", ended=ends_ms) if ends else key)
    return tuple(held)
