"""What the runbook shows of the operator's commands is what they print, for the three calls that come at night."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness import Peer, digest_of
from sandbox import Sandbox

from valija.registry.sample import sample_exchange
from valija_broker.cli import cli
from valija_schemas import note as notes
from valija_schemas import order

RUNBOOK = (Path(__file__).parents[2] / "deploy" / "RUNBOOK.md").read_text("utf-8")
HOUR_MS = 3_600_000
#: What differs from one run to the next, in the order of trying.
VARYING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\b[0-9a-f]{64}\b", "<digest>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r"\b\d+(\.\d)? (s|min|h|d)\b", "<span>"),
    (r"\t| {2,}", " | "),
)


def levelled(text: str) -> list[str]:
    """Lines without what varies; in a terminal blanks stand between columns, in a pipe a tab."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return [line.rstrip(" |") for line in text.splitlines() if line.strip()]


def transcripts(section: str) -> list[tuple[str, str]]:
    """The commands of a section, each with what it prints."""
    begun = RUNBOOK.index(f"\n### {section}")
    page = RUNBOOK[begun : RUNBOOK.index("\n##", begun + 1)]
    shown = "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL))
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in shown.split("$ valija-broker ")[1:]]


async def types(box: Sandbox, *words: str) -> str:
    """What an operator reads who types these words behind `valija-broker`. Health may be bad: that is the night."""
    done = await asyncio.to_thread(CliRunner().invoke, cli, [*words, "--config", str(box.config_path)])
    assert done.exit_code == (words[0] == "health"), (words, done.output)
    return done.output


@pytest.fixture
async def night(tmp_path, monkeypatch):
    """An exchange whose directory expires tomorrow, with mail that nobody fetches and a letter that died."""
    now = time.time_ns() // 1_000_000
    exchange = sample_exchange(now_ms=now - 2 * HOUR_MS)
    exchange.next_directory(now_ms=now - HOUR_MS, days=1)
    box = Sandbox(tmp_path / "x", exchange, workers=1)
    box.start()
    try:
        async with Peer(box, "mx.enlace") as mexico, Peer(box, "ca.liaison") as canada:
            lost = mexico.message(canada)
            await mexico.accepted(lost)
            (lent,) = await canada.lease()
            await canada.release(lent.token, dead=True)
            stuck = mexico.message("co.enlace")
            await mexico.accepted(stuck)
            await mexico.accepted(mexico.message("co.enlace"))
            await mexico.feed(5)
        for _ in range(300):
            if "\tproved" in await types(box, "messages", "show", digest_of(stuck)):
                break
            await asyncio.sleep(0.1)
        monkeypatch.chdir(tmp_path)
        action = order.Action(
            action="replay", message=digest_of(lost), contact_point="ca.liaison",
            time=time.time_ns() // 1_000_000,
            reason="they repaired their client",
        )  # fmt: skip
        (tmp_path / "replay.note").write_bytes(notes.sign(order.text(exchange.origin, action), exchange.operators[:1]))
        yield box, digest_of(stuck)
    finally:
        box.stop()


async def test_the_runbook_shows_what_the_commands_print_and_health_is_told_when_all_is_gone(night):
    box, stuck = night
    for section in ("5.1", "5.2", "5.3"):
        found = transcripts(section)
        assert found, section
        for line, shown in found:
            said = await types(box, *line.replace("DIGEST", stuck).split())
            printed = iter(levelled(said))
            for wanted in levelled(shown):
                assert wanted == "..." or any(wanted == other for other in printed), (line, wanted, said)
    box.kill()
    said = await types(box, "health")
    assert "verdict\tcritical" in said
    assert "The broker does not answer on its metrics listener" in said
    assert "The store does not answer" in said
    assert "\ndirectory\tunknown\t" in said, "nobody can know what lies in a store that is away"
