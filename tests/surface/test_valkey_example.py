"""The example of a separate Valkey server is what the broker writes for its own, and such a server is accepted."""

import asyncio
import hashlib
from pathlib import Path

from valija_broker.embedded import EmbeddedValkey, acl_lines, find_binary
from valija_broker.layout import check, check_settings, migrate
from valija_broker.store import Endpoint, Store

EXAMPLE = Path(__file__).parents[2] / "deploy" / "valkey"
PASSWORD = "a password of this test"
PLACES = {"unixsocket", "unixsocketperm", "dir", "logfile", "aclfile"}  # where things lie: of each machine its own


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def users() -> str:
    hashed = hashlib.sha256(PASSWORD.encode()).hexdigest()
    text = (EXAMPLE / "users.acl").read_text("utf-8")
    for name in ("valija", "deploy"):
        placeholder = f"#SHA-256-OF-THE-PASSWORD-OF-{name}"
        assert placeholder in text
        text = text.replace(placeholder, f"#{hashed}")
    return text


def test_the_settings_are_those_of_the_embedded_server(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    valkey._prepare()
    written = settings(valkey._write_settings().read_text("utf-8"))
    shown = settings((EXAMPLE / "valkey.conf").read_text("utf-8"))
    assert shown.keys() == written.keys()
    assert {name: shown[name] for name in shown.keys() - PLACES} == {
        name: written[name] for name in written.keys() - PLACES
    }


def test_the_rights_are_those_of_the_embedded_server_and_waiting_for_replicas() -> None:
    hashed = hashlib.sha256(PASSWORD.encode()).hexdigest()
    expected = acl_lines({"valija": hashed, "deploy": hashed}, replicas=True)
    assert users().splitlines() == [f"user {line}" for line in expected]


async def test_a_broker_accepts_the_example_server(tmp_path: Path) -> None:
    # Outside of tmp_path: the path of a Unix socket is short.
    text = (EXAMPLE / "valkey.conf").read_text("utf-8")
    for place in ("/run/valkey", "/var/lib/valkey", "/etc/valkey"):
        text = text.replace(place, str(tmp_path))
    (tmp_path / "valkey.conf").write_text(text)
    (tmp_path / "users.acl").write_text(users())
    server = await asyncio.create_subprocess_exec(
        str(find_binary()), "valkey.conf", cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"unix://{tmp_path / 'valkey.sock'}"
    try:
        async with Store(Endpoint(url=url, username="deploy", password=PASSWORD)) as deploy:
            while not (tmp_path / "valkey.sock").exists():
                assert server.returncode is None
                await asyncio.sleep(0.02)
            await migrate(deploy, now=0)
            await check_settings(deploy)
        async with Store(Endpoint(url=url, username="valija", password=PASSWORD)) as store:
            layout, warnings = await check(store)
        assert layout.shards == 1
        assert warnings == []
    finally:
        server.terminate()
        await server.wait()
