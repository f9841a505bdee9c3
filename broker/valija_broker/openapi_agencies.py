"""What the agencies' API says of itself beside its routes, for `openapi`: words, examples, how a request is signed.

A request or answer in MessagePack is described by the JSON Schema of what it decodes to. JSON has no bytes, so the
type bin is a string of `format: binary` there, whose lengths count bytes; it is never base64. Messages and tiles are
raw bytes and have no schema. The examples are those of schemas/vectors/example.

Before this room: `openapi`. After it: `routes`. Rules: schemas/SPEC.md section 3.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from valija_broker import routes
from valija_broker.declared import Route
from valija_broker.described import Api
from valija_schemas import api
from valija_schemas.wire import Digest

_EXAMPLES: Final = Path(__file__).parents[2] / "schemas" / "vectors" / "example"
_TIME_MS: Final = 1795488862026  #: Of every example.
_LEASE: Final = "0.17.4be0643f1d98573b97cdca98a65347dd"
_LINK: Final = "../vectors/example/"

_ABOUT: Final = """\
How a contact point sends, collects and acknowledges mail, and reads the evidence of it. The rules are those of \
schemas/SPEC.md, section 3; this document is made from the same declarations that the broker runs on.

Bodies of type `application/vnd.msgpack` hold one MessagePack value. The schema describes the value: a string of \
`format: binary` is the MessagePack type bin, raw bytes, never base64, and its lengths count bytes. Every field is \
present, and one that is not named is refused. Notes are C2SP signed notes in UTF-8; a message is a note followed \
by an age file.

Every refusal is a problem (RFC 9457). Beside those that an operation names, an address that does not exist \
answers 404 `not-found`, as everything does behind a proxy that is not listed, and a method that an address does \
not take 405 `method-not-allowed` with `Allow`. Any request may be sent again after a lost answer: a message with \
the same bytes, any other with a new nonce."""

_SIGNATURE: Final = """\
An RFC 9421 signature by an active `auth` key of the contact point, in the one form of schemas/SPEC.md, section \
3.2. It covers `@method`, `@authority`, `@path`, `@query`, `content-type` and `content-digest`, in this order, \
with Ed25519; `Signature` is `sig1=:` and its base64 and `:`. `Signature-Input`, `Content-Digest` (of an empty \
body, too) and `Content-Type` are present on every signed request; one without a body says \
`application/octet-stream`. The nonce is new for every request. Generators of clients cannot make it: use the \
library `valija`, or write it after the section and its vectors (schemas/vectors/requests.json). An operation \
without this scheme needs no second signature, since its body is signed itself."""

_HEADERS: Final = {
    "ContentDigest": (
        "Content-Digest",
        "RFC 9530: `sha-256=:`, the base64 of the digest of the body, and `:`.",
        r"^sha-256=:[A-Za-z0-9+/]{43}=:$",
    ),
    "SignatureInput": (
        "Signature-Input",
        "RFC 9421: what is signed, when, until when, the nonce, and by which key.",
        (
            r'^sig1=\("@method" "@authority" "@path" "@query" "content-type" "content-digest"\);'
            r'created=\d+;expires=\d+;nonce="[A-Za-z0-9_-]{22,64}";keyid="[0-9a-f]{64}";alg="ed25519";tag="valija-v1"$'
        ),
    ),
}
_PATH_PARAMETERS: Final[Mapping[str, tuple[Any, str]]] = {
    "message": (Digest, "The digest of a message: lower-case hex SHA-256 of the text of its note."),
    "number": (api.Number, "The version."),
    "path": (str, "The path of C2SP tlog-tiles, such as `0/000`; its slashes are sent as they are."),
}
_TAGS: Final = {
    "messages": "Messages in",
    "leases": "Messages out",
    "events": "Evidence",
    "evidence": "Evidence",
    "log": "The log",
    "directory": "The directory",
    "limits": "The broker",
}
_DONE: Final = (api.LeaseResult(token=_LEASE, result="done", deadline=None),)


def _text(name: str) -> str:
    return (_EXAMPLES / name).read_text("utf-8")


def _requests() -> dict[str, Any]:
    """An example of what each operation takes, where it can be written in JSON."""
    return {
        "lease": api.LeaseRequest(instance="worker-1", have=(), limit=16, wait_ms=20_000),
        "acknowledge": [{"token": _LEASE, "receipt": _text("receipt.note")}],
        "extend": api.Extension(tokens=(_LEASE,)),
        "release": [api.Release(token=_LEASE, delay_ms=60_000, dead=False)],
    }


def _answers() -> dict[str, Any]:
    """An example of what each operation gives, where it can be written in JSON."""
    return {
        "submit": _text("acceptance.note"),
        "submit_many": [{"status": 202, "acceptance": _text("acceptance.note"), "problem": None}],
        "lease": (),
        "acknowledge": _DONE,
        "extend": (api.LeaseResult(token=_LEASE, result="done", deadline=_TIME_MS + 60_000),),
        "release": _DONE,
        "events": {"checkpoint": "", "events": []},
        "newest": api.Newest(root=1, directory=118, digest="0b" * 32),
        "holds": (),
        "freshness": _text("freshness.note"),
        "limits": api.Limits(
            time=_TIME_MS,
            message_bytes_max=1_196_032,
            submit_messages_max=api.batch_messages_max,
            submit_bytes_max=api.batch_bytes_max,
            lease_ms=60_000,
            lease_bytes_max=4_194_304,
            attempts_max=10,
        ),
    }


#: The examples that are files: what is no text, or long.
_FILES: Final = {
    ("submit", "takes"): _LINK + "message",
    ("root", "gives"): _LINK + "root.1.note",
    ("version", "gives"): _LINK + "directory.1.note",
}


def _who(route: Route) -> str:
    return "Suspended and held contact points are refused." if route.active else "Also while suspended or held."


def described() -> Api:
    """The agencies' API."""
    return Api(
        title="Valija: the API of the agencies",
        about=_ABOUT,
        server="https://broker.exchange.example",
        prefix="/v1/",
        table=routes.TABLE,
        shapes=(api,),
        tags=_TAGS,
        path_parameters=_PATH_PARAMETERS,
        headers=_HEADERS,
        security={"signature": {"type": "apiKey", "in": "header", "name": "Signature", "description": _SIGNATURE}},
        challenge="Signature",
        who=_who,
        time_ms=_TIME_MS,
        requests=_requests(),
        answers=_answers(),
        files=_FILES,
    )
