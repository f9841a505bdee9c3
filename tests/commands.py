"""The client's commands, run in this process against a broker in memory."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from valija.cli import main
from valija.client import Client
from valija.registry.sample import SampleExchange
from valija.testing import MemoryBroker

EXAMPLES = Path(__file__).parents[1] / "schemas/examples"
REQUEST = EXAMPLES / "information-request-1.json"
MX, CO = "mx.enlace", "co.enlace"
TYPE = "information-request/1"


def environment(exchange: SampleExchange, who: str, folder: Path) -> dict[str, str]:
    """What the commands of the contact point `who` go by, with its state in `folder`, whatever this machine says."""
    return {
        "VALIJA_CONFIG": "",
        "VALIJA_PROFILE": "",
        "VALIJA_EXCHANGE": exchange.origin,
        "VALIJA_CONTACT_POINT": who,
        "VALIJA_BROKER": "http://127.0.0.1:9",
        "VALIJA_ROOT": exchange.root_digest,
        "VALIJA_KEYRING": "unused",
        "VALIJA_STATE": str(folder / who),
    }


class World:
    """Contact points of an exchange, each with a state folder of its own, who type commands."""

    def __init__(
        self, exchange: SampleExchange, folder: Path, monkeypatch: pytest.MonkeyPatch, ids: tuple[str, ...] = (MX, CO)
    ) -> None:
        self.exchange, self.folder = exchange, folder
        self.broker = MemoryBroker(exchange)
        self.lines = {id_: self.broker.line(id_) for id_ in ids}
        for name in ("send", "inbox", "track", "directory", "prove", "monitor", "bilateral", "canary"):
            monkeypatch.setattr(importlib.import_module(f"valija.cli.{name}"), "Client", self.client)

    def client(self, config: Any) -> Client:
        id_ = config.contact_point
        return Client(config, keys=self.exchange.keyrings[id_], line=self.lines[id_])

    def run(self, *args: str, as_: str | None = None, **how: Any) -> Result:
        as_ = as_ or next(iter(self.lines))
        return CliRunner().invoke(main, args, env=environment(self.exchange, as_, self.folder), **how)

    def send(self, *args: str) -> Result:
        return self.run("send", str(REQUEST), "--type", TYPE, "--to", CO, *args)
