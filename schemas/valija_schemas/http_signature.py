"""Signed HTTP requests: one profile of RFC 9421, spelled in one way, without clock or network. SPEC.md section 3.

A request that is not itself a signed note proves who sent it by a signature over its method, its authority, its target,
its content type and the digest of its body (RFC 9530), with the contact point's `auth` key. There is one label, one
list of components and one order of parameters; the reader accepts only what the writer here produces, so that no two
readers can see different requests in the same bytes.

A broker asks in this order, the cheap before the dear, and nothing is kept of a request that fails:

1. `parse`: the shape of the header fields and the target; no body, no key.
2. `Parsed.check_time`: an old or far-off request stops here.
3. The key of `Parsed.keyid` is looked up in the directory, then `Parsed.check_signature`. A stranger's body is never
   read: the signature covers the digest, not the bytes.
4. The body is read, up to its limit and its deadline, then `Parsed.check_body` over the raw bytes.
5. `Parsed.check_time` once more, since reading may have taken long, and the pair of `keyid` and `nonce` is recorded and
   kept until `Parsed.nonce_kept_until_ms`; a pair seen before is a replay.
6. Only then does the request do what it asks for.

Whatever fails, the network is told one and the same vague thing; `SignatureError` says the rest to our own log.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Sequence
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from valija_schemas import keys, limits

LABEL: Final = "sig1"
ALGORITHM: Final = "ed25519"  # RFC 9421 section 3.3.6
TAG: Final = "valija-v1"  # RFC 9421 section 2.3: what keeps signatures of other applications out
COMPONENTS: Final = ("@method", "@authority", "@path", "@query", "content-type", "content-digest")
EMPTY_CONTENT_TYPE: Final = "application/octet-stream"  #: Of a request without a body, which names a type all the same.

target_bytes_max: Final = 2 * 1024  #: Ours are below 200; a long one is somebody's mistake or probe.
nonce_characters_max: Final = 64  #: It is stored for two minutes a request.
nonce_margin_ms: Final = 60 * limits.SECOND_MS  #: Twice the skew: how long after `expires` a nonce is remembered.

_FIELDS: Final = (b"host", b"content-type", b"content-digest", b"signature-input", b"signature")
_nonce_characters_min: Final = (limits.nonce_bytes_min * 8 + 5) // 6
_COVERED: Final = "(" + " ".join(f'"{component}"' for component in COMPONENTS) + ")"

# Each pattern is used with `fullmatch`, is bounded, and has no place for a comma outside of what it spells out.
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_AUTHORITY: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?")
_CONTENT_TYPE: Final = re.compile(
    r"[a-z0-9][a-z0-9.+-]{0,62}/[a-z0-9][a-z0-9.+-]{0,62}(?:; ?[a-z0-9-]{1,32}=[A-Za-z0-9._-]{1,64}){0,2}"
)
# RFC 3986 section 3.3 and 3.4: origin-form, and of a query, if there is a question mark, at least one character.
_TARGET: Final = re.compile(
    r"(?P<path>/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*+)"
    r"(?P<query>\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})++)?+"
)
# What the clients write: nothing that a URL library, a proxy or a framework would spell in another way.
_PLAIN_TARGET: Final = re.compile(r"/[A-Za-z0-9._~/-]*+(?:\?[A-Za-z0-9._~&=-]++)?+")
_UNSTABLE_PATH: Final = re.compile(r"//|/\.{1,2}(?:/|$)")
_NONCE: Final = re.compile(rf"[A-Za-z0-9_-]{{{_nonce_characters_min},{nonce_characters_max}}}")
_INPUT: Final = re.compile(
    rf"{LABEL}=(?P<parameters>{re.escape(_COVERED)}"
    r";created=(?P<created>[1-9][0-9]{0,14})"
    r";expires=(?P<expires>[1-9][0-9]{0,14})"
    rf';nonce="(?P<nonce>{_NONCE.pattern})"'
    r';keyid="(?P<keyid>[0-9a-f]{64})"'
    rf';alg="{ALGORITHM}";tag="{re.escape(TAG)}")'
)
_SIGNATURE: Final = re.compile(rf"{LABEL}=:(?P<value>[A-Za-z0-9+/]{{86}}==):")
_DIGEST: Final = re.compile(r"sha-256=:(?P<value>[A-Za-z0-9+/]{43}=):")


class SignatureError(ValueError):
    """This request is not signed as it must be; the text says why, for our own log and nobody else."""


class UnsignedError(SignatureError):
    """This request bears no signature at all: nobody whose clock or key is wrong sent it."""


class Key(Protocol):
    """A private `auth` key. A hardware token can stand here: it is asked for a signature and nothing else."""

    @property
    def public(self) -> bytes:
        """The 32 public bytes."""
        ...

    def sign(self, text: bytes, /) -> bytes:
        """64 bytes of Ed25519 over `text` (RFC 8032)."""
        ...


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is about to send, as it will stand on the wire."""

    method: str  #: Upper case.
    authority: str  #: What the `Host` field will say: lower case, the port only if it is not the scheme's own.
    target: str  #: Path and query as they will be sent, of unreserved characters: `/v1/messages?wait=30`
    content_type: str = EMPTY_CONTENT_TYPE
    body: bytes = b""


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A signed request that is well-formed. Nothing about it is verified."""

    keyid: str  #: `keys.auth_key_id` of the key that is said to have signed.
    created: int  #: Seconds since 1970-01-01T00:00:00Z.
    expires: int  #: Seconds; 1 to 60 after `created`.
    nonce: str
    content_type: str
    digest: bytes  #: SHA-256 of the body that is to come.
    signature: bytes  #: 64 bytes
    base: bytes  #: The signature base (RFC 9421 section 2.5): what is signed.

    @property
    def nonce_kept_until_ms(self) -> int:
        """Until when a broker remembers the nonce: later than `check_time` can pass."""
        return self.expires * limits.SECOND_MS + nonce_margin_ms

    def check_time(self, now_ms: int, not_before_ms: int = 0) -> None:
        """Refuse a request that is not for now. A broker that lost its nonces refuses all created `not_before_ms`.

        Raises:
            SignatureError: it was made too far ahead, it is over, or it is from before `not_before_ms`.
        """
        if self.created * limits.SECOND_MS > now_ms + limits.signature_skew_max_ms:
            raise SignatureError("the signature was created in the future: one of the two clocks is wrong")
        if self.expires * limits.SECOND_MS + limits.signature_skew_max_ms < now_ms:
            raise SignatureError("the signature has expired")
        if self.created * limits.SECOND_MS < not_before_ms:
            raise SignatureError("the signature is older than the broker's memory of nonces")

    def check_signature(self, public: bytes) -> None:
        """Refuse a request that the key `public` did not sign.

        Raises:
            SignatureError: the request names another key, or the signature does not hold.
        """
        if keys.auth_key_id(public) != self.keyid:
            raise SignatureError("the request names another key")
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, self.base)
        except (InvalidSignature, ValueError):
            raise SignatureError("the signature does not hold") from None

    def check_body(self, body: bytes) -> None:
        """Refuse a body other than the one that was signed. `body` is what came over the wire, before any decoding.

        Raises:
            SignatureError: its digest differs.
        """
        if not hmac.compare_digest(hashlib.sha256(body).digest(), self.digest):
            raise SignatureError("the body is not the one that was signed")


def sign(request: Request, key: Key, *, created: int, expires: int, nonce: str) -> dict[str, str]:
    """The header fields that `request` is to carry, content type included. Times are in seconds.

    `nonce` is made anew for every request, retries included: `secrets.token_urlsafe(limits.nonce_bytes_min)`.

    Raises:
        SignatureError: a value has no spelling in the profile, or the key gave something other than a signature.
    """
    _require(_PLAIN_TARGET.fullmatch(request.target), "a client sends unreserved characters only")
    _require(_NONCE.fullmatch(nonce), "the nonce is not 16 bytes or more of base64url")
    keyid = keys.auth_key_id(key.public)
    parameters = (
        f'{_COVERED};created={created};expires={expires};nonce="{nonce}";keyid="{keyid}";alg="{ALGORITHM}";tag="{TAG}"'
    )
    content_digest = _content_digest(request.body)
    unsigned = _read(
        request.method,
        request.authority,
        request.target,
        request.content_type,
        content_digest,
        f"{LABEL}={parameters}",
        bytes(64),
    )
    signature = key.sign(unsigned.base)
    if len(signature) != 64:
        raise SignatureError("the key gave something that is not an Ed25519 signature")
    return {
        "Content-Type": request.content_type,
        "Content-Digest": content_digest,
        "Signature-Input": f"{LABEL}={parameters}",
        "Signature": f"{LABEL}=:{base64.b64encode(signature).decode()}:",
    }


def parse(method: str, target: str, headers: Sequence[tuple[bytes, bytes]], authorities: Collection[str]) -> Parsed:
    """What a request says of its signature, from the request line and the header fields alone.

    `target` and `headers` are as received (aiohttp: `request.raw_path`, `request.raw_headers`): a URL that went through
    a library is another URL. `authorities` are the configured names of this broker, each as `Host` may say it; the
    `Host` that a request bears is the sender's choice and counts only if it is among them.

    Raises:
        SignatureError: it is not the one spelling of a signed request. No other exception leaves.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-encoding":
            raise SignatureError("a request with a content encoding is refused")
        if lower in _FIELDS:
            if lower in fields:
                raise SignatureError(f"two {lower.decode()} fields")
            fields[lower] = value
    if b"signature" not in fields and b"signature-input" not in fields:
        raise UnsignedError("it bears no signature")
    texts: dict[bytes, str] = {}
    for field in _FIELDS:
        if field not in fields:
            raise SignatureError(f"no {field.decode()} field")
        try:
            texts[field] = fields[field].decode("ascii")
        except UnicodeDecodeError:
            raise SignatureError(f"the {field.decode()} field is not ASCII") from None
    if not any(texts[b"host"] == name for name in authorities):  # `in` would search in a lone string
        raise SignatureError("the host is none of the configured names")
    signature = _require(_SIGNATURE.fullmatch(texts[b"signature"]), "the signature field is not in its one spelling")
    return _read(
        method,
        texts[b"host"],
        target,
        texts[b"content-type"],
        texts[b"content-digest"],
        texts[b"signature-input"],
        _base64(signature["value"]),
    )


