"""A whole exchange with something to see in it, and a real browser before its console."""

import asyncio
import concurrent.futures
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from at_console import wait_for_console
from e2e.at_desk import CA, CO, HOSTILE, MX, PE, Desk
from e2e.at_terminal import write_keys
from harness import Peer, digest_of
from msgspec.structs import replace
from playwright.sync_api import Browser, sync_playwright
from sandbox import Sandbox

from valija.registry.sample import sample_exchange

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--disable-background-networking", "--disable-component-update", "--disable-gpu", "--disable-quic",
    "--disable-sync", "--no-first-run",
)  # fmt: skip


def elsewhere(coroutine):
    """Run a coroutine where no other loop is: Playwright has one in this thread."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory) -> Iterator[Sandbox]:
    exchange = sample_exchange(suspended=())

    def named(directory):
        points = [replace(p, name=HOSTILE) if p.id == CO else p for p in directory.contact_points]
        return replace(directory, contact_points=tuple(points))

    exchange.next_directory(named)
    found = Sandbox(tmp_path_factory.mktemp("e2e") / "x", exchange, console=True)
    write_keys(found)
    found.start()
    wait_for_console(found)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def mail(sandbox) -> SimpleNamespace:
    """Messages that were taken, one that waits, and dead letters for each test that needs one."""

    async def fill():
        async with Peer(sandbox, MX) as mexico, Peer(sandbox, CA) as canada, Peer(sandbox, PE) as peru:
            for _ in range(3):
                await mexico.accepted(mexico.message(peru))
                await peru.done(*await peru.lease())
            dead = []
            for _ in range(3):
                raw = mexico.message(canada, type="information-request/1")
                await mexico.accepted(raw)
                (lent,) = await canada.lease()
                await canada.release(lent.token, dead=True)
                dead.append(digest_of(raw))
            waiting = mexico.message(CO)
            await mexico.accepted(waiting)
            return SimpleNamespace(dead=dead, waiting=digest_of(waiting))

    return elsewhere(fill())


@pytest.fixture(scope="session")
def chromium(sandbox, mail) -> Iterator[Browser]:
    assert Path(CHROMIUM).exists(), "apt-get install chromium"
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]  # root has no sandbox in Chromium
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def desk(sandbox, chromium):
    """Call it for an operator who is signed in."""
    made: list[Desk] = []

    def make(who: str = "operator.a", **context) -> Desk:
        made.append(Desk(sandbox, chromium, who, **context))
        return made[-1].sign_in()

    yield make
    for one in made:
        one.close()
