"""The HTTP signature profile: what is signed is what is asked for, and there is one way to say it. SPEC.md 3."""

import base64
import hashlib
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from valija_schemas import http_signature as http
from valija_schemas import keys, limits
from valija_schemas.http_signature import Request, SignatureError

CREATED = 1_795_488_860
NOW_MS = CREATED * 1_000 + 250
AUTHORITIES = frozenset({"exchange.example", "127.0.0.1:8443", "[::1]:8443"})
NONCE = "mB3sVx8T1q0Zk5uQ7cY2dw"


class MemoryKey:
    def __init__(self, seed: bytes = bytes(32)):
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, text, /):
        return self._key.sign(text)


KEY = MemoryKey()
REQUEST = Request(
    method="POST",
    authority="exchange.example",
    target="/v1/leases?wait=30&limit=8",
    content_type="application/vnd.msgpack",
    body=b"\x82\x01\x02",
)


def signed(request=REQUEST, created=CREATED, expires=CREATED + 60, nonce=NONCE, key=KEY):
    return http.sign(request, key, created=created, expires=expires, nonce=nonce)


def raw(fields, authority="exchange.example"):
    fields = {"Host": authority, "Accept": "*/*", **fields}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]


def verify(request=REQUEST, fields=None, *, headers=None, body=None, now_ms=NOW_MS, public=KEY.public):
    headers = raw(signed(request) if fields is None else fields, request.authority) if headers is None else headers
    parsed = http.parse(request.method, request.target, headers, AUTHORITIES)
    http.check(parsed, public=public, now_ms=now_ms)
    parsed.check_body(request.body if body is None else body)
    return parsed


def changed(**changes):
    return Request(**{**{name: getattr(REQUEST, name) for name in REQUEST.__struct_fields__}, **changes})


# What holds


def test_a_signed_request_is_accepted_and_says_who_sent_it():
    parsed = verify()
    assert parsed.keyid == keys.auth_key_id(KEY.public) == hashlib.sha256(KEY.public).hexdigest()
    assert (parsed.created, parsed.expires, parsed.nonce) == (CREATED, CREATED + 60, NONCE)
    assert parsed.content_type == REQUEST.content_type


def test_the_signature_base_is_the_one_of_the_specification():
    keyid = keys.auth_key_id(KEY.public)
    digest = base64.b64encode(hashlib.sha256(REQUEST.body).digest()).decode()
    assert verify().base.decode() == (
        '"@method": POST\n'
        '"@authority": exchange.example\n'
        '"@path": /v1/leases\n'
        '"@query": ?wait=30&limit=8\n'
        '"content-type": application/vnd.msgpack\n'
        f'"content-digest": sha-256=:{digest}:\n'
        '"@signature-params": ("@method" "@authority" "@path" "@query" "content-type" "content-digest")'
        f';created=1795488860;expires=1795488920;nonce="{NONCE}";keyid="{keyid}";alg="ed25519";tag="valija-v1"'
    )


def test_the_fields_of_a_known_request_stay_as_they_are():
    assert signed() == {
        "Content-Type": "application/vnd.msgpack",
        "Content-Digest": "sha-256=:lPPj61kcb74BZoIGZ3oorcLJUKFaafUI4yCveI+aNik=:",
        "Signature-Input": 'sig1=("@method" "@authority" "@path" "@query" "content-type" "content-digest")'
        ';created=1795488860;expires=1795488920;nonce="mB3sVx8T1q0Zk5uQ7cY2dw"'
        ';keyid="139e3940e64b5491722088d9a0d741628fc826e09475d341a780acde3c4b8070";alg="ed25519";tag="valija-v1"',
        "Signature": "sig1=:PbWZchtXCk9u2+YxcxDCaEpTX9MNlDrZqdFkz7DeNr7m19uH46IZQlTWzmDHngny2uP9oQSFWUp6o3/NnJnSAg==:",
    }


def test_the_ed25519_example_of_rfc_9421_has_our_base_and_verifies():
    # RFC 9421 appendix B.2.6, with the key of appendix B.1.4: other components, the same construction.
    components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    parameters = (
        '("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"'
    )
    public = base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
    signature = base64.b64decode(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    )
    keys.check_ed25519(public)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, http.signature_base(components, parameters))


