"""Signed HTTP requests: SPEC.md section 3.2."""

import base64
import hashlib
from collections.abc import Sequence

from valija_schemas import http_signature, keys
from vectors import field, shape
from vectors.field import NOW
from vectors.made import Group

HOST = "broker.exchange.example"
CREATED = NOW // 1_000
NONCE = "Rk3wX0pPp2m1cYl8sV7t9A"
KEY = field.signer("ca.liaison", "auth")
TARGET = "/v1/events?after=0&wait_ms=20000"
COVERED = '("@method" "@authority" "@path" "@query" "content-type" "content-digest")'


def parameters(**changes: str) -> str:
    values = {
        "covered": COVERED,
        "created": str(CREATED),
        "expires": str(CREATED + 60),
        "nonce": NONCE,
        "keyid": keys.auth_key_id(KEY.public),
        "alg": "ed25519",
        "tag": "valija-v1",
        **changes,
    }
    return (
        f'{values["covered"]};created={values["created"]};expires={values["expires"]};nonce="{values["nonce"]}"'
        f';keyid="{values["keyid"]}";alg="{values["alg"]}";tag="{values["tag"]}"'
    )


class Made:
    """A request that is signed as it stands, whatever stands there."""

    def __init__(
        self,
        target: str = TARGET,
        *,
        method: str = "GET",
        host: str = HOST,
        type_: str = "application/octet-stream",
        body: bytes = b"",
        input_: str = "",
        label: str = "sig1",
    ) -> None:
        path, mark, query = target.partition("?")
        self.first = f"{method} {target} HTTP/1.1"
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        input_ = input_ or parameters()
        values = (method, host, path, mark + query if query else "?", type_, digest)
        self.base = http_signature.signature_base(list(zip(http_signature.COMPONENTS, values, strict=True)), input_)
        signature = base64.b64encode(KEY.sign(self.base)).decode()
        self.fields = {
            "Host": host,
            "Content-Type": type_,
            "Content-Digest": digest,
            "Signature-Input": f"{label}={input_}",
            "Signature": f"{label}=:{signature}:",
        }

    def raw(self, *more: str, without: Sequence[str] = (), **changes: str) -> bytes:
        fields = {**self.fields, **{name.replace("_", "-"): value for name, value in changes.items()}}
        lines = [f"{name}: {value}" for name, value in fields.items() if name not in without]
        return "\n".join([self.first, *lines, *more, "", ""]).encode()


def groups(_: field.Recorded) -> list[shape.Group]:
    group = Group("http-request", "http", "3.2", authorities=[HOST, "localhost:8443"], key=KEY.public.hex())
    good = Made()

    def accept(name: str, stops: str, made: Made, body: bytes = b"", now: int = NOW) -> None:
        group.accept(name, stops, output=made.base.decode(), request=made.raw(), body=body, now=now)

    def refuse(name: str, stops: str, request: bytes, body: bytes = b"", now: int = NOW) -> None:
        group.add(name, "not-signed", stops, request=request, body=body, now=now)

    accept("good", "The other cases of this group change one thing of this one.", good)
    accept("no-query", "An absent query is a question mark.", Made("/v1/directory"))
    accept(
        "with-a-body",
        "The digest binds the body.",
        Made("/v1/leases", method="POST", type_="application/vnd.msgpack", body=b"\x80"),
        b"\x80",
    )
    accept("raw-path", "What was sent is what was signed: nothing is decoded.", Made("/v1/log/tile/0/%7Ex/A%2fb"))
    accept("port", "A port that is not the scheme's own is part of the authority.", Made(host="localhost:8443"))
    accept("expires-after-1-s", "A window of a second is one.", Made(input_=parameters(expires=str(CREATED + 1))))
    accept("30-s-ahead", "Clocks differ.", good, now=NOW - 30_000)
    accept("30-s-over", "Clocks differ.", good, now=(CREATED + 90) * 1_000)
    refuse("further-ahead", "A request for later.", good.raw(), now=CREATED * 1_000 - 30_001)
    refuse("over", "A request of long ago.", good.raw(), now=(CREATED + 90) * 1_000 + 1)
    _altered(refuse, good)
    _spelled(refuse, good)
    return [group.made]


