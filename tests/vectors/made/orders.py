"""Orders of operators: SPEC.md sections 1.4 and 5.4."""

from typing import Any

import msgspec

from valija_schemas import limits, order, wire
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import NOW, ORIGIN
from vectors.made import Group

A, B = field.signer("operator.a"), field.signer("operator.b")


def action(name: str = "replay", **changes: Any) -> order.Action:
    value = order.Action(
        action=name,  # type: ignore[arg-type]
        message=field.ANCHOR,
        contact_point="ca.liaison",
        time=NOW,
        reason="sample",
    )
    return msgspec.structs.replace(value, **changes)


def signed(value: order.Action | bytes, *who: notes.Ed25519Signer, origin: str = ORIGIN) -> bytes:
    return field.signed(order.ACTION, value, *(who or (A,)), origin=origin)


def groups(_: field.Recorded) -> list[shape.Group]:
    held = {"origin": ORIGIN, "anchor": field.ANCHOR, "held": [field.ROOT_1]}
    group = Group("order", "order", "5.4", **held, now=NOW)
    group.accept("replay", data=signed(action()))
    group.accept("replay-by-two", "A second operator may stand behind it.", data=signed(action(), A, B))
    _named(group)
    _operators(group)
    _form(group)
    stops = "An order must not be kept for later."
    age, ahead = limits.order_age_max_ms, limits.sent_ahead_max_ms
    group.accept("72-h-old", stops, data=signed(action(time=NOW - age + 1)))
    group.refuse("older", stops, data=signed(action(time=NOW - age)))
    group.accept("30-s-ahead", "Clocks differ.", data=signed(action(time=NOW + ahead)))
    group.refuse("further-ahead", stops, data=signed(action(time=NOW + ahead + 1)))
    return [group.made]


def _named(group: Group) -> None:
    """What each action names, and how many operators it takes."""
    message, point, both = {"contact_point": None}, {"message": None}, dict[str, None]()
    neither = {**message, **point}
    open_ = "An order must not leave open what it is about, or be read as being about two things."
    one = "What destroys, or lets something be destroyed, takes two people."
    for name, operators, taken in (
        ("replay", (A,), (both,)),
        ("discard", (A, B), (both,)),
        ("retain", (A,), (message, point)),
        ("release", (A, B), (message, point)),
        ("erase", (A, B), (message,)),
    ):
        spelled = {"both": both, "message": message, "contact-point": point, "neither": neither}
        for what, changes in spelled.items():
            expect = "accept" if changes in taken else "refused"
            group.add(f"{name}-naming-{what}", expect, open_, data=signed(action(name, **changes), *operators))
            if changes in taken and len(operators) == 2:
                group.refuse(f"{name}-naming-{what}-by-one", one, data=signed(action(name, **changes)))


def _operators(group: Group) -> None:
    discard = action("discard")
    stops = "One person must not lose a message."
    again = notes.Ed25519Signer(B.name, field.Ed25519PrivateKey.from_private_bytes(field.seed("operator.a sign")))
    group.refuse("discard-by-one-under-two-names", stops, data=signed(discard, A, again))
    group.refuse("discard-by-one-twice", stops, spec="1.1", data=signed(discard, A, A))
    text = notes.parse(signed(discard)).text
    forged = notes.write_line(notes.Signature(B.name, notes.key_id(B.name, B.public), bytes(64)))
    group.refuse("discard-with-a-forged-line", stops, data=text + b"\n" + notes.signature_line(A, text) + forged)
    stops = "Only who has the role of an operator in the root orders anything."
    for name in ("officer.a", "mx.enlace", "operator.c", "operator.z"):
        group.refuse(f"by-{name}", stops, spec="1.4", data=signed(action(), field.signer(name)))
        beside = "A line of anybody else spoils an order."
        group.refuse(f"beside-{name}", beside, spec="1.4", data=signed(action(), A, field.signer(name)))
    group.refuse("by-the-broker", stops, spec="1.4", data=signed(action(), field.signer("broker", "evidence")))


def _form(group: Group) -> None:
    one = "An order has one form."
    for name, value in {
        "reason-empty": action(reason=""),
        "reason-of-501": action(reason="x" * 501),
        "reason-of-two-lines": action(reason="a\nb"),
        "message-no-digest": action(message="1"),
        "contact-point-upper-case": action(contact_point="CA.liaison"),
        "action-unknown": wire.encode(action()).replace(b'"replay"', b'"hide"'),
        "field-unknown": wire.encode(action()).replace(b"}", b',"x":1}'),
    }.items():
        group.refuse(name, one, data=signed(value))
    group.accept("reason-of-500", one, data=signed(action(reason="x" * 500)))
    group.refuse(
        "other-exchange", "Another exchange's order.", spec="1.1", data=signed(action(), origin="test.example")
    )
