"""What an operator of an agency wants to know before the telephone rings: is everything here as it must be.

Each line is a `Finding`: ok, a warning, wrong, or not checked because something before it is wrong. A wrong one is an
error of the kind that a command would have met, with its hint and its status.

The promise: looking changes nothing that counts and prints nothing secret.

Before this room: `cli`, `checkup`. After it: `probe`, `trust`, `outbox`. Rules: clients/OPERATING.md.
"""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

from valija import durable, probe
from valija.config import Config, PathSetting
from valija.connect import Endpoint
from valija.errors import ConfigError, StateError, ValijaError
from valija.keyring import Keyring
from valija.outbox import Outbox
from valija.trust import TrustStore
from valija_schemas import limits

Verdict = Literal["ok", "warning", "wrong", "not checked"]

skew_warning_ms: Final = 5 * limits.SECOND_MS  #: A clock that is set by the network is nearer.
certificate_days_min: Final = 21  #: Certificates are renewed a month before they end, or three weeks at the latest.
free_bytes_min: Final = 64 << 20  #: Below it a database may fail in the middle of a message.
free_bytes_warning: Final = 1 << 30

_SECRETS: Final[tuple[PathSetting, ...]] = ("host_key", "passphrase_file", "proxy_password_file")


class Finding:
    """One line of a report."""

    def __init__(
        self, check: str, verdict: Verdict, detail: str, *, hint: str | None = None, error: ValijaError | None = None
    ) -> None:
        self.check: Final = check
        self.verdict: Final = verdict
        self.detail: Final = detail
        self.hint: Final = error.hint if error is not None else hint  #: What to do, where something is to be done.
        self.error: Final = error  #: Of a wrong one.

    def __repr__(self) -> str:
        return f"Finding({self.check!r}, {self.verdict!r}, {self.detail!r})"


class Report:
    """Findings, in the order in which they were made."""

    def __init__(self) -> None:
        self.findings: Final[list[Finding]] = []

    def ok(self, check: str, detail: str) -> None:
        """As it must be."""
        self.findings.append(Finding(check, "ok", detail))

    def warning(self, check: str, detail: str, hint: str) -> None:
        """It works; look at it."""
        self.findings.append(Finding(check, "warning", detail, hint=hint))

    def wrong(self, check: str, error: ValijaError) -> None:
        """It does not work, or not long any more."""
        self.findings.append(Finding(check, "wrong", str(error), error=error))

    def unknown(self, check: str, why: str) -> None:
        """It could not be looked at."""
        self.findings.append(Finding(check, "not checked", why))


def examine_machine(config: Config, report: Report) -> Keyring | None:
    """Files, keyring, state folder and disk; the keyring, if it opens."""
    _files(config, report)
    keyring = None
    try:
        keyring = config.load_keyring()
        report.ok("keyring", f"{config.path('keyring')} opens: {len(keyring.held)} keys of {keyring.id}")
    except ValijaError as error:
        report.wrong("keyring", error)
    for name in ("outbox", "inbox"):
        _database(config.state_folder / f"{name}.sqlite", name, report)
    _disk(config.state_folder, report)
    return keyring


async def examine_way(config: Config, report: Report, clock: Callable[[], int]) -> bool:
    """The broker from outside: proxy, reached, certificate, clock. Whether it can be asked for more."""
    try:
        endpoint = Endpoint.of(config)
        if endpoint.proxy is not None:
            report.ok("proxy", f"{endpoint.proxy}, named by {endpoint.proxy_from}")
        found = await probe.look(endpoint, clock)
    except ValijaError as error:
        report.wrong("broker", error)
        report.unknown("tls", "the broker does not answer")
        report.unknown("clock", "the broker does not answer")
        return False
    report.ok(
        "broker", f"{endpoint.base} answers in {found.took_ms} ms: {found.server or 'it does not say its version'}"
    )
    _tls(found.certificate, clock(), report)
    _clock(found.ahead_ms, report)
    return True


def examine_held(config: Config, report: Report) -> TrustStore | None:
    """Roots and directories that are held, without a network; the store, if it may be believed."""
    folder = config.state_folder / "trust"
    if not folder.is_dir():
        report.unknown("directory", "none has been fetched yet: `valija directory` does")
        return None
    try:
        store = TrustStore(folder, config.exchange, config.root)
    except ValijaError as error:
        report.wrong("directory", error)
        return None
    if not store.directory_version:
        report.unknown("directory", "none has been fetched yet: `valija directory` does")
        return None
    return store


