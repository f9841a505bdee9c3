"""What a message leaves on the disk, for as long as evidence is kept."""

import sqlite3
from pathlib import Path

from harness import Peer

from bench import field
from bench.figures import Run, benchmark


@benchmark("log.bytes")
async def bytes_a_message(run: Run) -> None:
    """What the files grow by for a message of 2 KiB to one recipient that is accepted, handed over and acknowledged.

    Those are three events. Through a real broker; the growth of each kind of file, divided by the messages.
    """
    count = 5_120 if run.long else 1_024
    found = field.sandbox(run.folder / "x")
    found.start()
    try:
        batch = field.messages(found, count, senders=1)
        work = [batch.messages[at : at + 32] for at in range(0, count, 32)]
        async with Peer(found, batch.senders[0]) as sender, Peer(found, "p0001") as recipient:
            start = await field.until_quiet(found)
            before = sizes(found.data)
            for part in work:
                await sender.batch(part)
                lent = await recipient.lease(limit=64)
                if set(await recipient.done(*lent)) != {"done"}:
                    raise RuntimeError("a receipt was not taken")
            leaves = await field.until_quiet(found) - start
            after = sizes(found.data)
    finally:
        found.stop()
    run.add("message as it is submitted", "bytes", len(batch.messages[0]))
    run.add("events", "a message", leaves / count)
    for name in after:
        run.add(name, "bytes/message", (after[name] - before[name]) / count)
    run.add("public checkpoint, replaced each time", "bytes", (found.data / "log" / "checkpoint").stat().st_size)
    run.say("The AOF is that of the embedded Valkey before any rewrite; a rewrite drops what was acknowledged.")


def sizes(data: Path) -> dict[str, int]:
    """Bytes of each kind of file. Pages of SQLite that are still in its WAL are counted where they will be."""
    with sqlite3.connect(f"file:{data}/evidence.sqlite?mode=ro", uri=True) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    connection.close()
    tile = data / "log" / "tile"
    files = [path for path in tile.rglob("*") if path.is_file()]
    entries = sum(path.stat().st_size for path in files if path.is_relative_to(tile / "entries"))
    return {
        "SQLite": (pages - free) * size,
        "tiles": sum(path.stat().st_size for path in files) - entries,
        "entry bundles": entries,
        "tiles and bundles, as blocks of the disk": sum(path.stat().st_blocks * 512 for path in files),
        "AOF": sum(path.stat().st_size for path in (data / "valkey").rglob("*.aof")),
    }
