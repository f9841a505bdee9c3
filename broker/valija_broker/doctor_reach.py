"""The part of `doctor` that asks over a socket: ports, store, its rights and settings, clocks, witnesses.

Each question is answered within seconds or told as not answered; none of them changes anything.

Before this room: `doctor`. After it: `layout`, `store`, `observe.looks`.
"""

import asyncio
import ctypes
import errno
import fcntl
import os
import socket
import sqlite3
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import aiohttp

from valija_broker import canary, layout
from valija_broker.config import Console, Listen, Metrics, Settings
from valija_broker.directory import now_ms, utc
from valija_broker.embedded import running_endpoint
from valija_broker.errors import BrokerError, StoreFault, StoreUnavailable
from valija_broker.findings import Report
from valija_broker.observe import looks
from valija_broker.observe.attention import canary_late_ms, canary_slow_ms, clock_off_ms, clock_refused_ms
from valija_broker.process import endpoint
from valija_broker.shelves import DirectoryShelf
from valija_broker.store import Endpoint, Store
from valija_broker.store_age import require_current
from valija_schemas.directory import Phonebook, Root

witness_s: Final = 5.0  #: For an answer of a witness; checkpoints wait 2 s for it.
_TIME_ERROR: Final = 5  #: adjtimex(2): nothing keeps this clock.
_struct_bytes: Final = 512  #: More than `struct timex` on any system.

_SOCKET_UNIT: Final = "valija-broker.socket"  #: deploy/systemd.
_NTP: Final = "Keep it by NTP, on this host and on the store's."


async def examine(
    settings: Settings, root: Root | None, book: Phonebook | None, report: Report, deploy_password: str | None
) -> None:
    """Look at what answers over a socket. `root` and `book` are those of the directory folder."""
    runs, ahead, seen = False, None, []
    with report.looking("broker"):
        runs = await _broker(settings, report)
    with report.looking("lock"):
        _alone(settings, report, runs=runs)
    with report.looking("port"):
        _doors(settings, report, runs=runs)
    with report.looking("store"):
        ahead = await _store(settings, book, report, deploy_password, runs=runs)
    _canary(settings.canary_path, report, runs=runs)
    with report.looking("witnesses"):
        seen = await _witnesses(settings, root, report)
    with report.looking("clock"):
        _clock(report, ([("the store", ahead)] if ahead is not None and _elsewhere(settings) else []) + seen)


async def _broker(settings: Settings, report: Report) -> bool:
    """Whether a broker answers on the metrics listener."""
    try:
        missing = await looks.not_ready(settings.metrics)
    except aiohttp.ClientConnectorError:
        report.unknown("broker", "it does not run: nobody listens where its metrics are")
        return False
    except (BrokerError, OSError, aiohttp.ClientError) as error:
        report.wrong("broker", str(error) or type(error).__name__, "See which program holds the port of [metrics].")
        return False
    if missing:
        report.wrong("broker", f"it is not ready: {missing}", "Section 7 of the runbook says what its log means.")
    else:
        report.ok("broker", "it runs and is ready")
    return True


def _alone(settings: Settings, report: Report, *, runs: bool) -> None:
    """Who works on the data folder. The lock is tried for an instant; whoever meets that tries again (`nursery`)."""
    path = settings.upkeep_lock_path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        report.unknown("lock", "no broker has worked on the data folder yet")
        return
    except OSError as error:
        report.unknown("lock", f"{path} cannot be looked at: {error.strerror}")
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # beside others who only look
    except OSError:
        held = True
    else:
        held = False
    finally:
        os.close(descriptor)
    if held == runs:
        report.ok("lock", f"{path} is {'held, by the broker that runs' if held else 'free, and no broker runs'}")
    elif held:
        report.wrong(
            "lock", f"{path} is held, though no broker answers where these settings have it",
            f"Another broker works on this data folder, or an old one still ends. See which: fuser {path}",
        )  # fmt: skip
    else:
        report.warning(
            "lock", f"{path} is free, though a broker answers",
            "Upkeep starts again just now, or that broker works on another data folder: compare the settings.",
        )  # fmt: skip


def _canary(path: Path | None, report: Report, *, runs: bool) -> None:
    """What the canary says, if one is set up."""
    if path is None:
        report.unknown("canary", "none is set up: `metrics.canary_file`")
        return
    found = canary.read(path)
    if found is None:
        report.warning(
            "canary", f"{path} is not there, or no canary's", "Start the canary; section 2.3 of the runbook."
        )
        return
    late = now_ms() - found.returned > canary_late_ms
    text = f"it came back at {utc(found.returned)}, after {found.round_trip} ms"
    if late and runs:
        report.wrong(
            "canary", text, "See whether the canary runs, then what its log says; section 2.2, ValijaCanaryLate."
        )
    elif late or found.round_trip > canary_slow_ms:
        report.warning("canary", text, "Start the broker." if late else "Section 2.2 of the runbook, ValijaCanarySlow.")
    else:
        report.ok("canary", text)


