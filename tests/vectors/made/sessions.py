"""Signing in at the broker's console: SPEC.md section 5.6."""

from typing import Any

import msgspec

from valija_schemas import limits, session, wire
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import NOW, ORIGIN
from vectors.made import Group

A = field.signer("operator.a")
ADDRESS = "https://console.exchange.example"
DRAWN = "q8TfZ0cXv5l2mB7rJ1wYkS9dHn3Ea6Ux_Gp4Ot-LiQAAAGh0dJ0vAw"
OTHER = "x" + DRAWN[1:]


def sign_in(**changes: Any) -> session.SignIn:
    value = session.SignIn(operator="operator.a", address=ADDRESS, challenge=DRAWN, time=NOW)
    return msgspec.structs.replace(value, **changes)


def signed(value: session.SignIn | bytes, *who: notes.Ed25519Signer, origin: str = ORIGIN) -> bytes:
    return field.signed(session.SESSION, value, *(who or (A,)), origin=origin)


def groups(_: field.Recorded) -> list[shape.Group]:
    group = Group("session", "session", "5.6", **field.CHAIN, address=ADDRESS, drawn=[DRAWN], now=NOW)
    group.accept("session", data=signed(sign_in()))
    for name in ("operator.b", "operator.c"):
        group.accept(f"by-{name}", "Every role signs in.", data=signed(sign_in(operator=name), field.signer(name)))
    _who(group)
    _what(group)
    _form(group)
    return [group.made]


def _who(group: Group) -> None:
    stops = "Nobody is let in as somebody else, or whom the root does not name."
    for name in ("operator.b", "officer.a", "ca.liaison", "operator.z"):
        group.refuse(f"signed-by-{name}", stops, spec="1.4", data=signed(sign_in(), field.signer(name)))
    for name in ("officer.a", "ca.liaison", "operator.z"):
        group.refuse(f"in-the-name-of-{name}", stops, data=signed(sign_in(operator=name), field.signer(name)))
    group.refuse("beside-another", stops, spec="1.4", data=signed(sign_in(), A, field.signer("operator.b")))
    group.refuse("twice", stops, spec="1.4", data=signed(sign_in(), A, A))
    group.refuse("unsigned", stops, spec="1.4", data=field.signed(session.SESSION, sign_in()))
    renamed = notes.Ed25519Signer(
        f"{ORIGIN}/operator.b", field.Ed25519PrivateKey.from_private_bytes(field.seed("operator.a sign"))
    )
    group.refuse("under-another-name", stops, spec="1.4", data=signed(sign_in(), renamed))


def _what(group: Group) -> None:
    relay = "A console that is false must not pass a sign-in on to the true one."
    for name, address in {
        "of-another-host": "https://console.evil.example",
        "of-another-scheme": "http://console.exchange.example",
        "of-another-port": ADDRESS + ":8443",
        "of-the-usual-port": ADDRESS + ":443",
    }.items():
        group.refuse(name, relay, data=signed(sign_in(address=address)))
    group.refuse("at-another-address", relay, address="https://other.example", data=signed(sign_in()))
    replay = "A sign-in that was seen must not be used again."
    group.refuse("challenge-of-another", replay, data=signed(sign_in(challenge=OTHER)))
    group.refuse("challenge-answered", replay, drawn=[], data=signed(sign_in()))
    group.accept("one-of-two-challenges", "Two commands at once.", drawn=[OTHER, DRAWN], data=signed(sign_in()))
    old = "What was signed for another day is not kept for later."
    back, ahead = session.challenge_ms + limits.signature_skew_max_ms, limits.signature_skew_max_ms
    group.accept("150-s-back", "Clocks differ.", data=signed(sign_in(time=NOW - back)))
    group.refuse("further-back", old, data=signed(sign_in(time=NOW - back - 1)))
    group.accept("30-s-ahead", "Clocks differ.", data=signed(sign_in(time=NOW + ahead)))
    group.refuse("further-ahead", old, data=signed(sign_in(time=NOW + ahead + 1)))


def _form(group: Group) -> None:
    one = "A sign-in has one form."
    raw = wire.encode(sign_in())
    for name, value in {
        "address-with-a-path": sign_in(address=ADDRESS + "/"),
        "address-in-capitals": sign_in(address="https://Console.exchange.example"),
        "address-of-another-kind": sign_in(address="ftp://console.exchange.example"),
        "challenge-of-21": sign_in(challenge="A" * 21),
        "challenge-of-129": sign_in(challenge="A" * 129),
        "challenge-of-other-letters": sign_in(challenge="A" * 53 + "+"),
        "field-unknown": raw.replace(b"}", b',"x":1}'),
        "field-missing": raw.replace(b'"address":"https://console.exchange.example",', b""),
        "other-order-of-fields": raw.replace(b'"operator":"operator.a",', b"").replace(
            b"}", b',"operator":"operator.a"}'
        ),
    }.items():
        group.refuse(name, one, data=signed(value), drawn=[DRAWN, "A" * 21, "A" * 129, "A" * 53 + "+"])
    group.refuse("other-exchange", "Another exchange's.", spec="1.1", data=signed(sign_in(), origin="test.example"))
    order = field.signed("valija/action/v1", raw, A)
    group.refuse("other-kind", "An order signs nobody in.", spec="1.1", data=order)