def check(parsed: Parsed, *, public: bytes, now_ms: int, not_before_ms: int = 0) -> None:
    """Steps 2 and 3 in one: the time, then the signature.

    Raises:
        SignatureError: one of them does not hold.
    """
    parsed.check_time(now_ms, not_before_ms)
    parsed.check_signature(public)


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """The bytes that are signed (RFC 9421 section 2.5): a line a component, then the parameters, no newline at the end.

    The values must be free of newlines; `parse` and `sign` see to that.
    """
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def _read(
    method: str,
    authority: str,
    target: str,
    content_type: str,
    content_digest: str,
    signature_input: str,
    signature: bytes,
) -> Parsed:
    _require(_METHOD.fullmatch(method), "the method is not in upper case")
    _require(_AUTHORITY.fullmatch(authority), "the authority is not a name in lower case")
    if len(target) > target_bytes_max:
        raise SignatureError(f"the target is longer than {target_bytes_max} bytes")
    parts = _require(_TARGET.fullmatch(target), "the target is not a path and, if a question mark, a query")
    if _UNSTABLE_PATH.search(parts["path"]):
        raise SignatureError("the path has an empty or a dot segment, which somebody on the way would resolve")
    _require(_CONTENT_TYPE.fullmatch(content_type), "the content type is not in its one spelling")
    digest = _require(_DIGEST.fullmatch(content_digest), "the content digest is not in its one spelling")
    found = _require(_INPUT.fullmatch(signature_input), "the signature input is not in its one spelling")
    created, expires = int(found["created"]), int(found["expires"])
    if not 0 < (expires - created) * limits.SECOND_MS <= limits.signature_window_max_ms:
        raise SignatureError("the signature is not for 1 to 60 seconds")
    values = (method, authority, parts["path"], parts["query"] or "?", content_type, content_digest)
    return Parsed(
        keyid=found["keyid"],
        created=created,
        expires=expires,
        nonce=found["nonce"],
        content_type=content_type,
        digest=_base64(digest["value"]),
        signature=signature,
        base=signature_base(list(zip(COMPONENTS, values, strict=True)), found["parameters"]),
    )


def _require(match: re.Match[str] | None, otherwise: str) -> re.Match[str]:
    if match is None:
        raise SignatureError(otherwise)
    return match


def _content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _base64(text: str) -> bytes:
    value = base64.b64decode(text)
    if base64.b64encode(value).decode() != text:
        raise SignatureError("base64 that is not in its one spelling")
    return value
