"""What was accepted is somewhere, or ended; what is somewhere was accepted."""

import asyncio
import sqlite3

from harness import Peer, digest_of
from sandbox import Sandbox


def ask(sandbox):
    found = sandbox.command("reconcile")
    return found.returncode, found.stdout, found.stderr


async def test_reconcile_finds_what_is_lost_and_what_was_never_accepted(tmp_path):
    sandbox = Sandbox(tmp_path / "x")
    sandbox.start()
    try:
        a, b = [point.id for point in sandbox.exchange.phonebook.directory.contact_points if point.status == "active"][
            :2
        ]
        async with Peer(sandbox, a) as sender, Peer(sandbox, b) as recipient:
            first = sender.message(recipient)
            await sender.accepted(first)
            await recipient.done(*await recipient.lease())
            second = sender.message(recipient)
            await sender.accepted(second)
            third = sender.message(recipient)
            await sender.accepted(third)
            await recipient.release(*[lent.token for lent in await recipient.lease(limit=1)], dead=True)
            await sender.feed(7)
        status, out, err = await asyncio.to_thread(ask, sandbox)
        assert (status, out) == (0, ""), err
        assert "3 accepted, 2 waiting" in err
        connection = sqlite3.connect(sandbox.data / "evidence.sqlite", isolation_level=None)
        connection.execute("DELETE FROM feed")
        connection.execute(
            "DELETE FROM events WHERE message = ? AND name = 'ConsignmentAcceptance'", (digest_of(first),)
        )
        connection.execute(
            "DELETE FROM events WHERE message = ? AND name = 'SubmissionAcceptance'", (digest_of(third),)
        )
        connection.close()
        status, out, _ = await asyncio.to_thread(ask, sandbox)
        assert status == 1
        assert out.splitlines() == [f"lost: {digest_of(first)} for {b}", f"never accepted: {digest_of(third)} for {b}"]
    finally:
        sandbox.stop()
