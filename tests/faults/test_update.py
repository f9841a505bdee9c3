"""The broker starts again under mail, after an update say, and nobody is refused; and it changes its evidence key."""

import asyncio
import socket
import subprocess
import sys

from demo import load_profile, write_profiles
from harness import Peer
from msgspec.structs import replace
from promises import example
from sandbox import Sandbox, wait_ready

from valija import Client
from valija.registry.sample import sample_exchange
from valija_broker.keys import Keys

MX, CA, TYPE = "mx.enlace", "ca.liaison", "information-request/1"

#: As systemd starts a service with a socket: descriptor 3, and the variables that say so.
START = (
    'import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ["LISTEN_PID"] = str(os.getpid())\n'
    'os.environ["LISTEN_FDS"] = "1"; os.execv(sys.executable, [sys.executable, "-m", "valija_broker", *sys.argv[2:]])'
)


async def test_mail_is_accepted_without_a_refusal_while_the_broker_starts_again(tmp_path):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()))
    write_profiles(sandbox)
    with socket.socket() as held, (tmp_path / "log").open("ab") as log:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", sandbox.port))
        held.listen(4096)

        def start() -> subprocess.Popen[bytes]:
            line = [sys.executable, "-c", START, str(held.fileno()), "serve", "--config", str(sandbox.config_path)]
            process = subprocess.Popen(line, stdout=log, stderr=log, pass_fds=[held.fileno()])
            assert wait_ready(sandbox.metrics_port, process)
            return process

        process = await asyncio.to_thread(start)
        stop, refused, answered = asyncio.Event(), [], 0

        async def connects() -> None:
            """What a stranger sees: a connection, and an answer, whatever is done to the broker."""
            nonlocal answered
            while not stop.is_set():
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
                except ConnectionRefusedError as error:
                    refused.append(error)
                    continue
                writer.write(b"GET /v1/limits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answered += (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 4")
                writer.close()
                await asyncio.sleep(0.01)

        async def sends() -> list[str]:
            states = []
            async with Client(load_profile(sandbox, MX)) as client:
                while not stop.is_set():
                    sent = await client.send(example("information-request"), CA, type=TYPE)
                    states.append(sent.state)
            return states

        tasks = [asyncio.create_task(connects()), asyncio.create_task(sends())]
        try:
            for _ in range(2):
                await asyncio.sleep(0.3)
                process.terminate()
                assert await asyncio.to_thread(process.wait, 60) == 0
                process = await asyncio.to_thread(start)
            await asyncio.sleep(0.3)
            stop.set()
            _, states = await asyncio.wait_for(asyncio.gather(*tasks), 120)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 60)
        assert refused == []
        assert answered > 0
        assert set(states) <= {"accepted", "pending"}, states
        assert "accepted" in states


async def test_an_evidence_key_is_changed_and_what_the_old_one_said_is_said_again(tmp_path):
    sandbox = Sandbox(tmp_path / "x", sample_exchange(suspended=()))
    await asyncio.to_thread(sandbox.start)
    new = tmp_path / "new.toml"
    try:
        async with Peer(sandbox, MX) as mexico:
            raw = mexico.message(CA)
            first = await mexico.accepted(raw)
            done = await asyncio.to_thread(sandbox.command, "rotate", str(new))
            assert done.returncode == 0, done.stderr
            assert new.stat().st_mode & 0o077 == 0
            keys = Keys.load(new)
            assert keys.public.evidence[1:] == sandbox.exchange.root.broker.evidence
            assert keys.public.evidence[0] in new.with_suffix(".public.toml").read_text()
            again = await asyncio.to_thread(sandbox.command, "rotate", str(new))
            assert again.returncode == 78, "a file of keys is never overwritten"
            sandbox.exchange.next_root(lambda root: replace(root, broker=keys.public))
            sandbox.exchange.next_directory()
            sandbox.publish()
            await asyncio.to_thread(sandbox.stop)
            new.replace(sandbox.data / "keys.toml")
            await asyncio.to_thread(sandbox.start)
            assert await mexico.accepted(raw) == first
            fresh = mexico.message(CA)
            answer = await mexico.submit(fresh)
            assert answer.status == 202
            verifiers = sandbox.exchange.roots.evidence_verifiers()
            assert mexico.verify(answer.body)
            assert [one.public.hex() for one in verifiers][:1] == [keys.public.evidence[0]]
    finally:
        await asyncio.to_thread(sandbox.stop)
