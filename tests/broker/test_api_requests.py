"""Who may ask, and how: signed requests, HTTP at its edges, and connections that misbehave. SPEC.md section 3.

A refusal of a signature tells the network one vague thing. Whatever stands on the wire, the answer is the right one or
the connection is closed; nothing is ever taken for the next request.
"""

import asyncio
import base64
import gzip
import re
import secrets
import time
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import Peer, change_point, known_everywhere, now_ms, publish, read_answer, refused, revoked

from valija_broker import directory, upkeep
from valija_schemas import api, http_signature, problem
from valija_schemas import note as notes
from valija_schemas.directory import Key

SIGNED = [
    ("POST", "/v1/messages/batch"),
    ("POST", "/v1/leases"),
    ("POST", "/v1/leases/acknowledge"),
    ("POST", "/v1/leases/extend"),
    ("POST", "/v1/leases/release"),
    ("GET", "/v1/events"),
    ("GET", "/v1/evidence/" + "ab" * 32),
    ("GET", "/v1/directory"),
    ("GET", "/v1/directory/freshness"),
    ("GET", "/v1/directory/roots/1"),
    ("GET", "/v1/directory/versions/1"),
    ("GET", "/v1/limits"),
]
LEASE = api.encode(api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=0))


def vague(answer) -> bytes:
    """A refusal of the signature, without its time: all of them must be equal."""
    refused(answer, "not-signed")
    return re.sub(rb'"time":\d+', b"", answer.body)


# The signature


async def test_a_look_from_outside_is_told_apart_from_a_wrong_clock_or_key(fresh, sandbox):
    peer = fresh()

    def noted():
        """How many failures were counted, and what the log said of them and of other requests without a caller."""
        (count,) = re.findall(r"^valija_signature_failures_total (\S+)$", sandbox.get("/metrics")[1], re.MULTILINE) or [
            0
        ]
        told = [line["event"] for line in sandbox.log() if line["event"] in {"request_unsigned", "request_not_signed"}]
        return float(count), told

    count, told = noted()
    vague(await peer.send("GET", "/v1/limits", headers={"Host": peer.authority}))  # what `valija doctor` asks first
    assert noted() == (count, [*told, "request_unsigned"])
    vague(await peer.request("GET", "/v1/limits", created=int(time.time()) - 3_600))
    assert noted() == (count + 1, [*told, "request_unsigned", "request_not_signed"])


@pytest.mark.parametrize(("method", "target"), SIGNED)
async def test_every_request_but_a_message_must_be_signed(fresh, method, target):
    peer = fresh()
    body = LEASE if method == "POST" else b""
    headers = {"Content-Type": api.MSGPACK_TYPE, "Host": peer.authority}
    first = vague(await peer.send(method, target, body, headers))
    stranger = notes.Ed25519Signer("x/y", Ed25519PrivateKey.generate())
    assert vague(await peer.request(method, target, body, key=stranger)) == first


