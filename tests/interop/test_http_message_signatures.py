"""`http-message-signatures`, somebody else's RFC 9421: it verifies what we sign, and a broker takes what it signs.

Its own order of parameters is not the one of SPEC.md section 3.2, which a broker insists on. So its `prepare` is asked
for the signature base, the parameters are put into our order, and its `apply` builds the base again and compares.
"""

import dataclasses
import datetime as dt
import secrets
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    PreparedSignature,
    algorithms,
)

from valija_schemas import api, http_signature, keys

pytestmark = pytest.mark.interop

LEASE = api.encode({"instance": "one", "have": [], "limit": 1, "wait_ms": 0})
REQUESTS = [
    ("GET", "/v1/limits", b""),
    ("GET", "/v1/events?after=0&wait_ms=0", b""),
    ("POST", "/v1/leases", LEASE),
]


@dataclasses.dataclass
class Request:
    """What the library asks of a request."""

    method: str
    url: str
    headers: dict[str, str]


def verify(peer, request, body):
    public = Ed25519PublicKey.from_public_bytes(peer.keys.auth.public)
    resolver = MappingKeyResolver(public_keys={keys.auth_key_id(peer.keys.auth.public): public}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    return verifier.verify(
        request, expect_tag=http_signature.TAG, require_components=http_signature.COMPONENTS, body=body
    )


class Theirs:
    """Signs with the library."""

    order: ClassVar = ("created", "expires", "nonce", "keyid", "alg", "tag")

    def __init__(self, peer):
        self.peer = peer
        self.signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)

    def sign(self, method, target, body, *, order=order, label=http_signature.LABEL):
        headers = {"Host": self.peer.authority, "Content-Type": api.MSGPACK_TYPE}
        request = Request(method, f"http://{self.peer.authority}{target}", headers)
        now = dt.datetime.now(dt.UTC)
        prepared = self.signer.prepare(
            request,
            key_id=keys.auth_key_id(self.peer.keys.auth.public),
            created=now,
            expires=now + dt.timedelta(seconds=60),
            nonce=secrets.token_urlsafe(16),
            label=label,
            tag=http_signature.TAG,
            covered_component_ids=http_signature.COMPONENTS,
            body=body,
        )
        prepared = in_order(prepared, order) if order else prepared
        self.signer.apply(request, prepared, self.peer.keys.auth.sign(prepared.signature_base))
        return request


def in_order(prepared, order):
    covered, *parameters = prepared.signature_params.split(";")
    named = {parameter.split("=")[0]: parameter for parameter in parameters}
    parameters = ";".join([covered, *(named[name] for name in order)])
    base = prepared.signature_base.replace(prepared.signature_params.encode(), parameters.encode())
    return PreparedSignature(base, parameters, prepared.label, prepared.algorithm_id)


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
async def test_a_foreign_verifier_takes_what_our_client_signs_and_nothing_that_was_changed(fresh, method, target, body):
    peer = fresh()
    fields = peer.signed(method, target, body)
    request = Request(method, f"http://{peer.authority}{target}", fields)
    (found,) = verify(peer, request, body)
    assert found.nonce
    for changed in (
        dataclasses.replace(request, method="PUT"),
        dataclasses.replace(request, url=request.url + "0"),
        dataclasses.replace(request, headers={**fields, "Content-Type": "text/plain"}),
    ):
        with pytest.raises(InvalidSignature):
            verify(peer, changed, body)
    with pytest.raises(InvalidSignature):
        verify(peer, request, body + b"x")


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
async def test_a_broker_takes_what_a_foreign_signer_writes_in_the_one_form(fresh, method, target, body):
    peer = fresh()
    request = Theirs(peer).sign(method, target, body)
    answer = await peer.send(method, target, body, request.headers)
    assert answer.status == 200, answer
    again = await peer.send(method, target, body, request.headers)
    assert again.status == 401, "a nonce counts once, whoever drew it"


async def test_a_broker_refuses_a_foreign_signature_in_any_other_form(fresh):
    peer = fresh()
    theirs = Theirs(peer)
    for other in (
        theirs.sign("GET", "/v1/limits", b"", order=None),
        theirs.sign("GET", "/v1/limits", b"", label="pyhms"),
    ):
        verify(peer, other, b"")
        answer = await peer.send("GET", "/v1/limits", b"", other.headers)
        assert answer.status == 401, answer
    good = theirs.sign("GET", "/v1/limits", b"")
    answer = await peer.send("GET", "/v1/directory", b"", good.headers)
    assert answer.status == 401, answer
