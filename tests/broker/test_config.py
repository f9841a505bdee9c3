"""Settings: what is wrong is named, and nothing secret is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from valija_broker import config
from valija_broker.errors import BadConfig
from valija_broker.keys import Keys

GOOD = 'data = "/x"\n[exchange]\norigin = "exchange.example"\n'


@pytest.fixture
def load(tmp_path):
    def read(text: str = GOOD, environ: dict[str, str] | None = None) -> config.Settings:
        path = tmp_path / "broker.toml"
        path.write_text(text)
        return config.load(path, environ or {})

    return read


def test_an_unknown_setting_names_the_nearest(load):
    with pytest.raises(BadConfig, match=r"unknown setting `quotas\.leese_ms`; did you mean `lease_ms`"):
        load(GOOD + "[quotas]\nleese_ms = 1\n")
    with pytest.raises(BadConfig, match="did you mean `workers`"):
        load("worker = 3\n" + GOOD)
    with pytest.raises(BadConfig, match="VALIJA_BROKER_LISTEN__PROT"):
        load(environ={"VALIJA_BROKER_LISTEN__PROT": "1"})


def test_the_environment_lies_over_the_file(load):
    found = load(
        GOOD + "[listen]\nport = 1\n",
        {"VALIJA_BROKER_LISTEN__PORT": "8443", "VALIJA_BROKER_LISTEN__AUTHORITIES": "a.example, b.example"},
    )
    assert found.listen.port == 8443
    assert found.listen.authorities == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data = 3", "data"),
        (GOOD + "[listen]\nport = 70000\n", "listen.port"),
        (GOOD + '[listen]\nhost = "0.0.0.0"\n', "loopback"),
        (GOOD + '[listen]\ntls = "direct"\n', "certificate"),
        (GOOD + '[listen]\ntls = "proxy"\n', "authorities"),
        (GOOD + '[listen]\ntls = "proxy"\nauthorities = ["a.example"]\n', "proxies"),
        (GOOD + '[console]\nport = 1\nhost = "0.0.0.0"\n', "loopback"),
        (GOOD + '[console]\nport = 1\ntls = "direct"\n', "console.certificate"),
        (GOOD + '[console]\nunix = "/run/c"\n', "console.address"),
        (GOOD + '[console]\nport = 1\ntls = "proxy"\naddress = "https://c.example"\n', "console.proxies"),
        (GOOD + '[console]\nport = 1\naddress = "https://c.example"\n', "http://"),
        (GOOD + '[console]\nport = 1\naddress = "http://c.example/"\n', "no path"),
        (GOOD + '[console]\nport = 1\naddress = "http://C.example"\n', "lower case"),
        (GOOD + '[console]\nport = 1\naddress = "http://c.example:80"\n', "usual"),
        (GOOD + '[console]\nport = 1\naddress = "http://c.example\\n"\n', "lower case"),
        (GOOD + '[store]\nurl = "redis://user:hunter2@host"\n', "password_file"),
        (GOOD + '[store]\nurl = "http://host"\n', "redis://"),
        (GOOD + "[store]\nshards = 16\n", "one shard"),
        ("[exchange", "TOML"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(load, text, says):
    with pytest.raises(BadConfig, match=says) as caught:
        load(text)
    assert "hunter2" not in str(caught.value)


def test_the_digest_of_the_root_may_be_written_in_blocks(load):
    blocks = " ".join(["0123"] * 16)
    assert load(GOOD + f'root_digest = "{blocks}"\n').exchange.anchor == "0123" * 16


def test_keys_that_others_can_read_are_not_used_and_never_shown(tmp_path):
    keys = Keys.generate()
    path = tmp_path / "keys.toml"
    keys.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keys.load(path).public == keys.public
    with pytest.raises(BadConfig, match="exists"):
        keys.save(path)
    path.chmod(0o640)
    with pytest.raises(BadConfig, match="chmod 600"):
        Keys.load(path)
    path.chmod(0o600)
    secret = path.read_text().split('"')[1]
    path.write_text(path.read_text().replace("freshness", "freshly"))
    with pytest.raises(BadConfig) as caught:
        Keys.load(path)
    assert secret not in str(caught.value) + repr(keys)


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_broker_without_an_anchor_does_not_start_and_says_what_to_do(tmp_path, command):
    path = tmp_path / "broker.toml"
    path.write_text(GOOD.replace('"/x"', f'"{tmp_path}"'))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VALIJA")}
    start = [sys.executable, "-m", "valija_broker"]
    subprocess.run([*start, "init", "--config", str(path)], env=clean, check=True, capture_output=True)
    done = subprocess.run(
        [*start, command, "--config", str(path)], env=clean, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    assert "root_digest" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_finds_no_room_ends_nobody(load, tmp_path):
    load(GOOD)
    path = next(tmp_path.glob("*.toml"))
    script = (
        "import structlog; from valija_broker import process; process.begin(['%s']);"
        "structlog.get_logger().error('lost'); print('goes on', flush=True); __import__('os')._exit(0)"
    )
    with Path("/dev/full").open("w") as full:  # every write to it is answered with ENOSPC
        command = [sys.executable, "-c", script % path]
        found = subprocess.run(command, stderr=full, stdout=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "goes on\n")


def test_what_strangers_write_steers_no_terminal_that_the_log_is_read_on(load, tmp_path):
    load(GOOD)
    script = (
        "import structlog; from valija_broker import process; process.begin(['%s']);"
        "structlog.get_logger().info('x', path='/v1/log/tile/\\x1b[2J\\u202eé')"
    )
    ours, its = os.openpty()
    command = [sys.executable, "-c", script % next(tmp_path.glob("*.toml"))]
    subprocess.run(command, stderr=its, check=True)
    os.close(its)
    with os.fdopen(ours, "rb") as terminal:
        found = terminal.read1(65536).decode()
    assert "x1b[2J" in found
    assert "é" in found
    assert "\x1b[2J" not in found
    assert "\u202e" not in found