async def test_every_fault_of_a_signature_gets_one_and_the_same_answer(fresh):
    peer, other = fresh(), fresh()
    target, now = "/v1/leases", int(time.time())
    good = peer.signed("POST", target, LEASE)

    def changed(**fields: str) -> dict[str, str]:
        return good | {name.replace("_", "-"): value for name, value in fields.items()}

    def without(name: str) -> dict[str, str]:
        return {key: value for key, value in good.items() if key != name}

    resigned = peer.signed("POST", target, LEASE)
    faults = {
        "an altered digest": changed(Content_Digest=f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"),
        "another host": changed(Host="other.example"),
        "another port": changed(Host="127.0.0.1:1"),
        "signed for another host": peer.signed("POST", target, LEASE, authority="other.example"),
        "upper case host": changed(Host="LOCALHOST:1"),
        "signed for another path": peer.signed("POST", "/v1/leases/extend", LEASE),
        "signed for another method": peer.signed("GET", target, LEASE),
        "signed for another body": peer.signed("POST", target, LEASE + b"\0"),
        "no signature": without("Signature"),
        "no input": without("Signature-Input"),
        "no digest": without("Content-Digest"),
        "a signature of another request": changed(Signature=resigned["Signature"]),
        "over": peer.signed("POST", target, LEASE, created=now - 120, lifetime=60),
        "made in the future": peer.signed("POST", target, LEASE, created=now + 60),
        "another's key": changed(
            Signature_Input=good["Signature-Input"].replace(
                http_signature.keys.auth_key_id(peer.keys.auth.public),
                http_signature.keys.auth_key_id(other.keys.auth.public),
            )
        ),
        "the sign key": peer.signed("POST", target, LEASE, key=peer.keys.sign),
        "another label": changed(Signature=good["Signature"].replace("sig1", "sig2")),
        "a second label": changed(Signature=good["Signature"] + ", sig2=:AAAA:"),
        "another tag": changed(Signature_Input=good["Signature-Input"].replace("valija-v1", "valija-v2")),
        "fewer components": changed(Signature_Input=good["Signature-Input"].replace(' "content-digest"', "")),
        "a longer window": changed(
            Signature_Input=re.sub(r"expires=(\d+)", f"expires={now + 600}", good["Signature-Input"])
        ),
        "a short nonce": changed(Signature_Input=re.sub(r'nonce="[^"]+"', 'nonce="short"', good["Signature-Input"])),
        "a two-fold digest": changed(Content_Digest=good["Content-Digest"] + ", " + good["Content-Digest"]),
    }
    answers = {why: vague(await peer.send("POST", target, LEASE, fields)) for why, fields in faults.items()}
    assert len(set(answers.values())) == 1, answers
    assert (await peer.send("POST", target, LEASE, good)).status == 200


async def test_a_target_spelled_in_another_way_is_not_the_one_that_was_signed(fresh):
    peer = fresh()
    good = "/v1/events?after=0"
    for target in (
        "/v1/events?after=1",
        "/v1/events?after=0&wait_ms=0",
        "/v1/events",
        "/v1/events?after=%30",
        "/v1/event%73?after=0",
        "/v1/./events?after=0",
        "//v1/events?after=0",
        "/v1/events?after=0&after=0",
        "/v1/events/?after=0",
        "/V1/events?after=0",
        f"http://{peer.authority}/v1/events?after=0",
    ):
        fields = peer.signed("GET", good)
        (answer,) = await peer.wire(peer.raw("GET", target, {**fields, "Connection": "close"}, length=False))
        assert answer.status in {401, 404}, target


async def test_a_request_sent_twice_is_done_once_in_whichever_worker(fresh):
    sender, peer = fresh(), fresh()
    await sender.accepted(sender.message(peer))
    (lent,) = await peer.lease()
    body = api.encode([api.Release(token=lent.token, delay_ms=0, dead=False)])
    fields = peer.signed("POST", "/v1/leases/release", body)
    answers = await asyncio.gather(*(peer.send("POST", "/v1/leases/release", body, fields) for _ in range(8)))
    assert sorted(a.status for a in answers) == [200] + [401] * 7
    assert len({vague(a) for a in answers if a.status == 401}) == 1


async def test_a_nonce_is_the_caller_s_own(fresh):
    one, two = fresh(), fresh()
    nonce = secrets.token_urlsafe(16)
    assert (await one.request("GET", "/v1/limits", nonce=nonce)).status == 200
    assert (await two.request("GET", "/v1/limits", nonce=nonce)).status == 200
    vague(await one.request("GET", "/v1/limits", nonce=nonce))


async def test_a_request_whose_body_is_not_the_signed_one_does_not_use_up_its_nonce(fresh):
    peer = fresh()
    fields = peer.signed("POST", "/v1/leases", LEASE)
    vague(await peer.send("POST", "/v1/leases", LEASE.replace(b"one", b"two"), fields))
    assert (await peer.send("POST", "/v1/leases", LEASE, fields)).status == 200


# The directory ends keys and contact points


async def test_a_revoked_or_retired_auth_key_and_only_that_ends_at_once(fresh):
    for status in ("revoked", "retired"):
        peer = fresh()
        assert (await peer.request("GET", "/v1/limits")).status == 200
        new = notes.Ed25519Signer(peer.name, Ed25519PrivateKey.generate())
        point = peer.exchange.phonebook.point(peer.id)
        (ended,) = revoked(point.auth, now_ms())
        keys = (Key(key=new.public.hex(), status="active", ended=None), msgspec.structs.replace(ended, status=status))
        await publish(peer.sandbox, change_point(peer.id, auth=keys))
        vague(await peer.request("GET", "/v1/limits"))
        assert (await peer.request("GET", "/v1/limits", key=new)).status == 200


async def test_a_suspended_contact_point_reads_and_does_nothing_else(fresh):
    sender, peer = fresh(), fresh()
    await sender.accepted(sender.message(peer))
    await sender.accepted(sender.message(peer))
    lent = await peer.lease(limit=1)
    receipt = peer.receipt(lent[0])
    await publish(peer.sandbox, change_point(peer.id, status="suspended"))
    for target, value in (
        ("/v1/leases", api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=0)),
        ("/v1/leases/acknowledge", [api.Acknowledgement(token=lent[0].token, receipt=receipt)]),
        ("/v1/leases/extend", api.Extension(tokens=(lent[0].token,))),
        ("/v1/leases/release", [api.Release(token=lent[0].token, delay_ms=0, dead=True)]),
        ("/v1/messages/batch", [peer.message(sender)]),
    ):
        refused(await peer.post(target, value), "suspended")
    refused(await peer.submit(peer.message(sender)), "suspended")
    for target in ("/v1/directory", "/v1/directory/freshness", "/v1/directory/versions/1", "/v1/events", "/v1/limits"):
        assert (await peer.request("GET", target)).status == 200
    assert [e["event"] for e in await peer.feed(2)][:1] == ["ContentHandover"]
    # Mail accepted before waits; nothing of the time under suspension is held against anybody.
    await publish(peer.sandbox, change_point(peer.id, status="active"))
    again = await peer.lease(instance="two")
    assert sorted(x.message for x in again if x.attempt == 1) == sorted(x.message for x in again)
    assert len(again) == 2
    assert await peer.acknowledge(api.Acknowledgement(token=lent[0].token, receipt=receipt)) == ["stale"]


