"""The shape of a seal, which needs no key: SPEC.md section 1.7."""

from valija_schemas import age_header, limits
from vectors import field, shape
from vectors.made import Group

ENC = age_header.encode_base64(bytes(1_120)).decode()
STANZA = f"-> mlkem768x25519 {ENC}\n{age_header.encode_base64(bytes(32)).decode()}\n".encode()
MAC = b"---" + age_header.write_mac(bytes(32))
VERSION = b"age-encryption.org/v1\n"
PAYLOAD = bytes(32)
GOOD = VERSION + STANZA + MAC + PAYLOAD


def groups(_: field.Recorded) -> list[shape.Group]:
    group = Group("shape", "shape", "1.7")
    group.accept("one", recipients=1, body=GOOD)
    group.accept("three", "One stanza for each recipient.", recipients=3, body=VERSION + STANZA * 3 + MAC + PAYLOAD)
    group.accept("64", "As many as there may be.", recipients=64, body=VERSION + STANZA * 64 + MAC + PAYLOAD)
    stops = "A body that some of the recipients cannot open, or that somebody else can."
    group.refuse("too-few", stops, recipients=2, body=GOOD)
    group.refuse("too-many", stops, recipients=1, body=VERSION + STANZA * 2 + MAC + PAYLOAD)
    group.refuse("none", stops, recipients=1, body=VERSION + MAC + PAYLOAD)
    other = age_header.encode_base64(bytes(32)).decode()
    kinds = {
        "grease": b"-> xyz-grease abc\n\n",
        "x25519": f"-> X25519 {other}\n{other}\n".encode(),
        "scrypt": f"-> scrypt {age_header.encode_base64(bytes(16)).decode()} 18\n{other}\n".encode(),
        "upper-case": STANZA.replace(b"mlkem", b"MLKEM"),
    }
    for name, stanza in kinds.items():
        stops = "There is one suite, and no downgrade to choose."
        group.refuse(f"kind-{name}", stops, recipients=1, body=VERSION + stanza + MAC + PAYLOAD)
        group.refuse(f"kind-{name}-beside", stops, recipients=2, body=VERSION + STANZA + stanza + MAC + PAYLOAD)
    _sizes(group)
    _spelling(group)
    return [group.made]


def _sizes(group: Group) -> None:
    stops = "Each part has one size, so that what cannot open is seen without a key."
    for name, enc, wrapped in (
        ("enc-1119", 1_119, 32),
        ("enc-1121", 1_121, 32),
        ("enc-1152", 1_152, 32),
        ("wrapped-31", 1_120, 31),
        ("wrapped-33", 1_120, 33),
        ("wrapped-48", 1_120, 48),
        ("wrapped-0", 1_120, 0),
    ):
        text = age_header.encode_base64(bytes(enc)).decode()
        stanza = age_header.write_stanzas([age_header.Stanza("mlkem768x25519", (text,), bytes(wrapped))])
        group.refuse(name, stops, recipients=1, body=stanza + MAC[3:] + PAYLOAD)
    group.refuse("payload-31", "A payload has at least a nonce and a tag.", recipients=1, body=GOOD[:-1])
    group.refuse("payload-none", "A payload has at least a nonce and a tag.", recipients=1, body=GOOD[:-32])
    long = VERSION + STANZA.rstrip(b"\n") + b"A" * limits.age_header_bytes_max + b"\n" + MAC + PAYLOAD
    group.refuse("header-too-long", "A header has 128 KiB at most.", spec="1.8", recipients=1, body=long)
    many = VERSION + STANZA * 85 + MAC + PAYLOAD
    group.refuse("header-of-85-stanzas", "A header has 128 KiB at most.", spec="1.8", recipients=85, body=many)


def _spelling(group: Group) -> None:
    stops = "A header has one spelling, or two readers see two lists of recipients."
    wrapped = STANZA.rsplit(b"\n", 2)[1]
    for name, body in {
        "enc-padded": GOOD.replace(ENC.encode(), ENC.encode() + b"="),
        "enc-other-last-bits": GOOD.replace(ENC.encode(), ENC.encode()[:-1] + b"B"),
        "enc-url-alphabet": GOOD.replace(ENC.encode(), b"_" + ENC.encode()[1:]),
        "wrapped-other-last-bits": GOOD.replace(b"\n" + wrapped + b"\n", b"\n" + wrapped[:-1] + b"B\n"),
        "wrapped-in-two-lines": GOOD.replace(
            b"\n" + wrapped + b"\n", b"\n" + wrapped[:20] + b"\n" + wrapped[20:] + b"\n"
        ),
        "empty-line-behind-the-stanza": GOOD.replace(MAC, b"\n" + MAC),
        "two-spaces": GOOD.replace(b"-> mlkem", b"->  mlkem"),
        "space-behind": GOOD.replace(ENC.encode(), ENC.encode() + b" "),
        "no-argument": GOOD.replace(b" " + ENC.encode(), b""),
        "argument-too-many": GOOD.replace(ENC.encode(), ENC.encode() + b" more"),
        "mac-missing": GOOD.replace(MAC, b"---\n"),
        "mac-short": GOOD.replace(MAC, MAC[:-3] + b"\n"),
        "mac-other-last-bits": GOOD.replace(MAC, MAC[:-2] + b"B\n"),
        "version-2": GOOD.replace(b"/v1", b"/v2"),
        "cr-lf": (VERSION + STANZA + MAC).replace(b"\n", b"\r\n") + PAYLOAD,
        "line-before": b"\n" + GOOD,
        "armor": b"-----BEGIN AGE ENCRYPTED FILE-----\n" + GOOD,
        "not-sealed": field.DOCUMENT,
        "empty": b"",
    }.items():
        assert body != GOOD, name
        group.refuse(name, stops, recipients=1, body=body)