def test_an_absent_query_is_signed_as_a_lone_question_mark():
    # RFC 9421 section 2.2.7
    parsed = verify(changed(method="GET", target="/v1/directory", body=b"", content_type=http.EMPTY_CONTENT_TYPE))
    assert b'\n"@query": ?\n' in parsed.base


def test_the_empty_body_has_a_digest_too():
    request = changed(body=b"")
    fields = signed(request)
    # SHA-256 of nothing, as in RFC 9530's own form
    assert fields["Content-Digest"] == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    verify(request, fields)
    with pytest.raises(SignatureError):
        verify(request, fields, body=b"\0")


def test_field_names_may_come_in_any_case_and_order():
    headers = [(name.upper(), value) for name, value in reversed(raw(signed()))]
    verify(headers=headers)


@pytest.mark.parametrize("authority", sorted(AUTHORITIES))
def test_every_configured_name_can_be_signed_for(authority):
    verify(changed(authority=authority))


def test_a_nonce_is_remembered_for_longer_than_its_request_can_be_accepted():
    parsed = verify()
    with pytest.raises(SignatureError):
        parsed.check_time(parsed.nonce_kept_until_ms)
    assert parsed.nonce_kept_until_ms == (CREATED + 60) * 1_000 + 60_000


# What is signed cannot be altered


@pytest.mark.parametrize(
    "altered",
    [
        changed(method="PUT"),
        changed(authority="127.0.0.1:8443"),
        changed(target="/v1/lease?wait=30&limit=8"),
        changed(target="/v1/leases?wait=30&limit=9"),
        changed(target="/v1/leases?limit=8&wait=30"),
        changed(target="/v1/leases"),
        changed(target="/v1/leases/?wait=30&limit=8"),
        changed(body=REQUEST.body + b"\0"),
        changed(body=b""),
    ],
    ids=["method", "authority", "path", "query", "query order", "no query", "slash", "longer body", "no body"],
)
def test_an_altered_request_is_refused(altered):
    with pytest.raises(SignatureError):
        verify(altered, signed())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "application/json"),
        ("Content-Digest", signed(changed(body=b"other"))["Content-Digest"]),
        ("Signature", signed(key=MemoryKey(b"\1" * 32))["Signature"]),
        ("Signature", signed(nonce="A" * 22)["Signature"]),
        ("Signature-Input", signed(created=CREATED + 1)["Signature-Input"]),
        ("Signature-Input", signed(expires=CREATED + 59)["Signature-Input"]),
        ("Signature-Input", signed(nonce="A" * 22)["Signature-Input"]),
        ("Signature-Input", signed(key=MemoryKey(b"\1" * 32))["Signature-Input"]),
    ],
)
def test_an_altered_field_is_refused(name, value):
    with pytest.raises(SignatureError):
        verify(fields={**signed(), name: value})


def test_the_body_of_another_request_with_its_digest_is_refused():
    other = changed(body=b"other")
    fields = {**signed(), "Content-Digest": signed(other)["Content-Digest"]}
    with pytest.raises(SignatureError, match="does not hold"):
        verify(other, fields)


def test_another_key_is_refused_before_its_signature_is_looked_at():
    with pytest.raises(SignatureError, match="another key"):
        verify(public=MemoryKey(b"\1" * 32).public)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(public):
    fields = {**signed()}
    fields["Signature-Input"] = fields["Signature-Input"].replace(
        keys.auth_key_id(KEY.public), keys.auth_key_id(public)
    )
    with pytest.raises(SignatureError, match="does not hold"):
        verify(fields=fields, public=public)


def test_every_bit_of_the_signature_counts():
    value = base64.b64decode(signed()["Signature"].removeprefix("sig1=:").removesuffix(":"))
    for bit in range(512):
        other = bytearray(value)
        other[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError):
            verify(fields={**signed(), "Signature": f"sig1=:{base64.b64encode(other).decode()}:"})


# Raw bytes: no other spelling of the target is the same request