async def test_a_long_poll_of_a_contact_point_ends_empty_when_it_is_suspended(fresh):
    sender, peer = fresh(), fresh()
    waiting = asyncio.create_task(peer.ask_lease(wait_ms=20_000))
    await asyncio.sleep(0.1)
    data = sender.message(peer)
    await publish(peer.sandbox, change_point(peer.id, status="suspended"))
    refused(await sender.submit(data), "suspended")
    assert not waiting.done() or api.read_lent((await waiting).body) == ()
    waiting.cancel()


async def test_a_caller_suspended_while_its_body_is_on_the_way_does_nothing(fresh):
    """A request held open a byte short must not outlive the suspension of its caller."""
    sender, peer, dropped = fresh(), fresh(), fresh()
    await sender.accepted(sender.message(peer))
    (lent,) = await peer.lease()
    body = api.encode([api.Acknowledgement(token=lent.token, receipt=peer.receipt(lent))])
    reader, writer = await peer.socket()
    writer.write(
        peer.raw("POST", "/v1/leases/acknowledge", peer.signed("POST", "/v1/leases/acknowledge", body), body)[:-1]
    )
    other_reader, other_writer = await dropped.socket()
    other_writer.write(dropped.raw("POST", "/v1/leases", dropped.signed("POST", "/v1/leases", LEASE), LEASE)[:-1])
    await asyncio.sleep(0.2)
    dropped.exchange.next_directory(
        change_point(dropped.id, auth=revoked(dropped.exchange.phonebook.point(dropped.id).auth, now_ms())),
        now_ms=now_ms(),
    )
    await publish(peer.sandbox, change_point(peer.id, status="suspended"))
    writer.write(body[-1:])
    other_writer.write(LEASE[-1:])
    refused(await read_answer(reader), "suspended")
    refused(await read_answer(other_reader), "not-signed")
    writer.close()
    other_writer.close()
    assert "ConsignmentAcceptance" not in [e["event"] for e in await sender.feed(3, within_s=0.5)]