def examine_log_held(config: Config, report: Report) -> None:
    """The largest checkpoint of the log that was verified, without a network."""
    path = config.state_folder / "outbox.sqlite"
    if not path.exists():
        return
    with closing(Outbox(path)) as outbox:
        kept = outbox.log.checkpoint()
    if kept is not None:
        report.ok("log", f"a checkpoint of {kept[0]} leaves is held; offline it is compared with nothing")


def _files(config: Config, report: Report) -> None:
    if not durable.has_modes:
        report.unknown("files", "this system keeps rights in lists, which are not looked at")
        return
    loose = 0
    looked_at: tuple[PathSetting, ...] = ("keyring", *_SECRETS, "state")
    for name in looked_at:
        path = config.state_folder if name == "state" else config.path(name)
        mode = _mode(path)
        if mode is None or not mode & 0o077:
            continue
        loose += 1
        want = "700" if name == "state" else "600"
        if name in _SECRETS:
            report.wrong("files", ConfigError(f"others may read {path}", hint=f"Run: chmod {want} {path}"))
        else:
            report.warning("files", f"others may look at {path}, whose content is sealed", f"Run: chmod {want} {path}")
    if not loose:
        report.ok("files", "keyring, what opens it, and state folder are this user's alone")


def _mode(path: Path | None) -> int | None:
    try:
        return None if path is None else stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None  # that it cannot be read is said where it is needed


def _database(path: Path, name: str, report: Report) -> None:
    if not path.exists():
        report.ok(name, "none yet; it is made when it is first needed")
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise StateError(f"{path} is damaged: {said}", hint="Stop every program that uses it; restore its copy.")
        if name == "outbox":
            _outbox(path, report)
        else:
            report.ok(name, f"{path} is sound")
    except sqlite3.Error as error:
        hint = "Stop every program that uses it; restore its copy."
        report.wrong(name, StateError(f"{path} cannot be read: {error}", hint=hint))
    except StateError as error:
        report.wrong(name, error)


def _outbox(path: Path, report: Report) -> None:
    with closing(Outbox(path)) as outbox:
        pending, alarms = len(outbox.pending()), len(outbox.alarms.unseen())
    if alarms:
        report.warning(
            "outbox", f"{alarms} alarms that nobody has said to have seen", "Run: valija monitor --once; then --seen."
        )
    if pending:
        report.warning("outbox", f"{pending} messages that no broker has accepted yet", "Run: valija send --pending")
    if not alarms and not pending:
        report.ok("outbox", f"{path} is sound; nothing waits in it")


def _disk(folder: Path, report: Report) -> None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{free >> 20:,} MiB free for {folder}"
    if free < free_bytes_min:
        report.wrong("disk", StateError(text, hint="Free space: nothing can be stored safely."))
    elif free < free_bytes_warning:
        report.warning("disk", text, "Free space before it runs out.")
    else:
        report.ok("disk", text)


def _tls(found: probe.Certificate | None, now_ms: int, report: Report) -> None:
    if found is None:
        report.ok("tls", "none: the broker is on this machine")
        return
    days = (found.expires_ms - now_ms) // limits.DAY_MS
    text = f"{found.version}; certificate of {', '.join(found.names)} by {found.issuer}, for {days} more days"
    if os.environ.get("SSLKEYLOGFILE"):
        report.warning("tls", "SSLKEYLOGFILE is set: whoever reads that file can read the traffic", "Unset it.")
    if days < certificate_days_min:
        report.warning("tls", text, "Ask the operators whether they renew it.")
    else:
        report.ok("tls", text)


def _clock(ahead_ms: int | None, report: Report) -> None:
    if ahead_ms is None:
        report.unknown("clock", "the broker does not say its time")
        return
    text = f"this machine's clock is {ahead_ms / 1000:+.1f} s off the broker's"
    limit = f"{limits.signature_skew_max_ms // 1000} s"
    if abs(ahead_ms) > limits.signature_skew_max_ms:
        report.wrong("clock", ConfigError(f"{text}; more than {limit} is refused", hint="Set it, and keep it by NTP."))
    elif abs(ahead_ms) > skew_warning_ms:
        report.warning("clock", f"{text}; more than {limit} is refused", "Set it, and keep it by NTP.")
    else:
        report.ok("clock", text)
