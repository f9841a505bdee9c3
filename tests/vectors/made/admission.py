"""Who may enter the directory, and with which keys: SPEC.md sections 1.6 and 4.4."""

import base64
from typing import Any

import msgspec

from valija_schemas import directory as directories
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import NOW, ORIGIN
from vectors.made import Group

P = 2**255 - 19
WHO = "ar.enlace"
#: Two keys of `WHO` with one 4-byte key id: found by counting upwards until two met, as anybody can in seconds.
COLLIDING = ("collision 44026", "collision 44351")
B = bytes.fromhex("58" + "66" * 31)  #: The base point.


def groups(recorded: field.Recorded) -> list[shape.Group]:
    return [_requests(), _ed25519(), _seal_keys(), _challenges(recorded)]


def seal_text(public: bytes) -> str:
    return base64.b64encode(public).decode()


def request(**changes: Any) -> directories.Request:
    value = directories.Request(
        contact_point=WHO,
        state="AR",
        organisation=None,
        name="Sample contact point ar.enlace",
        area="judicial",
        sign=field.public(WHO),
        seal=field.seal_key(WHO).key,
        auth=field.public(WHO, "auth"),
        previous=None,
        time=NOW,
    )
    return msgspec.structs.replace(value, **changes)


def signed(value: directories.Request | bytes, *who: notes.Ed25519Signer) -> bytes:
    return field.signed(directories.REQUEST, value, *(who or (field.signer(WHO), field.signer(WHO, "auth"))))


def _requests() -> shape.Group:
    held = [field.ROOT_1, field.directory_note(field.small_directory())]
    group = Group("request", "request", "1.6", origin=ORIGIN, anchor=field.ANCHOR, held=held)
    sign, auth = field.signer(WHO), field.signer(WHO, "auth")
    mx = field.signer("mx.enlace")
    group.accept("first", admitted=[], data=signed(request()))
    text = notes.parse(signed(request())).text
    stops = "Nobody registers a key that is not theirs."
    group.refuse("signed-by-sign-alone", stops, admitted=[], data=signed(request(), sign))
    group.refuse("signed-by-auth-alone", stops, admitted=[], data=signed(request(), auth))
    group.refuse(
        "third-signature", "Exactly two lines.", spec="1.4", admitted=[], data=signed(request(), sign, auth, mx)
    )
    altered = notes.write_line(notes.Signature(auth.name, notes.key_id(auth.name, auth.public), bytes(64)))
    group.refuse(
        "auth-signature-of-zeros", stops, admitted=[], data=text + b"\n" + notes.signature_line(sign, text) + altered
    )
    group.refuse(
        "one-key-for-two-uses", "A key has one use.", admitted=[], data=signed(request(auth=request().sign), sign)
    )
    for name in ("broker", "officer.x"):
        reserved = [field.signer(name), field.signer(name, "auth")]
        value = request(contact_point=name, sign=reserved[0].public.hex(), auth=reserved[1].public.hex())
        group.refuse(
            f"reserved-{name}", "Nobody signs as the broker.", spec="1.4", admitted=[], data=signed(value, *reserved)
        )
    group.refuse(
        "state-and-organisation",
        "An entry belongs to one of them.",
        spec="4.2",
        admitted=[],
        data=signed(request(organisation="OAS")),
    )
    stops = "One party must not be taken for another."
    for name, seed in {
        "of-another-entry": "mx.enlace sign",
        "of-another-use": "mx.enlace auth",
        "of-an-officer": "officer.a sign",
        "of-the-log": "log sign",
    }.items():
        key = field.Ed25519PrivateKey.from_private_bytes(field.seed(seed))
        thief = notes.Ed25519Signer(sign.name, key)
        data = signed(request(sign=thief.public.hex()), thief, auth)
        group.refuse(f"sign-key-{name}", stops, admitted=[], data=data)
    stolen = request(seal=field.seal_key("mx.enlace").key)
    group.refuse("seal-key-of-another-entry", stops, admitted=[], data=signed(stolen))
    _weak(group)
    _following(group)
    return group.made


def _weak(group: Group) -> None:
    """The identity point, and a signature that OpenSSL's verifier takes under it for every text: S B = R + k 0."""
    auth = field.signer(WHO, "auth")
    identity = (1).to_bytes(32, "little")
    value = request(sign=identity.hex())
    text = notes.parse(signed(value, auth)).text
    forged = notes.Signature(auth.name, notes.key_id(auth.name, identity), B + identity)
    data = text + b"\n" + notes.write_line(forged) + notes.signature_line(auth, text)
    group.refuse(
        "key-that-signs-everything", "Under the identity point one signature fits every text.", admitted=[], data=data
    )
    stops = "A half of 0 loads and then breaks every message to it."
    public = field.seal_identity(WHO).recipient.to_bytes()
    broken = request(seal=seal_text(public[:-32] + bytes(32)))
    group.refuse("seal-key-with-a-half-of-zero", stops, admitted=[], data=signed(broken))
    first, second = (field.signer(WHO, name) for name in COLLIDING)
    assert notes.key_id(first.name, first.public) == notes.key_id(second.name, second.public)
    stops = "A line must not name two keys."
    both = request(sign=first.public.hex(), auth=second.public.hex())
    group.refuse("sign-and-auth-of-one-key-id", stops, admitted=[], data=signed(both, first, second))
    before = signed(request(sign=first.public.hex()), first, auth)
    new_auth = field.signer(WHO, "auth 2")
    later = request(sign=second.public.hex(), auth=new_auth.public.hex(), previous=field.digest(before), time=NOW + 1)
    group.refuse("key-id-of-an-older-key", stops, admitted=[before], data=signed(later, second, new_auth))