def _altered(refuse, good: Made) -> None:  # type: ignore[no-untyped-def]
    stops = "Somebody on the way sends the same signature with another request."
    for name, old, new in (
        ("method-altered", "GET /", "DELETE /"),
        ("path-altered", "/v1/events", "/v1/limits"),
        ("path-decoded", "/v1/events", "/v1/event%73"),
        ("query-altered", "after=0", "after=1"),
        ("query-in-another-order", "after=0&wait_ms=20000", "wait_ms=20000&after=0"),
        ("query-dropped", "?after=0&wait_ms=20000", ""),
        ("type-altered", "octet-stream", "vnd.msgpack"),
        ("created-altered", f"created={CREATED}", f"created={CREATED + 1}"),
        ("nonce-altered", NONCE, NONCE[:-1] + "B"),
    ):
        raw = good.raw().replace(old.encode(), new.encode(), 1)
        assert raw != good.raw(), name
        refuse(name, stops, raw)
    refuse("body-other", "The body is the one that was signed.", good.raw(), b"x")
    refuse("host-not-ours", "A request to one broker is not one to another.", Made(host="other.example").raw())
    refuse("host-upper-case", "The authority has one spelling.", Made(host=HOST.upper()).raw())
    refuse("keyid-of-another", "The key says whose request it is.", Made(input_=parameters(keyid="0" * 64)).raw())


def _spelled(refuse, good: Made) -> None:  # type: ignore[no-untyped-def]
    one = "There is one form, so that no two readers see two requests."
    for name, input_ in {
        "query-not-covered": parameters(covered=COVERED.replace(' "@query"', "")),
        "digest-not-covered": parameters(covered=COVERED.replace(' "content-digest"', "")),
        "component-more": parameters(covered=COVERED.replace(")", ' "date")')),
        "components-in-another-order": parameters(
            covered=COVERED.replace('"@method" "@authority"', '"@authority" "@method"')
        ),
        "component-with-parameter": parameters(covered=COVERED.replace('"@method"', '"@method";req')),
        "other-tag": parameters(tag="valija-v2"),
        "other-algorithm": parameters(alg="hmac-sha256"),
        "window-of-61-s": parameters(expires=str(CREATED + 61)),
        "window-of-0-s": parameters(expires=str(CREATED)),
        "created-as-decimal": parameters(created=f"{CREATED}.0"),
        "nonce-of-21-characters": parameters(nonce=NONCE[:21]),
        "nonce-of-65-characters": parameters(nonce="A" * 65),
        "nonce-with-plus": parameters(nonce=NONCE[:-1] + "+"),
        "keyid-upper-case": parameters(keyid=keys.auth_key_id(KEY.public).upper()),
        "parameter-missing": parameters().replace(';tag="valija-v1"', ""),
        "parameter-more": parameters() + ";x=1",
        "parameter-twice": parameters() + ';tag="valija-v1"',
        "space-before-parameter": parameters().replace(";created", "; created"),
    }.items():
        refuse(name, one, Made(input_=input_).raw())
    refuse("other-label", one, Made(label="sig2").raw())
    refuse("two-labels", one, good.raw(Signature_Input=good.fields["Signature-Input"] + ', sig2=("@method")'))
    for field_name in ("Host", "Content-Type", "Content-Digest", "Signature-Input", "Signature"):
        refuse(f"no-{field_name.lower()}", one, good.raw(without=[field_name]))
        twice = "Two fields of one name: one reader takes the first, one the last."
        refuse(f"two-{field_name.lower()}", twice, good.raw(f"{field_name.lower()}: {good.fields[field_name]}"))
    refuse(
        "content-encoding", "A body that is small on the wire and large in memory.", good.raw("Content-Encoding: gzip")
    )
    refuse("digest-sha-512", one, good.raw(Content_Digest="sha-512=:AAAA:"))
    signature = good.fields["Signature"]
    other_bits = signature[:-4] + chr(ord(signature[-4]) + 1) + signature[-3:]
    refuse("signature-other-last-bits", one, good.raw(Signature=other_bits))
    refuse("signature-without-padding", one, good.raw(Signature=signature.replace("==:", ":")))
    for name, target in {
        "empty-segment": "/v1//events",
        "dot-segment": "/v1/./events",
        "dot-dot-segment": "/v1/x/../events",
        "fragment": "/v1/events#x",
        "absolute-form": f"https://{HOST}/v1/events",
        "percent-alone": "/v1/100%",
        "question-mark-alone": "/v1/events?",
        "no-slash": "v1/events",
        "too-long": "/v1/" + "a" * 2_048,
    }.items():
        refuse(f"target-{name}", "A target that somebody on the way would write in another way.", Made(target).raw())
