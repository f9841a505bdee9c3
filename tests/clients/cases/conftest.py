"""Commands of a contact point, in this process, against a broker in memory."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from commands import environment

from valija.cli import main
from valija.client import Client
from valija.config import Config
from valija.registry.sample import SampleExchange
from valija.testing import MemoryBroker


class Desk:
    """Where somebody types; `as_` says who."""

    def __init__(self, exchange: SampleExchange, broker: MemoryBroker, folder: Path) -> None:
        self.exchange, self.broker, self.folder = exchange, broker, folder

    def client(self, config: Config) -> Client:
        id_ = config.contact_point
        return Client(config, keys=self.exchange.keyrings[id_], line=self.broker.line(id_))

    def types(self, *args: str, as_: str = "mx.enlace", status: int = 0) -> Result:
        done = CliRunner().invoke(main, [str(arg) for arg in args], env=environment(self.exchange, as_, self.folder))
        assert done.exit_code == status, done.output
        return done


@pytest.fixture
def desk(exchange: SampleExchange, broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    found = Desk(exchange, broker, tmp_path)
    for name in ("send", "reply", "forward", "inbox"):
        monkeypatch.setattr(importlib.import_module(f"valija.cli.{name}"), "Client", found.client)

    monkeypatch.setattr("valija.client.Client", found.client)

    def open_keys(config: Config) -> Any:
        return exchange.keyrings[config.contact_point]

    monkeypatch.setattr(Config, "open_keys", open_keys)
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "config")
    return found
