"""Real clients, a real broker, real processes: what happens to mail when people and machines behave as they do."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from demo import bare_message, load_profile, profile_path, write_profiles
from msgspec.structs import replace
from promises import EXAMPLES, example
from sandbox import Sandbox

import examples
from valija import Client
from valija.registry.sample import sample_exchange
from valija.sync import Client as SyncClient
from valija.transport import Transport
from valija_schemas import api, documents

SCRIPTS = Path(__file__).parents[2] / "clients" / "examples"
REQUEST = "information-request/1"

#: Receives and is slow about it; says when it holds a message, and what attempt it is.
SLOW_READER = """
import sys, time
from valija.sync import Client
with Client.from_env() as valija:
    for message in valija.inbox():
        with message, message.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS seen (digest TEXT, attempt INTEGER)")
            db.execute("INSERT INTO seen VALUES (?, ?)", (message.digest, message.attempt))
            print("holds", message.attempt, flush=True)
            time.sleep(float(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A broker whose leases last a second, so that tests need not wait for a minute."""
    found = Sandbox(
        tmp_path_factory.mktemp("quick") / "x", sample_exchange(suspended=()), more="[quotas]\nlease_ms = 1000\n"
    )
    write_profiles(found)
    found.start()
    yield found
    assert found.stop() == 0


def environment(sandbox: Sandbox, who: str, state: Path | None = None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VALIJA")}
    extra = {"VALIJA_STATE": str(state)} if state else {}
    return {**clean, "VALIJA_CONFIG": str(profile_path(sandbox, who)), **extra}


def script(sandbox: Sandbox, who: str, *command: str, state: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], env=environment(sandbox, who, state), stdout=subprocess.PIPE, text=True
    )


def seen(state: Path) -> list[tuple[str, int]]:
    with contextlib.closing(sqlite3.connect(state / "inbox.sqlite")) as db:
        return db.execute("SELECT digest, attempt FROM seen").fetchall()


async def test_a_reader_killed_while_it_handles_a_message_gets_it_once_more_and_writes_once(quick, tmp_path):
    async with Client(load_profile(quick, "mx.enlace")) as mexico:
        sent = await mexico.send(example("information-request"), "ca.liaison", type=REQUEST)
        killed = script(quick, "ca.liaison", "-c", SLOW_READER, "60", state=tmp_path)
        assert killed.stdout.readline() == "holds 1\n"
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert seen_or_nothing(tmp_path) == [], "what an interrupted handler wrote is not there"
        await asyncio.sleep(1.2)  # its lease lapses
        again = script(quick, "ca.liaison", "-c", SLOW_READER, "0", state=tmp_path)
        assert await asyncio.to_thread(again.communicate) == ("holds 2\n", None)
        assert seen(tmp_path) == [(sent.digest, 2)]
        once_more = script(quick, "ca.liaison", "-c", SLOW_READER, "0", state=tmp_path)
        assert await asyncio.to_thread(once_more.communicate) == ("", None)
        await mexico.wait(sent, until="acknowledged", timeout=20)


@pytest.mark.parametrize(
    "name", ["firearms-trace-request", "controlled-delivery", "training-announcement", "withdrawal"]
)
async def test_documents_of_other_types_travel_too(name, quick, tmp_path):
    state = replace(load_profile(quick, "co.enlace"), state=tmp_path)
    async with Client(load_profile(quick, "mx.enlace")) as mexico, Client(state) as colombia:
        sent = await mexico.send(example(name), "co.enlace", type=f"{name}/1")
        async for message in colombia.inbox(f"{name}/1"):
            async with message:
                assert message.digest == sent.digest
                assert message.document == documents.from_builtins(f"{name}/1", example(name))
        await mexico.wait(sent, until="acknowledged", timeout=20)


def seen_or_nothing(state: Path) -> list[tuple[str, int]]:
    try:
        return seen(state)
    except sqlite3.OperationalError:
        return []


async def test_a_handler_that_takes_longer_than_the_lease_keeps_it(quick, tmp_path):
    async with Client(load_profile(quick, "mx.enlace")) as mexico:
        sent = await mexico.send(example("information-request"), "co.enlace", type=REQUEST)
        slow = script(quick, "co.enlace", "-c", SLOW_READER, "3", state=tmp_path / "slow")
        assert slow.stdout.readline() == "holds 1\n"
        await asyncio.sleep(1.5)
        other = script(quick, "co.enlace", "-c", SLOW_READER, "0", state=tmp_path / "other")
        assert await asyncio.to_thread(other.communicate) == ("", None), "another machine is not lent it meanwhile"
        assert (await asyncio.to_thread(slow.communicate), slow.returncode) == (("", None), 0)
        assert seen(tmp_path / "slow") == [(sent.digest, 1)]
        await mexico.wait(sent, until="acknowledged", timeout=20)


async def test_several_machines_share_a_mailbox_and_each_message_goes_to_one(quick, tmp_path):
    async with Client(load_profile(quick, "mx.enlace")) as mexico:
        sent = [await mexico.send(example("information-request"), "pe.enlace", type=REQUEST) for _ in range(24)]
        machines = [script(quick, "pe.enlace", "-c", SLOW_READER, "0.01", state=tmp_path / str(n)) for n in range(3)]
        for machine in machines:
            await asyncio.to_thread(machine.communicate)
            assert machine.returncode == 0
        rows = [row for n in range(3) for row in seen_or_nothing(tmp_path / str(n))]
        assert sorted(digest for digest, _ in rows) == sorted(one.digest for one in sent)


async def test_a_message_that_cannot_be_opened_blocks_nobody(quick):
    async with Client(load_profile(quick, "ca.liaison")) as canada, Client(load_profile(quick, "mx.enlace")) as mexico:
        keys = quick.exchange.keyrings["mx.enlace"]
        async with Transport(quick.url, lambda: keys.auth) as line:
            await line.submit(bare_message(quick, "mx.enlace", "ca.liaison"))  # an empty document: no type has that
        good = await mexico.send(example("information-request"), "ca.liaison", type=REQUEST)
        found = []
        async for message in canada.inbox():
            async with message:
                found.append(message.digest)
        assert found == [good.digest]


def test_a_doctor_finds_a_healthy_agency_healthy_and_leaves_nothing_that_alarms(quick, tmp_path):
    report = script(quick, "pe.enlace", "-m", "valija", "doctor", "--json", state=tmp_path)
    lines = json.loads(report.communicate(timeout=60)[0])
    assert {line["verdict"] for line in lines} == {"ok"}, lines
    assert {"broker", "clock", "log", "round trip"} < {line["check"] for line in lines}
    assert report.returncode == 0
    monitor = script(quick, "pe.enlace", "-m", "valija", "monitor", "--once", "--shared", state=tmp_path)
    assert "0 alarms" in monitor.communicate(timeout=60)[0]


def test_the_example_scripts_send_once_and_receive_once(quick, tmp_path):
    request = example("information-request")
    request["case"]["reference"] = f"EXAMPLE/{time.time_ns()}"
    (tmp_path / "request.json").write_text(json.dumps(request))
    send = (str(SCRIPTS / "send.py"), str(tmp_path / "request.json"), "co.enlace")
    first, again = (script(quick, "mx.enlace", *send).communicate(timeout=60)[0] for _ in range(2))
    assert first == again
    assert first.split()[1] == "accepted"
    lines = script(quick, "co.enlace", str(SCRIPTS / "receive.py")).communicate(timeout=60)[0].splitlines()
    assert [line.split()[0] for line in lines] == [first.split()[0]]
    assert script(quick, "co.enlace", str(SCRIPTS / "receive.py")).communicate(timeout=60)[0] == ""


def test_what_the_pages_show_does_what_they_say(quick, tmp_path, monkeypatch):
    """The sender waits in one thread for what the receiver does in another; a second message ends its endless loop."""
    request, last = example("information-request"), threading.Event()

    class Enough(BaseException):
        pass

    def store(sender: str, document: Any) -> None:
        assert (sender, document.case.reference) == ("mx.enlace", request["case"]["reference"])
        if last.is_set():
            raise Enough

    def send() -> None:
        # In the environment of this process: each example asks it for the profile.
        try:
            examples.the_readme_sends(request)
            document = documents.decode(REQUEST, (EXAMPLES / "information-request-1.json").read_bytes())
            asyncio.run(examples.valija_client(document))
        finally:
            last.set()
            with SyncClient.from_env() as valija:
                valija.send(request, "co.enlace", type=REQUEST)

    monkeypatch.setenv("VALIJA_CONFIG", str(profile_path(quick, "mx.enlace")))
    monkeypatch.setenv("VALIJA_STATE", str(tmp_path / "mx"))
    pool = concurrent.futures.ThreadPoolExecutor(1)
    sending = pool.submit(send)
    with SyncClient(replace(load_profile(quick, "co.enlace"), state=str(tmp_path / "co"))) as valija:
        with pytest.raises(Enough):
            examples.the_readme_receives(valija, store, example("response"))
        with contextlib.closing(sqlite3.connect(tmp_path / "co" / "inbox.sqlite")) as db:
            db.execute("CREATE TABLE requests (sender TEXT, document BLOB)")
        assert sending.result(60) is None  # before the last look: what came after it would wait for another test
        for message in valija.inbox():
            examples.the_readme_receives_exactly_once(message)
    pool.shutdown()


async def test_a_sender_killed_at_any_moment_sends_its_message_once(quick):
    send = (
        "-m",
        "valija",
        "send",
        str(EXAMPLES / "information-request-1.json"),
        "--type",
        REQUEST,
        "--to",
        "co.enlace",
    )
    for n, delay in enumerate((0.15, 0.3, 0.45, 0.6)):
        key = ("--key", f"killed-{n}-{time.time_ns()}")
        killed = script(quick, "mx.enlace", *send, *key)
        await asyncio.sleep(delay)
        killed.kill()
        killed.communicate()
        again = script(quick, "mx.enlace", *send, *key, "--output", "json")
        out, _ = await asyncio.to_thread(again.communicate)
        (sent,) = json.loads(out)
        assert sent["state"] == "accepted"
        async with Client(load_profile(quick, "co.enlace")) as colombia:
            found = []
            async for message in colombia.inbox():
                async with message:
                    found.append(message.id)
        assert found == [sent["id"]]


def test_a_broker_told_to_stop_does_not_wait_for_those_who_wait(tmp_path):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()))
    write_profiles(sandbox)
    sandbox.start()
    waiting = script(
        sandbox, "ca.liaison", "-c",
        "from valija.sync import Client\nwith Client.from_env() as v:\n    for m in v.inbox(follow=True): pass",
    )  # fmt: skip
    time.sleep(2)
    began = time.monotonic()
    assert sandbox.stop() == 0
    took = time.monotonic() - began
    waiting.kill()
    waiting.communicate()
    assert took < 15, "a long poll of 20 s must not hold up a stop"


async def test_a_broker_told_to_stop_finishes_what_is_in_flight(tmp_path):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()))
    sandbox.start()
    data = bare_message(sandbox, "mx.enlace", "ca.liaison")
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{sandbox.port}\r\nContent-Length: {len(data)}\r\n"
        "Content-Type: application/vnd.valija.message\r\n\r\n"
    )
    writer.write(head.encode() + data[:-100])
    await writer.drain()
    await asyncio.sleep(0.5)
    stopping = asyncio.create_task(asyncio.to_thread(sandbox.stop))
    await asyncio.sleep(1)
    writer.write(data[-100:])
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 202")
    writer.transport.abort()
    assert await stopping == 0
    sandbox.start()
    keys = sandbox.exchange.keyrings["ca.liaison"]
    async with Transport(sandbox.url, lambda: keys.auth) as line:
        (lent,) = await line.lease(api.LeaseRequest(instance="one", have=(), limit=1, wait_ms=0))
    assert lent.message == data
    sandbox.stop()
