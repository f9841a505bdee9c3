"""What an operator wants to know before the telephone rings: is everything on this host as it must be.

Each line is a `Finding`: ok, a warning, wrong, or not checked because something before it is wrong or not there. Here
stands what can be told from settings and files; `doctor_reach` asks what answers over a socket.

The promise: looking changes nothing, works while the broker runs and while it does not, and prints nothing secret.

Before this room: `cli`, `gather`. After it: `doctor_reach`. Rules: deploy/RUNBOOK.md, section 5.6.
"""

import asyncio
import os
import shutil
import sqlite3
import ssl
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from valija_broker import doctor_reach
from valija_broker.batch import disk_free_bytes_min
from valija_broker.config import Console, Listen, Settings, require_anchor
from valija_broker.database import reading
from valija_broker.directory import now_ms, utc
from valija_broker.errors import BrokerError
from valija_broker.findings import Finding, Report
from valija_broker.keys import Keys
from valija_broker.log.opening import policy_of
from valija_broker.log.view import LogView
from valija_broker.observe.attention import directory_now_ms, directory_soon_ms, disk_near
from valija_schemas import checkpoint as checkpoints
from valija_schemas import limits
from valija_schemas.directory import DirectoryError, Phonebook, Root, Roots, read_directory

certificate_days_min: Final = 21  #: Certificates are renewed a month before they end, or three weeks at the latest.


async def examine(settings: Settings, deploy_password: str | None = None) -> tuple[Finding, ...]:
    """Look at everything. `deploy_password` is that of the user `deploy` of a separate store, for its settings."""
    report = Report()
    keys, root, book = None, None, None
    with report.looking("settings"):
        _anchor(settings, report)
    with report.looking("files"):
        _files(settings, report)
    with report.looking("keys"):
        keys = _keys(settings, report)
    with report.looking("directory"):
        root, book = await asyncio.to_thread(_published, settings, report)
    if keys is not None:
        _keys_of_root(keys, root, report)
    for name, door in (("tls", settings.listen), ("tls console", settings.console)):
        if name == "tls" or settings.console.runs:
            with report.looking(name):
                _tls(name, door, report)
    with report.looking("evidence"):
        _evidence(settings.evidence_path, report)
    if keys is not None:
        with report.looking("log"):
            _log(settings, keys, report)
    with report.looking("disk"):
        _disks(settings, report)
    await doctor_reach.examine(settings, root, book, report, deploy_password)
    return tuple(report.findings)


def _anchor(settings: Settings, report: Report) -> None:
    try:
        require_anchor(settings)
        report.ok("settings", f"they can be read, for the exchange {settings.exchange.origin}")
    except BrokerError as error:
        report.wrong("settings", str(error), "Compare the digest with an officer by telephone, then set it.")


def _files(settings: Settings, report: Report) -> None:
    """Who may read what is private, and whether whoever looks is the broker's own user."""
    data = settings.data_path
    secret = {settings.keys_path, *map(Path, filter(None, (
        settings.store.password_file, settings.listen.certificate_key, settings.console.certificate_key)))}  # fmt: skip
    if _is_folder(data / "valkey"):
        secret |= set((data / "valkey").glob("*.password"))
    alone = {data, data / "valkey", settings.evidence_path}
    try:
        owner = data.stat().st_uid
    except OSError as error:
        report.wrong("files", f"{data} cannot be looked at: {error.strerror}", "`valija-broker init` makes the folder.")
        return
    loose = 0
    for path in sorted(secret | alone):
        try:
            about = path.stat()
        except OSError as error:
            if path in secret and path != settings.keys_path:
                report.wrong("files", f"{path} cannot be looked at: {error.strerror}", "A setting names it.")
            continue  # of the keys it is said below; the others are made when they are first needed
        if about.st_mode & 0o077 and (path in secret or stat.S_ISDIR(about.st_mode)):
            loose += 1
            want = "700" if stat.S_ISDIR(about.st_mode) else "600"
            report.wrong("files", f"others may look at {path}", f"Run: chmod {want} {path}")
    if os.geteuid() != owner:
        report.warning(
            "files",
            f"you are user {os.geteuid()}, and {data} belongs to user {owner}",
            "Run this as the broker's user.",
        )
    if not loose:
        report.ok("files", "the data folder, the keys and the passwords are the broker's alone")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _keys(settings: Settings, report: Report) -> Keys | None:
    try:
        return Keys.load(settings.keys_path)
    except BrokerError as error:
        report.wrong(
            "keys", str(error), "Bring back the copy that you made at the beginning; section 4 of the runbook."
        )
        return None


def _keys_of_root(keys: Keys, root: Root | None, report: Report) -> None:
    if root is None:
        report.unknown("keys", "no root says which keys the broker may use")
        return
    public, named = keys.public, root.broker
    other = [
        name
        for name, mine, theirs in (
            ("evidence", public.evidence[0], named.evidence), ("freshness", public.freshness, (named.freshness,)),
            ("log", public.log, (named.log,)), ("log (ML-DSA-44)", public.log_ml_dsa, (named.log_ml_dsa,)),
        )
        if mine not in theirs
    ]  # fmt: skip
    if other:
        report.wrong(
            "keys", f"root {root.version} names other keys for: {', '.join(other)}",
            "Nothing that this broker signs is believed. Bring back the keys that the root names, or have one signed.",
        )  # fmt: skip
    elif public.evidence[0] != named.evidence[0]:
        report.warning(
            "keys",
            f"root {root.version} names a newer key for evidence",
            "Put it into use: section 8.8 of the runbook.",
        )
    else:
        report.ok("keys", f"they are those of root {root.version}")