def _doors(settings: Settings, report: Report, *, runs: bool) -> None:
    doors: list[tuple[str, Listen | Metrics | Console]] = [
        ("port", settings.listen),
        ("port metrics", settings.metrics),
    ]
    if settings.console.runs:
        doors.append(("port console", settings.console))
    for name, door in doors:
        unix = getattr(door, "unix", "")
        where = unix or f"{door.host}:{door.port}"
        if runs and _answers(door, unix):
            report.ok(name, f"{where} answers")
        elif runs:
            report.wrong(
                name, f"{where} does not answer, though the broker runs", "Was the setting changed? Restart it."
            )
        elif unix:
            taken = _answers(door, unix)
            (report.wrong(name, f"{where} is in use", "See which program holds it.") if taken
             else report.ok(name, f"{where} is free"))  # fmt: skip
        else:
            _free(name, door, report)


def _answers(door: Listen | Metrics | Console, unix: str) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(door.host, door.host)  # noqa: S104 - as the listener has it
    try:
        if unix:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(looks.answer_s)
                client.connect(unix)
        else:
            socket.create_connection((host, door.port), looks.answer_s).close()
    except OSError:
        return False
    return True


def _free(name: str, door: Listen | Metrics | Console, report: Report) -> None:
    with socket.socket(socket.AF_INET6 if ":" in door.host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((door.host, door.port))
            trial.listen(1)
        except OSError as error:
            if name == "port" and _kept_by_systemd():
                report.ok(name, f"{door.host}:{door.port} is held for the broker by systemd, {_SOCKET_UNIT}")
                return
            hint = "See which program holds it: ss -tlnp" if error.errno == errno.EADDRINUSE else "Choose another."
            report.wrong(name, f"{door.host}:{door.port} cannot be had: {error.strerror}", hint)
        else:
            report.ok(name, f"{door.host}:{door.port} is free")


def _kept_by_systemd() -> bool:
    """Whether systemd listens in the broker's place while that is not there."""
    try:
        line = ["systemctl", "is-active", "--quiet", _SOCKET_UNIT]
        return subprocess.run(line, check=False, capture_output=True, timeout=looks.answer_s).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


async def _store(
    settings: Settings, book: Phonebook | None, report: Report, deploy_password: str | None, *, runs: bool
) -> int | None:
    """The store, its rights and its settings; how far its clock is ahead, in ms, where it said so."""
    try:
        where = endpoint(settings) if settings.store.url else running_endpoint(settings.data_path)
        async with Store(where, shards=settings.store.shards, replicas=settings.store.replicas) as store:
            _, warnings = await layout.check(store)
            server = await looks.server_of(store)
            report.ok("store", f"{where.url} answers: {await _version(store)}")
            for text in warnings:
                report.warning("store", text, "Correct it; deploy/valkey/README.md.")
            await _age(settings, store, report)
            await _in_force(store, book, report, runs=runs)
            await _rights(store, report)
    except StoreUnavailable as error:
        if not settings.store.url and not runs:
            report.unknown("store", "the embedded one runs with the broker")
        else:
            hint = "See whether Valkey runs, what its log says, and whether the password is the one of `valija` there."
            report.wrong("store", str(error), hint)
        return None
    except BrokerError as error:
        report.wrong("store", str(error), error.hint)
        return None
    await _persistence(settings, where, report, deploy_password)
    return server.ahead_ms


async def _version(store: Store) -> str:
    lines = (await store.run("INFO", "server")).decode("utf-8", "backslashreplace").splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info.get('redis_version')}"


async def _age(settings: Settings, store: Store, report: Report) -> None:
    try:
        await require_current(store, settings.evidence_path)
        report.ok("store age", "it is not behind the evidence")
    except sqlite3.Error:
        report.unknown("store age", "the evidence cannot be read")


async def _in_force(store: Store, book: Phonebook | None, report: Report, *, runs: bool) -> None:
    version = (await DirectoryShelf(store).heads()).directory
    if book is None or not runs:
        return
    if version < book.version:
        report.wrong(
            "directory in force", f"version {version}, and the folder holds {book.version}",
            "Look for directory_file_refused in the broker's log; section 7 of the runbook.",
        )  # fmt: skip
    else:
        report.ok("directory in force", f"version {version}")