async def test_a_published_directory_reaches_every_worker_by_itself_and_no_process_looks_less_often(sandbox):
    assert upkeep.publish_every_s + directory.refresh_s <= 2, "what is promised where nothing else is in the way"
    sandbox.exchange.next_directory(now_ms=now_ms())
    sandbox.publish()
    await known_everywhere(sandbox, sandbox.exchange.phonebook.version)


# HTTP


@pytest.mark.parametrize(("method", "target"), [*SIGNED, ("POST", "/v1/messages")])
async def test_a_wrong_method_is_told_the_right_one(fresh, method, target):
    peer = fresh()
    for wrong in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} - {method}:
        answer = await peer.send(wrong, target)
        refused(answer, "method-not-allowed")
        assert answer.headers["Allow"] == method
    (answer,) = await peer.wire(peer.raw("HEAD", target, {"Connection": "close"}, length=False), within_s=2) or [None]
    assert answer is None or answer.status == 405


async def test_an_answer_names_the_broker_s_version_and_not_what_it_is_made_of(fresh):
    for target in ("/v1/limits", "/nowhere"):
        answer = await fresh().send("GET", target)
        assert answer.headers["Server"] == f"valija-broker/{version('valija')}"
        assert "aiohttp" not in str(answer.headers)


async def test_an_unknown_path_is_not_found(fresh):
    peer = fresh()
    for path in (
        "/",
        "/v1",
        "/v1/",
        "/v2/messages",
        "/v1/messages/",
        "/v1/leases/x",
        "/metrics",
        "/readyz",
        "/livez",
        "/v1/evidence/",
        "/v1/directory/roots/",
        "/favicon.ico",
        "/v1/%00",
        "/v1/%ff%fe",
        "/v1/messages%2f",
    ):
        refused(await peer.send("GET", path), "not-found")


async def test_numbers_that_are_none_are_refused(fresh):
    peer = fresh()
    for number in ("-1", "01", "1e3", "0x1", "9" * 16, "1.0", "one", "+1"):
        plain = re.fullmatch(r"[A-Za-z0-9._~-]+", number)
        if plain:
            refused(await peer.request("GET", f"/v1/events?after={number}"), "malformed")
            refused(await peer.request("GET", f"/v1/directory/versions/{number}"), "not-found")
    for target in ("/v1/directory/versions/0", "/v1/directory/versions/999999999999999", "/v1/directory/roots/2"):
        refused(await peer.request("GET", target), "not-found")
    assert await peer.events(after=10**15 - 1) == ()


async def test_another_content_type_or_any_content_encoding_is_refused_unread(fresh):
    peer, recipient = fresh(), fresh()
    data = peer.message(recipient)
    for type_ in ("", "text/plain", "application/json", api.MESSAGE_TYPE + "; charset=utf-8", api.MESSAGE_TYPE.upper()):
        headers = {"Content-Type": type_} if type_ else {}
        refused(await peer.send("POST", "/v1/messages", data, headers), "unsupported")
    refused(await peer.submit(gzip.compress(data), {"Content-Encoding": "gzip"}), "unsupported")
    refused(await peer.submit(data, {"Content-Encoding": "identity"}), "unsupported")
    for target in (
        "/v1/leases",
        "/v1/messages/batch",
        "/v1/leases/acknowledge",
        "/v1/leases/extend",
        "/v1/leases/release",
    ):
        refused(await peer.request("POST", target, LEASE, content_type="application/json"), "unsupported")
    assert await recipient.lease() == ()


def most_memory(peer: Peer) -> int:
    """Bytes of memory that the workers ever had."""
    found = [Path(f"/proc/{pid}/status").read_text() for pid in peer.sandbox.processes()["worker"]]
    return sum(int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024 for text in found)