def parse_target(target, fields=None):
    parsed = http.parse("POST", target, raw(signed() if fields is None else fields), AUTHORITIES)
    parsed.check_signature(KEY.public)
    return parsed


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("/v1/~a", "/v1/%7Ea"),
        ("/v1/~a", "/v1/%7ea"),
        ("/v1/a?x=~", "/v1/a?x=%7E"),
        ("/v1/a?x=a", "/v1/a?x=%61"),
        ("/v1/a", "/v1/%61"),
    ],
)
def test_an_escaped_character_is_not_the_character(sent, received):
    fields = signed(changed(target=sent))
    parse_target(sent, fields)
    with pytest.raises(SignatureError, match="does not hold"):
        parse_target(received, fields)


def test_an_escape_is_signed_as_it_stands():
    fields = signed()
    parsed = http.parse("POST", "/v1/%7Ea?q=%7e", raw(fields), AUTHORITIES)
    assert b'"@path": /v1/%7Ea\n"@query": ?q=%7e\n' in parsed.base


@pytest.mark.parametrize(
    "target",
    [
        "", "*", "v1", "?a", "http://exchange.example/v1", "exchange.example:443", "//exchange.example/v1", "/v1//a",
        "/v1/.", "/v1/..", "/v1/../a", "/./v1", "/v1/../", "/v1?", "/v1#a", "/v1?a#b", "/v1 a", "/v1\n", "/v1?a\n",
        "/v1\r\nX: y", "/v1/é", "/v1/\udce9", "/v1/%", "/v1/%4", "/v1/%4g", "/v1?%", "/v1\\a", '/v1?a="b"', "/v1/<a>",
        "/v1/\0", "/" + "a" * 2048, "/v1?" + "a" * 2048,
    ],
)  # fmt: skip
def test_a_target_that_somebody_could_read_in_another_way_is_refused(target):
    with pytest.raises(SignatureError):
        http.parse("POST", target, raw(signed()), AUTHORITIES)
    with pytest.raises(SignatureError):
        signed(changed(target=target))


@pytest.mark.parametrize(
    "target", ["/v1/%7Ea", "/v1/a?x=a%2Fb", "/v1/a:b", "/v1/a+b", "/v1/a?x=a+b", "/v1?a?b", "/v1/a@b"]
)
def test_a_client_sends_nothing_that_a_library_would_rewrite(target):
    with pytest.raises(SignatureError, match="unreserved"):
        signed(changed(target=target))


# One spelling


def test_the_covered_fields_are_each_there_once():
    for name in ("Host", "Content-Type", "Content-Digest", "Signature-Input", "Signature"):
        headers = raw(signed())
        with pytest.raises(SignatureError, match=r"^no "):
            verify(headers=[h for h in headers if h[0] != name.encode()])
        (mine,) = [h for h in headers if h[0] == name.encode()]
        for twin in (mine, (mine[0].lower(), mine[1]), (mine[0].upper(), b""), (mine[0], b"other")):
            with pytest.raises(SignatureError, match=r"^two "):
                verify(headers=[*headers, twin])
            with pytest.raises(SignatureError, match=r"^two "):
                verify(headers=[twin, *headers])


@pytest.mark.parametrize("name", ["Content-Type", "Content-Digest", "Signature-Input", "Signature"])
@pytest.mark.parametrize(
    "joined", ["{0}, {0}", "{0},{0}", "{0},", ",{0}", ", {0}", "{0}, sha-512=:AA==:", "{0}, sig2=()"]
)
def test_values_joined_by_a_comma_are_refused(name, joined):
    fields = signed()
    with pytest.raises(SignatureError):
        verify(fields={**fields, name: joined.format(fields[name])})


def test_a_second_label_is_refused():
    fields = signed()
    both = {
        "Signature-Input": f"{fields['Signature-Input']}, {fields['Signature-Input'].replace('sig1', 'sig2')}",
        "Signature": f"{fields['Signature']}, {fields['Signature'].replace('sig1', 'sig2')}",
    }
    for names in (["Signature-Input"], ["Signature"], ["Signature-Input", "Signature"]):
        with pytest.raises(SignatureError):
            verify(fields={**fields, **{name: both[name] for name in names}})
    with pytest.raises(SignatureError):
        verify(fields={name: value.replace("sig1", "sig2") for name, value in fields.items()})


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_a_content_encoding_is_refused(encoding):
    with pytest.raises(SignatureError, match="encoding"):
        verify(fields={**signed(), "Content-Encoding": encoding})


def parameters_of(text):
    head, *parameters = text.split(";")
    return head, parameters