async def _rights(store: Store, report: Report) -> None:
    """Whether the application's user may do what only who sets up should, and whether anybody is let in without one."""
    hint = "Give the store the users of deploy/valkey/README.md."
    loose = False
    try:
        await store.run("CONFIG", "GET", "appendfsync")
        loose = True
        report.warning("store rights", "the broker's user may read the server's settings", hint)
    except StoreFault:
        pass  # NOPERM, as it must be
    async with Store(Endpoint(url=store.endpoint.url)) as nobody:
        try:
            await nobody.run("PING")
            loose = True
            report.warning("store rights", "the server answers whoever connects, without a password", hint)
        except BrokerError:
            pass
    if not loose:
        report.ok("store rights", "the broker's user may do its work alone, and nobody is let in without a password")


async def _persistence(settings: Settings, where: Endpoint, report: Report, deploy_password: str | None) -> None:
    password = deploy_password
    if not settings.store.url:
        try:
            password = (settings.data_path / "valkey" / "deploy.password").read_text("ascii").strip()
        except OSError as error:
            report.unknown("store settings", f"the password of `deploy` cannot be read: {error.strerror}")
            return
    if password is None:
        report.unknown("store settings", "they can be read with --deploy-password-file")
        return
    try:
        async with Store(Endpoint(url=where.url, username="deploy", password=password)) as deploy:
            await layout.check_settings(deploy)
        report.ok("store settings", "what is answered is on the disk, and a damaged file stops the start")
    except StoreUnavailable as error:
        report.warning("store settings", f"they could not be read: {error}", "Is the password the one of `deploy`?")
    except BrokerError as error:
        report.wrong("store settings", str(error), error.hint)


async def _witnesses(settings: Settings, root: Root | None, report: Report) -> list[tuple[str, int]]:
    """Whether each witness answers; and how far the clocks of those are ahead, in ms, to the second."""
    quorum = root.quorum if root else 0
    urls = settings.log.witnesses
    if not urls:
        if quorum:
            report.wrong(
                "witnesses", f"the root asks for {quorum}, and none is set", "Set `log.witnesses`, and restart."
            )
        else:
            report.unknown("witnesses", "none is set, and the root asks for none")
        return []
    asked = await asyncio.gather(*map(_asked, urls))
    found = [(url, ahead) for url, (ahead, _) in zip(urls, asked, strict=True) if ahead is not None]
    there = sum(not error for _, error in asked)
    for url, (_, error) in zip(urls, asked, strict=True):
        if error:
            text = f"{url} does not answer: {error}"
            hint = "Look at the network, then call who runs it. Proofs are complete without it while a quorum answers."
            (report.wrong if there < quorum else report.warning)("witnesses", text, hint)
    if there == len(urls):
        report.ok("witnesses", f"{there} answer; the root asks for {quorum}")
    return found


async def _asked(url: str) -> tuple[int | None, str]:
    """How far a witness's clock is ahead, where it says a time; and why it does not answer, or nothing."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=witness_s)) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            here, date = now_ms(), answer.headers.get("Date")
    except TimeoutError:
        return None, f"not in {witness_s:.0f} s"
    except (aiohttp.ClientError, OSError) as error:
        return None, str(error) or type(error).__name__
    try:
        # A date says whole seconds: half of one is what it leaves open on the average.
        return (int(parsedate_to_datetime(date).timestamp() * 1000) + 500 - here if date else None), ""
    except ValueError:
        return None, ""


def _elsewhere(settings: Settings) -> bool:
    return bool(settings.store.url) and not settings.store.url.startswith("unix:")


def _clock(report: Report, others: list[tuple[str, int]]) -> None:
    """The clock here beside others, and what the kernel says of what keeps it."""
    kept = _kept()
    if kept is False:
        report.warning("clock", "the kernel says that nothing keeps this clock", _NTP)
    for name, ahead in others:
        text = f"the clock of {name} is {ahead / 1000:+.1f} s off the one here"
        if abs(ahead) > clock_refused_ms:
            report.wrong("clock", text, _NTP)
        elif abs(ahead) > 2 * clock_off_ms:
            report.warning("clock", text, _NTP)
        else:
            report.ok("clock", text)
    if not others and kept is not False:
        report.unknown("clock", "there is no other clock to compare with" + ("; NTP keeps this one" if kept else ""))


def _kept() -> bool | None:
    """Whether something keeps the clock of this host; None where the system does not say."""
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_struct_bytes)))  # all zero: only asks
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
