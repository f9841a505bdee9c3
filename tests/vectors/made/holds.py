"""Holds of contact points by two operators, and their lifting: SPEC.md section 4.7."""

from typing import Any

import msgspec

from valija_schemas import hold, limits, wire
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import NOW, ORIGIN
from vectors.made import Group

A, B = field.signer("operator.a"), field.signer("operator.b")
HOUR = limits.HOUR_MS


def held(**changes: Any) -> hold.Hold:
    value = hold.Hold(
        action="hold",
        contact_point="ca.liaison",
        hold=None,
        directory=field.REFERENCE,
        time=NOW,
        until=NOW + 72 * HOUR,
        reason="sample",
    )
    return msgspec.structs.replace(value, **changes)


def lifted(raw: bytes, **changes: Any) -> hold.Hold:
    end: dict[str, Any] = {"action": "lift", "hold": notes.parse(raw).digest, "directory": None, "until": None}
    return held(**(end | changes))


def signed(value: hold.Hold | bytes, *who: notes.Ed25519Signer, origin: str = ORIGIN) -> bytes:
    return field.signed(hold.HOLD, value, *(who or (A, B)), origin=origin)


HELD = signed(held())
LIFTED = signed(lifted(HELD, time=NOW + HOUR))


def groups(_: field.Recorded) -> list[shape.Group]:
    group = Group("hold", "hold", "4.7", **field.CHAIN, earlier=[], now=NOW)
    group.accept("hold", data=HELD)
    group.accept("lift", data=LIFTED, earlier=[HELD], now=NOW + HOUR)
    _operators(group)
    _form(group)
    _times(group)
    _sequence(group)
    return [group.made]


def _operators(group: Group) -> None:
    again = notes.Ed25519Signer(B.name, field.Ed25519PrivateKey.from_private_bytes(field.seed("operator.a sign")))
    for what, value, earlier in (("hold", held(), []), ("lift", lifted(HELD), [HELD])):
        given: dict[str, Any] = {"spec": "1.4", "earlier": earlier}
        stops = "One person, or one stolen key, must not silence an office or let it go."
        group.refuse(f"{what}-by-one", stops, data=signed(value, A), **given)
        group.refuse(f"{what}-by-one-under-two-names", stops, data=signed(value, A, again), **given)
        group.refuse(f"{what}-by-one-twice", stops, data=signed(value, A, A), **given)
        stops = "Only who has the role of an operator in the newest root holds anybody."
        for name in ("officer.a", "ca.liaison", "operator.c", "operator.z"):
            other = field.signer(name)
            group.refuse(f"{what}-by-{name}", stops, data=signed(value, A, other), **given)
            group.refuse(f"{what}-beside-{name}", stops, data=signed(value, A, B, other), **given)


def _form(group: Group) -> None:
    one = "A hold has one form, and a lifting another."
    raw = wire.encode(held())
    for name, value in {
        "longer-than-72-h": held(until=NOW + 72 * HOUR + 1),
        "of-no-time": held(until=NOW),
        "without-end": held(until=None),
        "without-directory": held(directory=None),
        "naming-a-hold": held(hold=field.ANCHOR),
        "of-a-reserved-name": held(contact_point="operator.a"),
        "of-the-broker": held(contact_point="broker"),
        "of-nobody-here": held(contact_point="nobody.here"),
        "reason-empty": held(reason=""),
        "reason-of-501": held(reason="x" * 501),
        "reason-of-two-lines": held(reason="a\nb"),
        "action-unknown": raw.replace(b'"hold",', b'"keep",', 1),
        "field-unknown": raw.replace(b"}", b',"x":1}'),
        "other-order-of-fields": raw.replace(b'"action":"hold",', b"").replace(b"}", b',"action":"hold"}'),
    }.items():
        group.refuse(name, one, data=signed(value))
    for name, changes in {
        "lift-with-an-end": {"until": NOW + HOUR},
        "lift-with-a-directory": {"directory": field.REFERENCE},
        "lift-naming-no-hold": {"hold": None},
    }.items():
        group.refuse(name, one, data=signed(lifted(HELD, **changes)), earlier=[HELD])
    group.refuse("other-exchange", "Another exchange's hold.", spec="1.1", data=signed(held(), origin="test.example"))


def _times(group: Group) -> None:
    stops = "A hold must not be made out for later, nor outlast its time."
    ahead = limits.sent_ahead_max_ms
    group.accept("30-s-ahead", "Clocks differ.", data=signed(held(time=NOW + ahead)))
    group.refuse("further-ahead", stops, data=signed(held(time=NOW + ahead + 1)))
    group.accept("handed-in-late", stops, data=HELD, now=NOW + 72 * HOUR - 1)
    group.refuse("handed-in-when-it-is-over", stops, data=HELD, now=NOW + 72 * HOUR)
    other = signed(lifted(HELD, time=NOW + 72 * HOUR))
    group.refuse("lift-of-what-is-over", stops, data=other, earlier=[HELD], now=NOW + 72 * HOUR)


def _sequence(group: Group) -> None:
    renewed = "Operators must not do by one hold after the other what only officers may do."
    again = signed(held(time=NOW + HOUR, reason="again"))
    group.refuse("again-under-one-version", renewed, data=again, earlier=[HELD], now=NOW + HOUR)
    group.refuse("again-when-lifted", renewed, data=again, earlier=[HELD, LIFTED], now=NOW + HOUR)
    late = signed(held(time=NOW + 100 * HOUR, until=NOW + 101 * HOUR))
    group.refuse("again-when-over", renewed, data=late, earlier=[HELD], now=NOW + 100 * HOUR)
    group.refuse("under-another-version", renewed, data=signed(held(directory=(2, field.ANCHOR))))
    group.refuse("under-another-digest", renewed, data=signed(held(directory=(1, field.ANCHOR))))
    theirs = signed(held(contact_point="mx.enlace"))
    group.accept("of-another-contact-point", data=theirs, earlier=[HELD])
    old = "An older hold must not come back, nor an older lifting end a later hold."
    group.accept("once-more", "A lost answer: it changes nothing.", data=HELD, earlier=[HELD])
    group.refuse("once-more-when-lifted", old, data=HELD, earlier=[HELD, LIFTED])
    group.accept(
        "lift-once-more", "A lost answer: it changes nothing.", data=LIFTED, earlier=[HELD, LIFTED], now=NOW + HOUR
    )
    second = signed(lifted(HELD, reason="again"))
    group.refuse("lift-of-what-is-lifted", old, data=second, earlier=[HELD, LIFTED])
    group.refuse("lift-of-nothing", old, data=signed(lifted(HELD)))
    group.refuse("lift-of-a-lifting", old, data=signed(lifted(LIFTED)), earlier=[HELD, LIFTED])
    group.refuse("lift-of-another-s", old, data=signed(lifted(theirs)), earlier=[theirs])