def _following(group: Group) -> None:
    first = signed(request())
    keys = field.signer(WHO, "2"), field.signer(WHO, "auth 2")
    new = {"sign": keys[0].public.hex(), "auth": keys[1].public.hex(), "previous": field.digest(first), "time": NOW + 1}
    stops = "A request that was kept back must not undo a later one."
    group.accept(
        "following", "New keys follow old ones.", spec="4.4", admitted=[first], data=signed(request(**new), *keys)
    )
    group.accept("again", "The same request again is the same step.", spec="4.4", admitted=[first], data=first)
    data = signed(request(**{**new, "previous": None}), *keys)
    group.refuse("previous-null", stops, spec="4.4", admitted=[first], data=data)
    data = signed(request(**{**new, "previous": "0" * 64}), *keys)
    group.refuse("previous-other", stops, spec="4.4", admitted=[first], data=data)
    data = signed(request(**{**new, "time": NOW}), *keys)
    group.refuse("not-later", stops, spec="4.4", admitted=[first], data=data)
    group.refuse("previous-unknown", stops, spec="4.4", admitted=[], data=signed(request(**new), *keys))


def _ed25519() -> shape.Group:
    group = Group("ed25519-key", "ed25519", "1.6")
    group.accept("good", key=field.public("mx.enlace"))
    group.accept("base-point", "A point of the prime-order group.", key=B.hex())
    order_8 = int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
    )
    small = "Under a key of small order signatures can be forged."
    sign = 1 << 255
    for name, y in {
        "identity": 1,
        "order-2": P - 1,
        "order-4": 0,
        "order-4-negative": sign,
        "order-8": order_8,
        "order-8-negative": order_8 | sign,
        "order-8-other": P - order_8,
        "order-8-other-negative": (P - order_8) | sign,
    }.items():
        group.refuse(name, small, key=y.to_bytes(32, "little").hex())
    one = "A key has one spelling: another is another key id for the same key."
    for name, y in {
        "identity-negative": 1 | sign,
        "order-2-negative": (P - 1) | sign,
        "zero-as-p": P,
        "one-as-p-plus-1": P + 1,
        "all-ones": 2**256 - 1,
        "y-of-p-plus-3": P + 3,
    }.items():
        group.refuse(name, one, key=y.to_bytes(32, "little").hex())
    group.refuse("not-on-the-curve", "Half of all strings are no point.", key=(2).to_bytes(32, "little").hex())
    group.refuse("short", "A key has 32 bytes.", key=field.public("mx.enlace")[2:])
    group.refuse("long", "A key has 32 bytes.", key=field.public("mx.enlace") + "00")
    group.refuse("empty", "A key has 32 bytes.", key="")
    # The base point plus the point of order 2, (0, -1): both coordinates change their sign.
    y = P - int.from_bytes(B, "little")
    mixed = (y | sign).to_bytes(32, "little").hex()
    group.refuse("mixed-order", "Verifiers disagree about what a key of mixed order signed.", key=mixed)
    return group.made


def _seal_keys() -> shape.Group:
    group = Group("seal-key", "seal-key", "1.6")
    identity = field.seal_identity(WHO).recipient
    public = identity.to_bytes()
    ml_kem, x25519 = public[:-32], public[-32:]
    group.accept("good", output=identity.key_id, data=public)
    breaks = "A half of small order loads and then breaks every message to it."
    order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    for name, half in {
        "zero": bytes(32),
        "one": b"\1" + bytes(31),
        "order-8": bytes.fromhex(order_8),
        "minus-one": (P - 1).to_bytes(32, "little"),
    }.items():
        group.refuse(f"x25519-{name}", breaks, data=ml_kem + half)
    one = "One key must not have two ids."
    group.refuse("x25519-of-p", one, data=ml_kem + P.to_bytes(32, "little"))
    group.refuse("x25519-of-p-plus-9", one, data=ml_kem + (P + 9).to_bytes(32, "little"))
    group.refuse("x25519-top-bit", one, data=ml_kem + x25519[:-1] + bytes([x25519[-1] | 0x80]))
    group.refuse(
        "ml-kem-beyond-q", "A number at or above q is no coefficient (FIPS 203, 7.2).", data=b"\xff\xff" + public[2:]
    )
    group.refuse("short", "A seal key has 1,216 bytes.", data=public[:-1])
    group.refuse("long", "A seal key has 1,216 bytes.", data=public + b"\0")
    group.refuse("x25519-alone", "A key without its post-quantum half.", data=x25519)
    group.refuse("halves-swapped", "ML-KEM first, then X25519.", data=x25519 + ml_kem)
    return group.made


def _challenges(recorded: field.Recorded) -> shape.Group:
    sealer = field.Sealer(recorded)
    identity = field.seal_identity("ca.liaison")
    stanza = [sealer.stanza(identity)]
    group = Group("challenge", "challenge", "1.6", seal_key=identity.to_text())
    answer = field.seed("challenge")
    group.accept("good", output=answer.hex(), data=sealer.file(stanza, answer))
    stops = "A message must not be opened by calling it a challenge."
    group.refuse("31-bytes", stops, data=sealer.file(stanza, answer[:-1]))
    group.refuse("33-bytes", stops, data=sealer.file(stanza, answer + b"\0"))
    group.refuse("empty", stops, data=sealer.file(stanza, b""))
    group.refuse("a-message", stops, data=sealer.body(field.header(to=("ca.liaison",))))
    group.refuse(
        "for-another-key",
        "An answer is its holder's.",
        data=sealer.file([sealer.stanza(field.seal_identity("co.enlace"))], answer),
    )
    group.refuse(
        "mac-of-another-key",
        "The header is as its writer made it.",
        data=sealer.file(stanza, answer, mac_key=b"another file key"),
    )
    return group.made
