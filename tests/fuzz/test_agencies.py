"""Schemathesis against a running broker: from the published document it makes requests that keep it and that do not.

Each is signed by a contact point, so that what is behind the signature is reached. No answer may be a failure of the
broker, and each must be one that the document declares. Afterwards the broker's log must hold nothing unexpected,
which the fixture `sandbox` looks for.
"""

import http.client
import os
import re
from urllib.parse import quote, urlencode

import declared_answers
import msgspec
import pytest
import schemathesis
from harness import Peer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.core import NOT_SET
from schemathesis.transport.serialization import Binary

from valija_schemas import api, http_signature

#: Requests of each operation, beside those that schemathesis makes of every rule of its schema.
EXAMPLES = int(os.environ.get("VALIJA_FUZZ_EXAMPLES", "15"))
MESSAGE = (declared_answers.FOLDER.parent / "vectors" / "example" / "message").read_bytes()

WAITS = range(1, 60_001)

cuts = st.integers(0, len(MESSAGE)).map(lambda length: MESSAGE[:length])
flips = st.tuples(st.integers(0, len(MESSAGE) - 9), st.binary(min_size=1, max_size=8)).map(
    lambda found: MESSAGE[: found[0]] + found[1] + MESSAGE[found[0] + len(found[1]) :]
)
schemathesis.openapi.media_type(api.MESSAGE_TYPE, st.one_of(st.binary(max_size=4_096), cuts, flips))
schemathesis.serializer(api.MSGPACK_TYPE)(lambda _, value: pack(value))
document = schemathesis.openapi.from_dict(declared_answers.AGENCIES.document)


@pytest.fixture(scope="module")
def peer(sandbox):
    """A contact point that signs any target: the broker reads more than a client of ours may send (SPEC.md 3.2)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_signature, "_PLAIN_TARGET", re.compile(".*"))
        patch.setattr(http_signature, "target_bytes_max", 1024 * 1024)
        yield Peer(sandbox, "p000")


def pack(value):
    """A body as bytes, whatever was made for one."""
    if value is NOT_SET or value is None:
        return b""
    if isinstance(value, Binary | bytes):
        return getattr(value, "data", value)
    return msgspec.msgpack.encode(packable(value))


def packable(value):
    """Bytes for what stands for the type bin; no number that MessagePack lacks; nobody waits for mail here."""
    match value:
        case Binary():
            return value.data
        case str():
            return value.encode("utf-8", "replace").decode()
        case int():
            return max(-(2**63), min(value, 2**64 - 1))
        case dict():
            return {
                packable(key): 0 if key == "wait_ms" and item in WAITS else packable(item)
                for key, item in value.items()
            }
        case list():
            return [packable(item) for item in value]
    return value


def target_of(case):
    path = quote(case.formatted_path, safe="/%")
    query = {
        key: "0" if key == "wait_ms" and str(item).isdecimal() else item for key, item in (case.query or {}).items()
    }
    return path + ("?" + urlencode(query, doseq=True, errors="replace") if query else "")


def ask(peer, method, target, body, media):
    """Send it, signed, and have the answer looked at."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.sandbox.port, timeout=60)
    try:
        connection.request(method, target, body, peer.signed(method, target, body, content_type=media))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@document.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_is_declared(case, peer):
    target, body = target_of(case), pack(case.body)
    status, headers, answered = ask(peer, case.method, target, body, case.media_type or "application/octet-stream")
    assert status < 500 or status in {503, 507}, (case.method, target, body[:200], status)
    if case.method in {"GET", "POST"}:
        declared_answers.AGENCIES.check(case.method, target, status, headers, answered)
    else:
        assert status in {400, 405}