async def test_a_small_bomb_of_gzip_costs_nothing(fresh):
    peer = fresh()
    bomb = gzip.compress(bytes(200_000_000), 9)
    before = most_memory(peer)
    head = peer.raw("POST", "/v1/messages", {"Content-Type": api.MESSAGE_TYPE, "Content-Encoding": "gzip"}, bomb)
    answers = await peer.wire(head, within_s=3)
    assert [a.status for a in answers] in ([415], [415, 400])
    assert most_memory(peer) - before < 100_000_000, "it was unpacked"


@pytest.mark.parametrize("target", [t for m, t in SIGNED if m == "POST"])
async def test_a_request_of_another_shape_is_malformed(fresh, target):
    peer = fresh()
    deep = b"\x91" * 5_000
    values = [
        b"",
        b"\xc1",
        deep,
        LEASE[:-1],
        LEASE + b"\0",
        api.encode({"x": 1}),
        api.encode([{}]),
        api.encode("x"),
        api.encode(["\ud800".encode("utf-8", "surrogatepass")]),
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ]
    if target == "/v1/messages/batch":
        values.remove(api.encode(["\ud800".encode("utf-8", "surrogatepass")]))  # a batch of one message, if a bad one
    for body in values:
        refused(await peer.request("POST", target, body), "malformed")
    refused(await peer.request("POST", target, bytes(5 * 1024 * 1024)), "too-large")


async def test_a_lease_request_out_of_bounds_is_malformed(fresh):
    peer = fresh()
    good = {"instance": "one", "have": [], "limit": 1, "wait_ms": 0}
    for change in (
        {"limit": 0},
        {"limit": 65},
        {"wait_ms": -1},
        {"wait_ms": 60_001},
        {"instance": ""},
        {"instance": "A"},
        {"instance": "x" * 65},
        {"have": ["x"] * 1_025},
        {"have": ["x" * 81]},
        {"more": 1},
        {"limit": 2**63},
        {"limit": True},
        {"instance": b"one"},
        {"have": None},
    ):
        refused(await peer.post("/v1/leases", good | change), "malformed")


# Connections


async def test_a_body_by_chunks_is_the_same_body(fresh):
    peer = fresh()
    fields = peer.signed("POST", "/v1/leases", LEASE)
    head = peer.raw("POST", "/v1/leases", {**fields, "Transfer-Encoding": "chunked"}, length=False)
    chunks = b"".join(b"1\r\n" + LEASE[n : n + 1] + b"\r\n" for n in range(len(LEASE))) + b"0\r\n\r\n"
    (answer,) = await peer.wire(head + chunks, within_s=0.5)
    assert answer.status == 200


async def test_nothing_is_smuggled_behind_a_body_with_two_lengths(fresh):
    """Each of these has two readings. Whoever stands before the broker may have chosen the other one."""
    sender, recipient = fresh(), fresh()
    inner = sender.raw_submit(sender.message(recipient))
    type_ = f"Content-Type: {api.MESSAGE_TYPE}\r\n"
    start = f"POST /v1/messages HTTP/1.1\r\nHost: {sender.authority}\r\n{type_}"
    chunked = b"0\r\n\r\n"
    heads = {
        "length and chunks": f"Content-Length: {len(inner) + 5}\r\nTransfer-Encoding: chunked\r\n",
        "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "two lengths": f"Content-Length: 5\r\nContent-Length: {len(inner) + 5}\r\n",
        "a list of lengths": f"Content-Length: 5, {len(inner) + 5}\r\n",
        "chunks twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "another last coding": "Transfer-Encoding: chunked, identity\r\n",
        "an unknown coding": "Transfer-Encoding: xchunked\r\n",
        "a space before the colon": f"Content-Length : {len(inner)}\r\n",
        "a folded line": "Transfer-Encoding:\r\n chunked\r\n",
        "a tab": "Transfer-Encoding:\tchunked\r\nContent-Length: 0\r\n",
        "a negative length": "Content-Length: -1\r\n",
        "a signed length": "Content-Length: +5\r\n",
        "a hexadecimal length": "Content-Length: 0x5\r\n",
        "a bare newline": f"X: y\nContent-Length: {len(inner)}\r\n",
        "a carriage return": f"X: y\rContent-Length: {len(inner)}\r\n",
        "a null": "X: y\0z\r\n",
    }
    connections = (
        sender.wire((start + lines + "\r\n").encode() + chunked + inner, within_s=0.7) for lines in heads.values()
    )
    for why, answers in zip(heads, await asyncio.gather(*connections), strict=True):
        assert all(400 <= a.status < 500 for a in answers), (why, answers)
        assert len(answers) <= 1, (why, answers)
    assert await recipient.lease() == ()