def respelled():
    text = signed()["Signature-Input"]
    head, parameters = parameters_of(text)
    for i in range(len(parameters)):
        yield f"without {parameters[i]}", ";".join([head, *parameters[:i], *parameters[i + 1 :]])
        yield f"twice {parameters[i]}", ";".join([head, *parameters[: i + 1], *parameters[i:]])
        yield (
            f"last {parameters[i]}" if i < 5 else "first tag",
            ";".join(
                [head, *parameters[:i], *parameters[i + 1 :], parameters[i]]
                if i < 5
                else [head, parameters[i], *parameters[:i]]
            ),
        )
    yield "an unknown parameter", text + ";x=1"
    yield "an unknown parameter first", text.replace(";created", ";x=1;created")
    components = head.removeprefix("sig1=(").removesuffix(")").split(" ")
    for i in range(len(components)):
        rest = components[:i] + components[i + 1 :]
        yield f"without {components[i]}", text.replace(head, f"sig1=({' '.join(rest)})")
        yield (
            f"{components[i]} moved",
            text.replace(head, f"sig1=({' '.join([*rest, components[i]])})")
            if i < 5
            else (text.replace(head, f"sig1=({' '.join([components[i], *rest])})")),
        )
        yield f"{components[i]} twice", text.replace(head, f"sig1=({' '.join([*components, components[i]])})")
        yield f"{components[i]} with a parameter", text.replace(components[i], components[i] + ";sf")
    yield "one component more", text.replace('"content-digest")', '"content-digest" "date")')
    yield "no component", text.replace(head, "sig1=()")
    for old, new in [
        ("sig1=", "SIG1="), ("sig1=", " sig1="), ("sig1=", "sig1 ="), (";", "; "), (";", " ;"), ('" "', '"  "'),
        ('" "', '"\t"'), ("@method", "@METHOD"), ("created=", "created=0"), ("created=", "created=+"),
        ("created=", "created=-"), (";expires", ".0;expires"), ("created=1795488860", 'created="1795488860"'),
        ("created=1795488860", "created"), ("created=1795488860", "created=?1"), ("created=1", "created=\u0661"),
        ("1795488860", "9" * 15), ("1795488860", "1" * 5000), ("1795488920", "1" * 5000),
        ('alg="ed25519"', 'alg="hmac-sha256"'), ('alg="ed25519"', 'alg="Ed25519"'), ('alg="ed25519"', "alg=ed25519"),
        ('alg="ed25519"', 'alg=""'), ("valija-v1", "valija-v2"), ("valija-v1", "valija-v1 "),
        ("valija-v1", "VALIJA-V1"),
        ('nonce="m', 'nonce="\\"'), ('w";keyid', ";keyid"), ('keyid="1', 'keyid="A'), ('keyid="1', 'keyid="'),
        ('keyid="1', 'keyid="11'),
    ]:  # fmt: skip
        yield f"{old} as {new[:20]}", text.replace(old, new, 1)
    yield "an end of line", text + "\n"
    yield "a space at the end", text + " "
    yield "nothing", ""


RESPELLED = list(respelled())


@pytest.mark.parametrize("text", [text for _, text in RESPELLED], ids=[name for name, _ in RESPELLED])
def test_another_spelling_of_the_signature_input_is_refused_even_when_it_is_signed(text):
    assert text != signed()["Signature-Input"]
    # The key signs exactly this spelling, so that nothing but the reader of the field can refuse it.
    lines = verify().base.decode().rsplit("\n", 1)[0]
    base = f'{lines}\n"@signature-params": {text.removeprefix("sig1=")}'
    value = base64.b64encode(KEY.sign(base.encode())).decode()
    headers = [h for h in raw(signed()) if h[0] not in {b"Signature-Input", b"Signature"}]
    headers += [(b"Signature-Input", text.encode()), (b"Signature", f"sig1=:{value}:".encode())]
    with pytest.raises(SignatureError):
        verify(headers=headers)