def _published(settings: Settings, report: Report) -> tuple[Root | None, Phonebook | None]:
    """The newest root and directory of the folder, verified from the first on."""
    folder, exchange = settings.directory_path, settings.exchange
    roots: Roots | None = None
    book: Phonebook | None = None
    hint = "Have the officers look at the file; section 8 of the runbook."
    try:
        while (path := folder / f"root.{roots.newest.version + 1 if roots else 1}.note").exists():
            raw = path.read_bytes()
            roots = roots.extend(raw) if roots else Roots.first(raw, exchange.origin, exchange.anchor)
        while roots and (path := folder / f"directory.{book.version + 1 if book else 1}.note").exists():
            book = read_directory(path.read_bytes(), roots, book)
    except DirectoryError as error:
        report.wrong("directory", f"{path.name}: {error}", hint)
        return roots.newest if roots else None, book
    except OSError as error:
        report.wrong("directory", f"{path} cannot be read: {error.strerror}", "Give the broker's user the right to.")
        return roots.newest if roots else None, book
    if roots is None or book is None:
        report.warning("directory", f"{folder} holds no root and directory yet", "Put what the officers publish there.")
        return roots.newest if roots else None, None
    until = min(book.directory.expires, roots.newest.expires)
    text = f"version {book.version} under root {roots.newest.version}, until {utc(until)}"
    left = until - now_ms()
    ask = "Have the officers draft, sign and publish the next; section 5.3 of the runbook."
    if left < directory_now_ms:
        report.wrong("directory", text, ask)
    elif left < directory_soon_ms:
        report.warning("directory", text, ask)
    else:
        report.ok("directory", text)
    return roots.newest, book


def _tls(name: str, door: Listen | Console, report: Report) -> None:
    if door.tls != "direct":
        said = "what stands in front ends it" if door.tls == "proxy" else "none: loopback or a Unix socket"
        report.unknown(name, said)
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(door.certificate, door.certificate_key, password="")
        shown = x509.load_pem_x509_certificate(Path(door.certificate).read_bytes())
        begin, end, strange = shown.not_valid_before_utc, shown.not_valid_after_utc, _strange(shown, door)
    except (OSError, ValueError) as error:  # SSLError is an OSError: the key is not that of the certificate, say
        report.wrong(name, f"{door.certificate} and its key cannot be used: {error}", "Give both as PEM files.")
        return
    days = int(end.timestamp() * 1000 - now_ms()) // limits.DAY_MS
    text = f"{door.certificate} is good for {days} more days"
    if begin.timestamp() * 1000 > now_ms():
        report.wrong(name, f"{door.certificate} is good from {begin:%Y-%m-%d %H:%M} UTC on", "Compare the clock here.")
    elif days < 0:
        report.wrong(name, f"{door.certificate} ended {-days} days ago", "Renew it, and restart the broker.")
    elif strange:
        said = f"{door.certificate} is not for {', '.join(strange)}, as which this broker is reached"
        report.warning(name, said, "Clients refuse it there. Have one made with all names, or correct the setting.")
    elif days < certificate_days_min:
        report.warning(name, text, "Renew it, and restart the broker.")
    else:
        report.ok(name, text)


def _strange(shown: x509.Certificate, door: Listen | Console) -> list[str]:
    """Names by which settings say that this door is reached, and that its certificate lacks (RFC 9525)."""
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    known = {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    known |= {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    told = [door.url] if isinstance(door, Console) else [f"//{told}" for told in door.authorities or (door.host,)]
    hosts = [host for url in told if (host := urlsplit(url).hostname)]
    return [host for host in hosts if host not in known and f"*.{host.partition('.')[2]}" not in known]


def _evidence(path: Path, report: Report) -> None:
    if not path.exists():
        report.unknown("evidence", "none yet; it is made when the broker first runs")
        return
    try:
        with reading(path) as connection:
            row = connection.execute("SELECT size FROM head").fetchone()
            connection.execute("SELECT * FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        report.ok("evidence", f"{path} holds {row[0] if row else 0} leaves; `valija-broker log fsck` reads all of them")
    except sqlite3.Error as error:
        report.wrong("evidence", f"{path} cannot be read: {error}", "Section 4 of the runbook.")


def _log(settings: Settings, keys: Keys, report: Report) -> None:
    try:
        raw, _ = LogView(settings.log_path).checkpoint()
        if not raw:
            report.unknown("log", "nothing is published yet")
            return
        found = checkpoints.verify_checkpoint(raw, policy_of(settings, keys))
        report.ok("log", f"its checkpoint of {found.size} leaves is signed by the keys here")
    except (BrokerError, checkpoints.CheckpointError) as error:
        report.wrong("log", f"the checkpoint is not this log's: {error}", "Section 4 of the runbook; do not start.")


def _disks(settings: Settings, report: Report) -> None:
    for folder in settings.disks:
        there = next((path for path in (folder, *folder.parents) if _is_folder(path)), None)
        if there is None:
            continue
        free = shutil.disk_usage(there).free
        text = f"{free >> 20:,} MiB free for {folder}"
        if free < disk_free_bytes_min:
            report.wrong("disk", text, "Free space: nothing new is accepted.")
        elif free < disk_near * disk_free_bytes_min:
            report.warning("disk", text, "Free space before it runs out.")
        else:
            report.ok("disk", text)