@pytest.mark.parametrize("size", ["5", "5;x=y", "05", "0x5", "+5", "-5", "5 ", "FFFFFFFFFFFFFFFFF", "", "g"])
async def test_a_chunk_of_any_spelling_is_read_right_or_ends_the_connection(fresh, size):
    sender, recipient = fresh(), fresh()
    inner = sender.raw_submit(sender.message(recipient))
    fields = {"Content-Type": api.MESSAGE_TYPE, "Transfer-Encoding": "chunked"}
    head = sender.raw("POST", "/v1/messages", fields, length=False)
    answers = await sender.wire(head + size.encode() + b"\r\nxxxxx\r\n0\r\n\r\n" + inner, within_s=0.7)
    assert answers[0].status == 400
    assert [a.status for a in answers[1:]] in ([], [202])
    if size not in {"5", "5;x=y", "05"}:
        assert answers[1:] == []
        assert await recipient.lease() == ()


async def test_a_request_behind_a_refused_body_is_never_made_of_that_body(fresh):
    """The unread body holds a request of its own; the connection is closed, or the bytes are counted right."""
    sender, recipient = fresh(), fresh()
    inner = sender.raw_submit(sender.message(recipient))
    outer = sender.raw("POST", "/v1/messages", {"Content-Type": "text/plain"}, b"x" * 40_000 + inner)
    first, *rest = await sender.wire(outer, within_s=0.7)
    refused(first, "unsupported")
    assert rest == []
    assert await recipient.lease() == ()