@pytest.mark.parametrize(
    "nonce",
    ["", "A" * 21, "A" * 65, "A" * 21 + "=", "A" * 22 + "\n", "A" * 21 + "+", "A" * 21 + "é", "A" * 10 + " " * 12],
)
def test_a_nonce_too_short_too_long_or_of_other_characters_is_refused(nonce):
    with pytest.raises(SignatureError):
        signed(nonce=nonce)
    fields = signed()
    headers = [(n, v.replace(NONCE.encode(), nonce.encode())) for n, v in raw(fields)]
    with pytest.raises(SignatureError):
        http.parse(REQUEST.method, REQUEST.target, headers, AUTHORITIES)


@pytest.mark.parametrize("nonce", [secrets.token_urlsafe(limits.nonce_bytes_min), secrets.token_hex(32)])
def test_sixteen_random_bytes_are_a_nonce_in_base64url_or_hex(nonce):
    assert verify(fields=signed(nonce=nonce)).nonce == nonce


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Signature", "sig1=:" + "A" * 86 + ":"),
        ("Signature", "sig1=:" + "A" * 85 + "B==:"),  # bits after the last byte
        ("Signature", "sig1=:" + "A" * 84 + ":"),
        ("Signature", "sig1=:" + "A" * 88 + ":"),
        ("Signature", "sig1=:" + "-" * 86 + "==:"),
        ("Signature", "sig1=::"),
        ("Signature", "sig1"),
        ("Signature", "sig1=:" + "A" * 86 + "==:;x"),
        ("Signature", "sig1=:" + "A" * 86 + "==: "),
        ("Content-Digest", "sha-256=:" + "A" * 42 + "B=:"),
        ("Content-Digest", "sha-512=:" + "A" * 43 + "=:"),
        ("Content-Digest", "SHA-256=:" + "A" * 43 + "=:"),
        ("Content-Digest", "sha-256=:" + "A" * 43 + ":"),
        ("Content-Digest", "sha-256=" + "A" * 43 + "="),
        ("Content-Digest", "sha-256=:" + "A" * 43 + "=:;q=1"),
        ("Content-Digest", ""),
        ("Content-Type", ""),
        ("Content-Type", "*/*"),
        ("Content-Type", "Application/Json"),
        ("Content-Type", "application/json "),
        ("Content-Type", "application/json;"),
        ("Content-Type", 'application/json; charset="utf-8"'),
        ("Content-Type", "application/json\n"),
        ("Content-Type", "application/" + "a" * 1000),
        ("Host", "EXCHANGE.EXAMPLE"),
        ("Host", "exchange.example:443"),
        ("Host", "exchange.example."),
        ("Host", "exchange.example, exchange.example"),
        ("Host", "exchange.example\n"),
        ("Host", "evil.example"),
        ("Host", ""),
    ],
)
def test_another_spelling_of_a_field_is_refused(name, value):
    with pytest.raises(SignatureError):
        verify(fields={**signed(), name: value})


@pytest.mark.parametrize("authority", ["other.example", "example", "change.exam", "exchange.example.evil.example"])
def test_a_configured_name_is_compared_and_never_searched_in(authority):
    request = changed(authority=authority)
    for names in (AUTHORITIES, ["exchange.example"], "exchange.example"):
        with pytest.raises(SignatureError, match="configured"):
            http.parse(request.method, request.target, raw(signed(request), authority), names)


def test_a_signature_that_holds_is_refused_in_another_spelling_of_its_base64():
    # 64 bytes end in `x==`, where the last four bits of x say nothing.
    value = signed()["Signature"].removesuffix("==:")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = alphabet.index(value[-1])
    for other in range(place & ~15, (place & ~15) + 16):
        fields = {**signed(), "Signature": f"{value[:-1]}{alphabet[other]}==:"}
        if other == place:
            verify(fields=fields)
        else:
            with pytest.raises(SignatureError, match="base64"):
                verify(fields=fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "post"}, {"method": ""}, {"method": "POST\n"}, {"method": "PO ST"}, {"method": "\udcff"},
        {"authority": "Exchange.example"}, {"authority": ""}, {"authority": "a b"}, {"authority": "a\n"},
        {"authority": "a:0"}, {"authority": "user@a"}, {"authority": "a/b"}, {"authority": "é"},
        {"content_type": ""}, {"content_type": "text"}, {"content_type": "a/b, c/d"}, {"content_type": "a/b\r\nX: y"},
    ],
)  # fmt: skip
def test_a_client_cannot_sign_what_the_broker_would_refuse(changes):
    with pytest.raises(SignatureError):
        signed(changed(**changes))


