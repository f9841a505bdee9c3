"""What deploy/container and deploy/caddy say, read by other people's linters and run by hand, without an engine.

Everything that the compose file starts is started here with the same files and the same commands, but for Prometheus
and Grafana: only paths, ports and names are those of this machine. What is not shown: that the images hold what they
should, and that an engine keeps what the files ask of it.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from demo import load_profile, profile_path, write_profiles
from private_tls import Authority
from promises import example
from sandbox import Sandbox, free_port

from valija import Client
from valija.registry.sample import sample_exchange
from valija_broker.embedded import find_binary

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
COMPOSE = DEPLOY / "container" / "compose.yaml"
PROGRAMS = ROOT / ".venv-containers" / "bin"
NODE = ROOT / "tests" / "interop" / "node_modules" / ".bin"
PASSWORDS = {"valija": "the password of the broker", "deploy": "another one"}


def run(*command: str | Path, **how) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_linter_finds_nothing_in_the_containerfile():
    run(PROGRAMS / "hadolint", CONTAINERFILE)


def test_the_compose_file_is_one():
    # With `image` an image that was built gets its name, which two other services use.
    run(NODE / "dclint", COMPOSE, "--quiet", "--disable-rule", "no-build-and-image")


def test_the_steps_of_the_containerfile_make_a_broker(tmp_path):
    build, final = re.split(r"^FROM .*$", CONTAINERFILE.read_text().replace("\\\n", ""), flags=re.MULTILINE)[1:]
    place = {"/opt/valija": tmp_path / "valija", "/source": tmp_path / "source"}
    clean = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    clean |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}

    def here(text: str) -> str:
        for old, new in place.items():
            text = text.replace(old, str(new))
        return text

    place["/source"].mkdir()
    for step, words in re.findall(r"^(RUN|COPY|ENV) (.*)$", build, re.MULTILINE):
        if step == "ENV":
            clean |= dict(word.split("=", 1) for word in words.split())
        elif step == "RUN":
            run("sh", "-ec", here(words), cwd=place["/source"], env=clean)
        else:
            *sources, target = words.split()
            for source in sources:
                into = Path(here(target))
                found = into if (ROOT / source).is_dir() else into / Path(source).name
                found.parent.mkdir(parents=True, exist_ok=True)
                run("cp", "-r", ROOT / source, found)
    assert "COPY --from=build /opt/valija /opt/valija" in final
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    broker = place["/opt/valija"] / "bin" / "valija-broker"
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert run(broker, "--version", env={}).strip() == version
    assert "serve" in run(broker, "--help", env={})
    assert not (place["/opt/valija"] / "bin" / "pip").exists()


class Machine:
    """The folders of the volumes, under a path that is short enough for Unix sockets, and the processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.console_port = free_port(), free_port()
        self.authority = Authority(folder)
        self.authority.server("localhost")
        (self.certificate,) = set(folder.glob("*.pem")) - {self.authority.file}
        self.running: list[subprocess.Popen[bytes]] = []
        for volume in ("v", "s", "b"):
            (folder / volume).mkdir(mode=0o700)

    def here(self, text: str) -> str:
        """A file of deploy/ with the places of this machine."""
        places = {
            "/var/lib/valkey": self.folder / "v", "/run/valkey": self.folder / "s", "/run/valija": self.folder / "b",
            "/etc/valkey": self.folder, "/run/secrets/valkey-": f"{self.folder}/password.",
            "/run/secrets/certificate-key": self.certificate, "/run/secrets/certificate": self.certificate,
            ":8443 {": f":{self.port} {{", ":8444 {": f":{self.console_port} {{",
            "console.exchange.example:8444": f"localhost:{self.console_port}",
            "broker.exchange.example": f"localhost:{self.port}",
            '"0.0.0.0"': '"127.0.0.1"',
        }  # fmt: skip
        for old, new in places.items():
            text = text.replace(old, str(new))
        return text

    def put(self, name: str, source: Path) -> Path:
        path = self.folder / name
        path.write_text(self.here(source.read_text("utf-8")))
        return path

    def start(self, *command: str | Path) -> None:
        with (self.folder / "log").open("ab") as log:
            self.running.append(subprocess.Popen([str(w) for w in command], stdout=log, stderr=log, cwd=self.folder))

    def stop(self) -> None:
        for process in reversed(self.running):
            process.terminate()
            process.wait(40)

    def caddy(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        run(PROGRAMS / "caddy", "validate", "--config", path, "--adapter", "caddyfile")
        self.start(PROGRAMS / "caddy", "run", "--config", path, "--adapter", "caddyfile")


@pytest.fixture
def machine():
    folder = Path(tempfile.mkdtemp(prefix="v", dir="/tmp"))
    made = Machine(folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


async def until(good) -> None:
    for _ in range(300):
        if good():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not within 30 s")


def is_broker(url: str) -> bool:
    """Whether a broker answers there, with a problem."""
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError as error:
        error.close()
        return (error.headers["Server"] or "").startswith("valija-broker/")
    except OSError:
        return False
    raise AssertionError("nobody may be answered without a signature")


def challenge(machine: Machine) -> str:
    """What the console draws for whoever asks, through the proxy."""
    trusted = ssl.create_default_context(cafile=machine.authority.file)
    url = f"https://localhost:{machine.console_port}/admin/v1/challenge"
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5, context=trusted) as answer:
                return json.load(answer)["challenge"]
        except urllib.error.HTTPError as error:  # it is started beside the workers, and may take longer
            error.close()
        time.sleep(0.1)
    raise AssertionError("no console within 30 s")


async def test_mail_goes_through_proxy_broker_and_valkey_as_the_files_have_them(machine, monkeypatch):
    users = (DEPLOY / "valkey" / "users.acl").read_text()
    for name, password in PASSWORDS.items():
        (machine.folder / f"password.{name}").write_text(password)
        users = users.replace(f"SHA-256-OF-THE-PASSWORD-OF-{name}", hashlib.sha256(password.encode()).hexdigest())
    (machine.folder / "users.acl").write_text(users)
    machine.start(find_binary(), machine.put("valkey.conf", DEPLOY / "valkey" / "valkey.conf"))
    await until((machine.folder / "s" / "valkey.sock").exists)

    sandbox = Sandbox(machine.folder / "x", sample_exchange(suspended=()))
    write_profiles(sandbox)
    text = machine.here((DEPLOY / "container" / "broker.toml").read_text())
    text = text.replace("/var/lib/valija", str(sandbox.data)).replace(
        'root_digest = ""', f'root_digest = "{sandbox.exchange.root_digest}"'
    )
    sandbox.config_path.write_text(text)
    monkeypatch.setenv("VALIJA_BROKER_METRICS__PORT", str(sandbox.metrics_port))
    migrate = re.search(r"\[migrate, (.*?)\]", COMPOSE.read_text())[1].split(", ")
    places = {"/etc/valija/broker.toml": sandbox.config_path, "/run/secrets/valkey-deploy": "password.deploy"}
    words = [str(places.get(word, word)) for word in migrate]
    run(sys.executable, "-m", "valija_broker", "migrate", *words, cwd=machine.folder)
    await asyncio.to_thread(sandbox.start)
    try:
        machine.caddy("Caddyfile", machine.here((DEPLOY / "caddy" / "Caddyfile").read_text()))
        # A second one as a client that knows no group but the hybrid one: what it gets went through that.
        hybrid = free_port()
        machine.caddy(
            "hybrid",
            f"{{\nadmin off\npersist_config off\nauto_https off\n}}\nhttp://127.0.0.1:{hybrid} {{\n"
            f"reverse_proxy https://localhost:{machine.port} {{\nheader_up Host localhost:{machine.port}\n"
            f"transport http {{\ntls_trust_pool file {machine.authority.file}\ntls_curves x25519mlkem768\n}}\n}}\n}}\n",
        )
        for who in ("mx.enlace", "ca.liaison"):
            path = profile_path(sandbox, who)
            profile = path.read_text().replace(sandbox.url, f"https://localhost:{machine.port}")
            path.write_text(f'ca_file = "{machine.authority.file}"\n{profile}')
        await until(lambda: is_broker(f"http://127.0.0.1:{hybrid}/v1/limits"))
        async with Client(load_profile(sandbox, "mx.enlace")) as sender:
            request = example("information-request")
            sent = await sender.send(request, "ca.liaison", type="information-request/1")
        assert sent.state == "accepted"
        async with Client(load_profile(sandbox, "ca.liaison")) as recipient:
            async for message in recipient.inbox(follow=False):
                async with message:
                    assert message.digest == sent.digest
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{hybrid}/v1/nothing", timeout=20)
        refused.value.close()
        assert await asyncio.to_thread(challenge, machine)
        assert refused.value.headers["Content-Type"] == "application/problem+json"
        assert refused.value.headers["Server"].startswith("valija-broker/")
    finally:
        await asyncio.to_thread(sandbox.stop)