async def test_a_refusal_that_left_a_body_unread_says_close_and_closes(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    head = sender.raw("POST", "/v1/messages", {"Content-Type": "text/plain", "Content-Length": "500000"}, length=False)
    reader, writer = await sender.socket()
    writer.write(head + b"x" * 10)
    answer = await asyncio.wait_for(read_answer(reader), 5)
    refused(answer, "unsupported")
    assert answer.headers["Connection"] == "close"
    assert await asyncio.wait_for(reader.read(), 20) == b"", "a peer that was refused keeps its connection"
    writer.close()
    assert (await sender.submit(data)).status == 202


async def test_a_connection_that_was_told_to_close_answers_nothing_more(fresh):
    """Who reads `close` has let go of the connection; what came behind must not be done with nobody to hear of it."""
    sender, recipient = fresh(), fresh()
    behind = sender.raw_submit(sender.message(recipient))
    for body in (b"x" * 100, b"x" * 400_000):
        bad = sender.raw("POST", "/v1/messages", {"Content-Type": "text/plain"}, body)
        reader, writer = await sender.socket()
        writer.write(bad[:-50])
        await writer.drain()
        answer = await asyncio.wait_for(read_answer(reader), 5)
        refused(answer, "unsupported")
        assert answer.headers["Connection"] == "close"
        writer.write(bad[-50:] + behind)
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert await recipient.lease() == ()


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(fresh):
    sender, recipient = fresh(), fresh()
    messages = [sender.message(recipient) for _ in range(5)]
    bad = sender.raw("GET", "/nothing", {}, length=False)
    parts = [part for m in messages for part in (sender.raw_submit(m), bad)]
    answers = await sender.wire(b"".join(parts), within_s=1)
    assert [a.status for a in answers] == [202, 404] * 5
    assert len(await recipient.lease()) == 5


async def test_a_repeat_whose_body_never_comes_does_not_spoil_the_connection(fresh):
    """The first answer is given after the note alone; the body that follows must not be read as a request."""
    sender, recipient, other = fresh(), fresh(), fresh()
    data = sender.message(recipient, document=b'{"t":"' + b"x" * 100_000 + b'"}')
    first = await sender.submit(data)
    answers = await sender.wire(sender.raw_submit(data) + sender.raw_submit(sender.message(other)), within_s=1)
    assert answers[0].body == first.body
    assert [a.status for a in answers] in ([202], [202, 202])


async def test_headers_without_end_are_refused(fresh):
    peer = fresh()
    long = [
        peer.raw("GET", "/v1/" + "x" * 20_000, {}, length=False),
        peer.raw("GET", "/v1/limits", {"X": "y" * 20_000}, length=False),
        peer.raw("GET", "/v1/limits", {f"X-{n}": "y" * 1_000 for n in range(300)}, length=False),
        peer.raw("GET", "/v1/limits", {f"X-{n}": "" for n in range(5_000)}, length=False),
        b"GET / HTTP/1.1\r\n" + b"x" * 100_000,
        b"\0" * 5_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    for answers in await asyncio.gather(*(peer.wire(data, within_s=0.7) for data in long)):
        assert all(400 <= a.status < 500 and a.code for a in answers), answers


async def test_what_the_http_library_refuses_by_itself_is_a_problem_too(fresh):
    peer = fresh()
    expecting = {"Expect": "the-impossible"}
    for data in (
        b"hello\r\n\r\n",
        peer.raw("GET", "/v1/limits", {"X": "y" * 20_000}, length=False),
        peer.raw("GET", "/v1/limits", {"Content-Length": "many"}, length=False),
        peer.raw("GET", "/v1/limits", expecting, length=False),
        peer.raw("POST", "/v1/nowhere", expecting),
        peer.raw("GET", "/v1/limits", {"Expect": "MARK"}, length=False).replace(b"MARK", b"\xcc"),  # no text at all
    ):
        (answer,) = await peer.wire(data, within_s=0.7)
        assert refused(answer, "malformed").detail == problem.KINDS[problem.Code.MALFORMED].title
        assert answer.headers["Server"] == f"valija-broker/{version('valija')}"
    data = peer.raw("GET", "/v1/limits", peer.signed("GET", "/v1/limits") | {"Expect": "100-continue"}, length=False)
    assert [answer.status for answer in await peer.wire(data, within_s=0.7)] == [100, 200]


@pytest.mark.parametrize("length", [10 * 2**30, 2**63, 2**64, 10**400])
async def test_a_body_that_is_announced_larger_than_allowed_is_refused_before_any_of_it_comes(fresh, length):
    peer = fresh()
    fields = {"Content-Type": api.MESSAGE_TYPE, "Content-Length": str(length)}
    signed = peer.signed("POST", "/v1/leases", LEASE) | {"Content-Length": str(length)}
    for data in (
        peer.raw("POST", "/v1/messages", fields, length=False),
        peer.raw("POST", "/v1/leases", signed, length=False),
    ):
        reader, writer = await peer.socket()
        writer.write(data)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).split(b" ")
        assert head[1] in {b"413", b"400"}
        writer.close()


async def test_an_upgrade_is_never_taken(fresh):
    sender, recipient = fresh(), fresh()
    fields = {"Content-Type": api.MESSAGE_TYPE, "Connection": "Upgrade", "Upgrade": "websocket"}
    inner = sender.raw_submit(sender.message(recipient))
    answers = await sender.wire(sender.raw("POST", "/v1/messages", fields, inner), within_s=0.7)
    assert all(a.status != 101 and a.status < 500 for a in answers)
    assert await recipient.lease() == ()


async def test_a_broken_chunk_is_the_sender_s_fault_and_not_ours(fresh, sandbox):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient, document=b'{"t":"' + b"x" * 60_000 + b'"}')
    head = sender.raw(
        "POST", "/v1/messages", {"Content-Type": api.MESSAGE_TYPE, "Transfer-Encoding": "chunked"}, length=False
    )
    chunk = b"%x\r\n" % 30_000 + data[:30_000] + b"\r\n"
    for broken in (head + chunk + b"zz\r\n", head + chunk + b"5\r\nxxxxxx\r\n", head + b"zz\r\n"):
        answers = await sender.wire(broken, within_s=1)
        assert [a.status for a in answers[:1]] in ([], [400]), answers
    lease = sender.signed("POST", "/v1/leases", LEASE)
    answers = await sender.wire(
        sender.raw("POST", "/v1/leases", {**lease, "Transfer-Encoding": "chunked"}, length=False) + b"zz\r\n",
        within_s=1,
    )
    assert [a.status for a in answers[:1]] in ([], [400]), answers
    assert [line for line in sandbox.log() if line.get("event") == "unexpected"] == []


