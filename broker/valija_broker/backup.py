"""Backups of a broker that runs, and what they are restored to: evidence, mail, orders, directory. Never its keys.

`evidence.sqlite` is copied first, as of one instant; then the embedded store, which knows at least as much, with upkeep
standing still in between (`turn`). So whatever was answered when the backup began is in the copy, and every event is in
one of its two halves. `reconcile` and `log fsck` find nothing amiss in what is restored.

What happened after the backup is not in it: the broker that is restored begins where the copy ended. Whoever has seen
more of the log than that holds its proof, and their clients say so; deploy/RUNBOOK.md, section 4, says what to do.

Before this room: `cli`. After it: `aof`, `turn`.
"""

import contextlib
import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from valija_broker import aof, turn
from valija_broker.config import Settings
from valija_broker.database import open_readonly
from valija_broker.directory import now_ms
from valija_broker.errors import BackupError
from valija_schemas.wire import Count, Digest, Milliseconds

MANIFEST: Final = "backup.json"
_FORM: Final = "valija-backup/1"
_EVIDENCE: Final = "evidence.sqlite"
_SETTINGS: Final = "broker.toml"
_STORE: Final = f"valkey/{aof.FOLDER}"
_manifest_bytes_max: Final = 64 << 20
_read_bytes: Final = 1 << 20
#: What a backup is made of. Nothing else is put into a data folder: keys, above all, come from nowhere but their copy.
_BELONGS: Final = re.compile(rf"{re.escape(_EVIDENCE)}|{re.escape(_SETTINGS)}|{_STORE}/[^/\n]+|(orders|directory)/.+")

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,3}$")]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of a backup."""

    name: Name
    bytes: Count
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself, in `backup.json`."""

    form: Literal["valija-backup/1"] = _FORM
    release: str
    origin: str
    time: Milliseconds  #: When it was begun: what was answered before is in it.
    leaves: Count  #: Of the log.
    store: Literal["embedded", "separate"]  #: A separate store is not in it.
    files: tuple[Part, ...]


def make(settings: Settings, path: Path, target: Path, during: Sequence[str] = ()) -> Manifest:
    """Write a backup into the folder `target`, which must not be there; `path` is the file of the settings.

    `during` is run while upkeep stands still: what copies a separate store.

    Raises:
        BackupError: it cannot be made, or would hold what lies elsewhere; there is no folder `target` then.
        sqlite3.Error, OSError: as they say.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: name a folder that is not")
    if not settings.evidence_path.exists():
        raise BackupError(f"there is no {settings.evidence_path}: no broker ran with these settings")
    began = now_ms()
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    try:
        with turn.held(settings.data_path):
            leaves = _copy_evidence(settings.evidence_path, partial / _EVIDENCE)
            if not settings.store.url:
                (partial / _STORE).mkdir(mode=0o700, parents=True)
                aof.copy(settings.data_path / _STORE, partial / _STORE)
            if during and subprocess.run(list(during), check=False).returncode:
                raise BackupError(f"{during[0]} failed")
        for name, folder in (("orders", settings.orders_path), ("directory", settings.directory_path)):
            if folder.is_dir():
                shutil.copytree(folder, partial / name, ignore=_left_out(folder))
        shutil.copyfile(path, partial / _SETTINGS)
        manifest = Manifest(
            release=version("valija"),
            origin=settings.exchange.origin,
            time=began,
            leaves=leaves,
            store="separate" if settings.store.url else "embedded",
            files=tuple(_described(partial)),
        )
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        for file in _files(partial):
            file.chmod(0o600)
            _sync(file)
        partial.rename(target)
        _sync(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def check(folder: Path) -> Manifest:
    """Compare a backup with what it says of itself.

    Raises:
        BackupError: it is none, or a file is missing, altered, too many, or none that a backup has.
    """
    try:
        for _ in _files(folder):  # before any is read: a link may lead to what never ends
            pass
        with (folder / MANIFEST).open("rb") as file:
            raw = file.read(_manifest_bytes_max + 1)
        if len(raw) > _manifest_bytes_max:
            raise BackupError(f"{folder / MANIFEST} is too long")
        manifest = msgspec.json.decode(raw, type=Manifest)
    except OSError as error:
        raise BackupError(f"{folder} is no backup: {MANIFEST}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BackupError(f"{folder / MANIFEST} is not of this release's form: {error}") from None
    for part in manifest.files:
        if not _BELONGS.fullmatch(part.name):
            raise BackupError(f"{part.name} is no part of any backup")
    found = {part.name: part for part in _described(folder) if part.name != MANIFEST}
    for part in manifest.files:
        if found.pop(part.name, None) != part:
            raise BackupError(f"{folder / part.name} is missing, or is not what was backed up")
    if found:
        raise BackupError(f"{folder / min(found)} is no part of this backup")
    return manifest


def restore(folder: Path, settings: Settings) -> Manifest:
    """Put a backup into the data folder of `settings`, in which nothing but `keys.toml` may be.

    Raises:
        BackupError: as `check`; it is of another exchange or has another kind of store; the data folder is not empty.
        OSError: it could not be written; empty the data folder and begin again.
    """
    manifest = check(folder)
    data = settings.data_path
    if manifest.origin != settings.exchange.origin:
        raise BackupError(f"this is a backup of {manifest.origin}, and the settings are for {settings.exchange.origin}")
    if (manifest.store == "embedded") == bool(settings.store.url):
        raise BackupError(f"the backup has {manifest.store} store, and the settings another kind")
    others = [found.name for found in data.iterdir() if found.name != "keys.toml"] if data.exists() else []
    if others:
        raise BackupError(f"{data} is not empty: {min(others)}")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = {"directory": settings.directory_path, "orders": settings.orders_path}
    for part in manifest.files:
        if part.name == _SETTINGS:
            continue
        top, _, rest = part.name.partition("/")
        target = places[top] / rest if top in places else data / part.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(folder / part.name, target)
        target.chmod(0o600)
        _sync(target)
    settings.installed_path.touch(mode=0o600)  # a store was set up here: its loss would be one
    return manifest


def _copy_evidence(source: Path, target: Path) -> int:
    """A copy as of one instant; how many leaves it has."""
    with (
        contextlib.closing(open_readonly(source)) as there,
        contextlib.closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)
        here.execute("PRAGMA journal_mode = DELETE")  # one file
        row = here.execute("SELECT size FROM head").fetchone()
        if here.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise BackupError(f"{source} is damaged: `valija-broker log fsck` says more")
    return int(row[0]) if row else 0


def _left_out(folder: Path) -> Callable[[str, list[str]], set[str]]:
    """What is not copied of a folder of notes: what is still written. No link may lead out of it, to keys say."""
    inside = folder.resolve()

    def chosen(where: str, names: list[str]) -> set[str]:
        for name in names:
            if not (found := Path(where, name)).resolve().is_relative_to(inside):
                raise BackupError(f"{found} leads out of {folder}: put the file itself there")
        return {name for name in names if name.startswith(".")}

    return chosen


def _files(folder: Path) -> Iterator[Path]:
    for found in sorted(folder.rglob("*")):
        if found.is_symlink() or not (found.is_dir() or found.is_file()):
            raise BackupError(f"{found} is neither a file nor a folder")
        if found.is_file():
            yield found


def _described(folder: Path) -> Iterator[Part]:
    for path in _files(folder):
        digest, length = hashlib.sha256(), 0
        with path.open("rb") as file:
            while data := file.read(_read_bytes):
                digest.update(data)
                length += len(data)
        yield Part(name=path.relative_to(folder).as_posix(), bytes=length, sha256=digest.hexdigest())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
