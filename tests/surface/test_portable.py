"""The client calls nothing that only Unix has. It was not run on Windows or macOS here; this is what can be shown.

`make types` looks at it once more with the types of Windows and of macOS, which know what is missing there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from valija import config, doctor, durable, keyring
from valija.errors import ConfigError

ROOT = Path(__file__).parents[2]

#: A machine without what Unix alone has, on which an agency does all that it does. Run with warnings as errors, also
#: those about files opened in whatever encoding the system has.
MACHINE = """
import asyncio, importlib, json, os, pkgutil, signal, socket, sys
import shutil
import aiohttp, click, click.testing, cryptography, msgspec, platformdirs, rich.console, rich.table, sqlite3, tempfile

MODULES = "fcntl grp posix pty pwd resource syslog termios tty".split()
KEEP = set(os.environ["ON_WINDOWS"].split())
for name in MODULES:
    sys.modules[name] = None
gone = [name for name in vars(os) if name not in KEEP and (not name.startswith("_") or name == "_exit")]
for name in gone:
    delattr(os, name)
for name in "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm pause pthread_sigmask".split():
    delattr(signal, name)
assert {"fork", "fchmod", "geteuid", "O_NOFOLLOW", "O_CLOEXEC", "statvfs"} <= set(gone)

import valija
for module in pkgutil.walk_packages(valija.__path__, "valija."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
# The standard library asks Unix and Windows in two ways; the one of Unix is gone.
shutil.disk_usage = lambda _: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40)

from valija.cli import main
from valija.registry.sample import sample_exchange
from valija.testing import MemoryBroker
from pathlib import Path

folder = Path(sys.argv[1])
request = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
platformdirs.user_config_path = lambda _: folder / "config"
platformdirs.user_state_path = lambda _: folder / "state"

def run(*words):
    done = click.testing.CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output

run("init", "--exchange", "exchange.example", "--contact-point", "mx.enlace", "--broker", "http://127.0.0.1:9",
    "--root", "0" * 64, "--name", "x", "--area", "judicial", "--state", "MX", "--profile", "one")
run("profile", "use", "one")
run("profile", "list")
run("keys", "show")
run("doctor", "--offline")
run("completion", "powershell")

async def exchange():
    broker = MemoryBroker(sample_exchange())
    async with broker.client("mx.enlace", folder) as sender, broker.client("co.enlace", folder) as recipient:
        sent = await sender.send(request, "co.enlace", type="information-request/1")
        async for message in recipient.inbox():
            async with message:
                pass
        await sender.wait(sent, timeout=20)
        (folder / "proof.zip").write_bytes(await sender.prove(sent.id))
        await sender.examine()

asyncio.run(exchange())
print("done")
"""


def test_an_agency_works_on_a_machine_without_what_only_unix_has(tmp_path):
    # What a machine of Windows has in `os` under Python 3.11, as far as the libraries below us use it when they run.
    has = (
        "F_OK O_APPEND O_CREAT O_EXCL O_RDONLY O_RDWR O_TRUNC O_WRONLY R_OK W_OK X_OK PathLike access chdir chmod close"
        " cpu_count curdir devnull dup environ extsep fdopen fsdecode fsencode fspath fstat fsync get_terminal_size"
        " getcwd getenv getpid getppid isatty kill linesep link linesep listdir lseek lstat makedirs mkdir name open"
        " path pardir pathsep pipe read readlink remove rename replace rmdir scandir sep stat stat_result strerror"
        " symlink sys st supports_bytes_environ supports_dir_fd supports_fd supports_follow_symlinks times truncate"
        " umask unlink urandom utime walk write error abc altsep DirEntry terminal_size get_inheritable set_inheritable"
        " get_blocking set_blocking"
    )
    environ = {**os.environ, "ON_WINDOWS": has, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [
            sys.executable, "-X", "warn_default_encoding", "-c", MACHINE, str(tmp_path),
            str(ROOT / "schemas/examples/information-request-1.json"),
        ],
        env=environ, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_files_are_whole_where_folders_cannot_be_synced_nor_names_linked(tmp_path, monkeypatch):
    """As on Windows: a folder cannot be opened, and a rename refuses a name that is taken."""
    real_open, real_rename = os.open, Path.rename

    def open_file(path, *args, **how):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **how)

    def rename(self, target):
        if Path(target).exists():
            raise FileExistsError(17, "File exists", str(target))
        return real_rename(self, target)

    monkeypatch.setattr(durable, "on_windows", True)
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.delattr(os, "link")
    durable.write(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "file", b"second")
    durable.write(tmp_path / "file", b"third", replace=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"third")]


def test_rights_are_not_asked_for_where_files_have_no_modes(tmp_path, monkeypatch):
    keyring.make_host_key(tmp_path / "host")
    (tmp_path / "host").chmod(0o666)
    monkeypatch.setattr(durable, "has_modes", False)
    keyring.load_host_key(tmp_path / "host")
    report = doctor.Report()
    values = {"exchange": "x", "contact_point": "mx", "broker": "https://b", "root": "0" * 64, "keyring": "absent"}
    doctor.examine_machine(config.Config(**values, state=str(tmp_path)), report)
    assert next(finding.verdict for finding in report.findings if finding.check == "files") == "not checked"


def test_a_profile_holds_paths_with_backslashes(tmp_path):
    values = {
        "exchange": "exchange.example",
        "contact_point": "mx.enlace",
        "broker": "https://broker.example",
        "root": "0" * 64,
        "keyring": 'C:\\Users\\new\\"x"\\mx.keyring',
        "state": "\\\\server\\share\\tab",
    }
    config.write_profile(tmp_path / "one.toml", values)
    found = config.load(None, None, {"VALIJA_CONFIG": str(tmp_path / "one.toml")})
    assert (found.keyring, found.state) == (values["keyring"], values["state"])
    with pytest.raises(ConfigError, match="no profile"):
        config.write_profile(tmp_path / "two.toml", values | {"root": "abc"})
    assert not (tmp_path / "two.toml").exists()