async def test_a_sender_that_hangs_up_half_way_leaves_nothing(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient, document=b'{"t":"' + b"x" * 60_000 + b'"}')
    whole = sender.raw_submit(data)
    head = len(whole) - len(data)
    for at in (10, 1_000, 20_000, len(data) - 1):
        _, writer = await sender.socket()
        writer.write(whole[: head + at])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.2)
    assert await recipient.lease() == ()
    assert (await sender.submit(data)).status == 202


async def test_a_stranger_s_body_is_not_waited_for(fresh):
    """The signature is judged by the header fields alone: a stranger is turned away before any of its body."""
    peer = fresh()
    stranger = notes.Ed25519Signer("x/y", Ed25519PrivateKey.generate())
    fields = peer.signed("POST", "/v1/leases", LEASE, key=stranger)
    reader, writer = await peer.socket()
    writer.write(peer.raw("POST", "/v1/leases", fields, LEASE)[: -len(LEASE)])
    refused(await asyncio.wait_for(read_answer(reader), 2), "not-signed")
    writer.close()
    unsigned = peer.raw(
        "POST", "/v1/messages", {"Content-Type": api.MESSAGE_TYPE, "Content-Length": "2000000"}, length=False
    )
    (answer, *_) = await peer.wire(unsigned, within_s=1)
    refused(answer, "too-large")


async def test_a_slow_body_does_not_hold_up_anybody_else(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    held = []
    for _ in range(200):
        reader, writer = await sender.socket()
        writer.write(sender.raw_submit(data)[:300])
        held.append((reader, writer))
    await sender.accepted(sender.message(recipient))
    assert not any(reader.at_eof() for reader, _ in held), "served while all of them were waited for"
    for _, writer in held:
        writer.close()


async def test_a_note_that_trickles_in_is_cut_off_in_time(monkeypatch):
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    from valija_broker import problems, reading

    monkeypatch.setattr(reading, "body_deadline_s", 0.3)

    async def read(request: web.Request) -> web.Response:
        if request.path == "/note":
            await reading.read_note(request)
        if request.path == "/both":
            await request.content.readexactly(1)
            reading.body_deadline(request)  # as if the note had come by now, and the rest were to follow
            await asyncio.sleep(0.25)
        await reading.read_body(request, 1_000)
        return web.Response()

    app = web.Application(middlewares=[problems.answer_problems])
    app.add_routes([web.post("/note", read), web.post("/body", read), web.post("/both", read)])

    async def trickle():
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.05)

    async with TestClient(TestServer(app)) as client:
        for path in ("/note", "/body", "/both"):
            async with client.post(path, data=trickle()) as answer:
                assert answer.status == 408


async def test_a_broker_that_is_told_to_stop_does_not_wait_for_long_polls(tmp_path):
    from sandbox import Sandbox

    sandbox = Sandbox(tmp_path / "x", workers=1)
    await asyncio.to_thread(sandbox.start)
    try:
        async with Peer(sandbox, "mx.enlace") as peer:
            waiting = [
                asyncio.create_task(peer.ask_lease(wait_ms=50_000)),
                asyncio.create_task(peer.request("GET", "/v1/events?after=0&wait_ms=50000")),
            ]
            await asyncio.sleep(0.5)
            began = time.monotonic()
            assert await asyncio.to_thread(sandbox.stop) == 0
            assert time.monotonic() - began < 40
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(a, Exception) or a.status == 200 for a in answers), answers
    finally:
        sandbox.kill()