def test_a_key_that_gives_something_else_than_a_signature_is_found_out():
    class Broken(MemoryKey):
        def sign(self, text, /):
            return b"short"

    with pytest.raises(SignatureError, match="Ed25519"):
        signed(key=Broken())


# Time


@pytest.mark.parametrize("window", [-1, 0, 61, 3600])
def test_a_window_that_is_empty_or_longer_than_a_minute_is_refused(window):
    with pytest.raises(SignatureError, match="60 seconds"):
        signed(expires=CREATED + window)
    text = signed()["Signature-Input"].replace(f"expires={CREATED + 60}", f"expires={CREATED + window}")
    with pytest.raises(SignatureError, match="60 seconds"):
        verify(fields={**signed(), "Signature-Input": text})


@pytest.mark.parametrize("created", [0, -1])
def test_a_time_before_the_epoch_has_no_spelling(created):
    with pytest.raises(SignatureError):
        signed(created=created, expires=created + 60)


@pytest.mark.parametrize(
    ("now_ms", "accepted"),
    [
        (CREATED * 1_000, True),
        (CREATED * 1_000 - 30_000, True),
        (CREATED * 1_000 - 30_001, False),
        ((CREATED + 60) * 1_000 + 30_000, True),
        ((CREATED + 60) * 1_000 + 30_001, False),
        (0, False),
        (2**53, False),
    ],
)
def test_clocks_may_differ_by_thirty_seconds_and_no_more(now_ms, accepted):
    if accepted:
        verify(now_ms=now_ms)
    else:
        with pytest.raises(SignatureError):
            verify(now_ms=now_ms)


def test_a_broker_that_lost_its_nonces_refuses_what_was_made_before():
    parsed = verify()
    http.check(parsed, public=KEY.public, now_ms=NOW_MS, not_before_ms=CREATED * 1_000)
    with pytest.raises(SignatureError, match="memory"):
        http.check(parsed, public=KEY.public, now_ms=NOW_MS, not_before_ms=CREATED * 1_000 + 1)


# Nothing else leaves

_field_names = st.sampled_from([b"Host", b"Content-Type", b"Content-Digest", b"Signature-Input", b"Signature", b"X"])
_good = dict(raw(signed()))


@given(st.lists(st.tuples(_field_names | st.binary(max_size=12), st.binary(max_size=80)), max_size=8))
def test_random_fields_raise_nothing_else(headers):
    with pytest.raises(SignatureError):
        http.parse("POST", "/v1/leases", headers, AUTHORITIES)


@given(_field_names, st.binary(max_size=300))
def test_one_random_field_raises_nothing_else(name, value):
    headers = [*[h for h in _good.items() if h[0] != name], (name, value)]
    try:
        http.parse("POST", "/v1/leases", headers, AUTHORITIES)
    except SignatureError:
        return
    assert name == b"X" or value == _good[name]


@given(st.sampled_from([n for n in _good if n != b"Accept"]), st.data())
def test_a_changed_byte_in_any_field_is_refused(name, data):
    value = bytearray(_good[name])
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignatureError):
        verify(headers=[*[h for h in _good.items() if h[0] != name], (name, bytes(value))])


@given(st.text(max_size=40), st.text(max_size=80))
def test_random_request_lines_raise_nothing_else(method, target):
    with pytest.raises(SignatureError):
        http.parse(method, target, raw(signed()), AUTHORITIES).check_signature(KEY.public)


_segment = st.text("abcxyzABC019._~-", min_size=1, max_size=12).filter(lambda s: s not in {".", ".."})


@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.lists(_segment, min_size=1, max_size=4),
    st.dictionaries(_segment, _segment, max_size=3),
    st.binary(max_size=64),
    st.binary(min_size=16, max_size=48),
)
def test_what_the_client_signs_the_broker_accepts(method, segments, query, body, nonce):
    target = "/" + "/".join(segments)
    if query:
        target += "?" + "&".join(f"{k}={v}" for k, v in query.items())
    request = changed(method=method, target=target, body=body)
    text = base64.urlsafe_b64encode(nonce).rstrip(b"=").decode()
    assert verify(request, signed(request, nonce=text)).nonce == text
