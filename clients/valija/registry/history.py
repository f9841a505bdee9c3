"""The whole history of an exchange, judged again: what `valija-registry verify` says of a folder of published notes.

Every root and directory version is read as a stranger would read it who has nothing but the digest of root 1: chain,
thresholds, dates. Beyond that the rules of admission are applied to all of history at once, which no client does: no
key ever had two holders or uses, none that ended came back, none is weak.

The promise: pure and complete. Notes and a time in, findings out, one for each version and each fault; nothing raises.

Before this room: `cli_show`. After it: `valija_schemas.directory`, `admission`. Rules: SPEC.md sections 1.6 and 4.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from valija.errors import AdmissionRefusedError
from valija.registry import admission
from valija_schemas import changes, limits
from valija_schemas import note as notes
from valija_schemas.directory import (
    ContactPoint,
    Directory,
    DirectoryError,
    Phonebook,
    Root,
    Roots,
    read_directory,
    read_request,
    require_current,
)

Result = Literal["holds", "warning", "unchecked", "expired", "false"]

expiry_warning_ms: Final = 7 * limits.DAY_MS  #: Officers of several organisations need days to sign.
_NAME: Final = re.compile(r"(root|directory)\.([1-9][0-9]{0,15})\.note")


class Finding(msgspec.Struct, frozen=True):
    """What was found of one part."""

    result: Result
    part: str  #: `root 2`, `directory 7`.
    words: str


class Folder(msgspec.Struct, frozen=True):
    """What lies in a folder of notes: versions from 1 on, until the first that is missing."""

    roots: Sequence[bytes]
    directories: Sequence[bytes]
    requests: Sequence[bytes] | None  #: Those that were admitted; None where the folder does not keep them.
    missing: Sequence[str]  #: Names of files that are not there, though later ones are.


def read_folder(path: Path) -> Folder:
    """The notes in a folder.

    Raises:
        OSError: it cannot be read.
    """
    found: dict[str, dict[int, Path]] = {"root": {}, "directory": {}}
    for file in path.iterdir():
        if match := _NAME.fullmatch(file.name):
            found[match[1]][int(match[2])] = file
    rows: dict[str, list[bytes]] = {"root": [], "directory": []}
    missing = []
    for kind, files in found.items():
        while (file_ := files.pop(len(rows[kind]) + 1, None)) is not None:
            rows[kind].append(file_.read_bytes())
        missing += [f"{kind}.{len(rows[kind]) + 1}.note"] if files else []
    seen = path / "seen"
    requests = [file.read_bytes() for file in sorted(seen.glob("*.request"))] if seen.is_dir() else None
    return Folder(rows["root"], rows["directory"], requests, missing)


def judge(folder: Folder, anchor: str | None, now_ms: int) -> Iterator[Finding]:
    """What there is to say of `folder`, believing root 1 by the digest `anchor`, or as it is where that is None."""
    for name in folder.missing:
        yield Finding("false", name, "is missing, and later versions are here")
    if not folder.roots:
        yield Finding("false", "root 1", "is missing")
        return
    chain, findings = _chain(folder.roots, anchor)
    yield from findings
    if chain is None:
        return
    if anchor is None:
        yield Finding("unchecked", "root 1", "its digest was not compared: give --root, from another channel")
    books, findings = _books(folder.directories, chain)
    yield from findings
    yield from _dates(chain, books, now_ms)
    yield from _keys(chain, books, folder.requests)
    if books and len(books) == len(folder.directories):
        yield from _current(chain, books[-1], now_ms)


def _chain(raws: Sequence[bytes], anchor: str | None) -> tuple[Roots | None, list[Finding]]:
    chain: Roots | None = None
    findings = []
    for number, raw in enumerate(raws, start=1):
        try:
            if chain is None:
                note = notes.parse(raw, limits.directory_bytes_max)
                chain = Roots.first(raw, note.origin, anchor or note.digest)
            else:
                chain = chain.extend(raw)
        except ValueError as error:
            findings.append(Finding("false", f"root {number}", f"{error}; what follows it was not read"))
            break
        by = "the threshold of root 1" if number == 1 else f"the thresholds of roots {number - 1} and {number}"
        root = chain.newest
        need = (
            f"{root.threshold.keys} of {len(root.officers)} officers, of {root.threshold.organisations} organisations"
        )
        findings.append(Finding("holds", f"root {number}", f"signed by {by}; names {need}; {_span(root)}"))
    return chain, findings


def _books(raws: Sequence[bytes], chain: Roots) -> tuple[list[Phonebook], list[Finding]]:
    books: list[Phonebook] = []
    findings = []
    for number, raw in enumerate(raws, start=1):
        try:
            book = read_directory(raw, chain, books[-1] if books else None)
        except DirectoryError as error:
            findings.append(Finding("false", f"directory {number}", f"{error}; what follows it was not read"))
            break
        books.append(book)
        value = book.directory
        words = f"{len(value.contact_points)} contact points, under root {value.root}; {_span(value)}"
        findings.append(Finding("holds", f"directory {number}", words))
    return books, findings


def _dates(chain: Roots, books: Sequence[Phonebook], now_ms: int) -> Iterator[Finding]:
    """No version dated before the one before it, or ahead of now: who signs so makes something hold longer."""
    roots = sorted(chain.newest_first(), key=lambda root: root.version)
    for kind, row in (("root", roots), ("directory", [book.directory for book in books])):
        last = 0
        for value in row:
            if value.issued > now_ms + limits.DAY_MS:
                yield Finding("false", f"{kind} {value.version}", "is dated more than a day ahead")
            if value.issued < last:
                yield Finding("warning", f"{kind} {value.version}", "is dated before the version before it")
            last = value.issued
    for book in books:
        root = chain.version(book.directory.root)
        if root is not None and book.directory.issued >= root.expires:
            yield Finding("warning", f"directory {book.version}", f"was issued after root {root.version} had expired")


def _keys(chain: Roots, books: Sequence[Phonebook], requests: Sequence[bytes] | None) -> Iterator[Finding]:
    """The rules of admission, version by version: each is held against all that was published before it."""
    seen = admission.Seen(chain.origin, (), (), ())
    asked = _Asked(chain.origin, requests)
    yield from asked.findings
    rooted = 0
    before: dict[str, ContactPoint] = {}
    for book in books:
        yield from _root_keys(chain, seen, rooted, book.directory.root)
        rooted = book.directory.root
        part = f"directory {book.version}"
        for point in book.directory.contact_points:
            for use, public, status, ended in admission.held_keys(point):
                words = _key_fault(seen, point.id, use, public, status, ended)
                if words is not None:
                    yield Finding("false", part, words)
                if not seen.knows(public) and not asked.for_key(point.id, use, public):
                    yield Finding("warning", part, f"no request here asks for the {use} key of {point.id}")
            seen.remember_point(point)
        now = {point.id: point for point in book.directory.contact_points}
        for id_, old in before.items():
            kept = {public for _, public, _, _ in admission.held_keys(now[id_])} if id_ in now else set()
            if {public for _, public, _, _ in admission.held_keys(old)} - kept:
                yield Finding("warning", part, f"{id_}, or a key of it, is not named any more")
        before = now
    yield from _root_keys(chain, seen, rooted, chain.newest.version)


def _root_keys(chain: Roots, seen: admission.Seen, after: int, until: int) -> Iterator[Finding]:
    for number in range(after + 1, until + 1):
        root = chain.version(number)
        if root is None:
            continue
        for who, use, public in admission.root_keys(root):
            try:
                if not seen.knows(public):
                    admission.refuse_weak(who, use, public)
                seen.refuse(who, use, public)
            except AdmissionRefusedError as error:
                yield Finding("false", f"root {number}", str(error))
        seen.remember_root(root)


def _key_fault(seen: admission.Seen, who: str, use: str, public: bytes, status: str, ended: int) -> str | None:
    try:
        if not seen.knows(public):
            admission.refuse_weak(who, use, public)
        seen.refuse(who, use, public)
        seen.refuse_status(who, use, public, status, ended)
    except AdmissionRefusedError as error:
        return str(error)
    return None


class _Asked:
    """Which keys an admitted request asks for, signed by the keys themselves; everything where none are kept."""

    def __init__(self, origin: str, raws: Sequence[bytes] | None) -> None:
        self.findings: list[Finding] = []
        self._keys: set[tuple[str, str, bytes]] | None = None
        if raws is None:
            self.findings.append(Finding("unchecked", "requests", "are not kept in this folder"))
            return
        self._keys = set()
        for raw in raws:
            try:
                request, _ = read_request(raw, origin)
            except DirectoryError as error:
                self.findings.append(Finding("false", "requests", str(error)))
                continue
            self._keys |= {(request.contact_point, use, public) for use, public in admission.asked_keys(request)}

    def for_key(self, who: str, use: str, public: bytes) -> bool:
        return self._keys is None or (who, use, public) in self._keys


def _current(chain: Roots, book: Phonebook, now_ms: int) -> Iterator[Finding]:
    """Whether anybody may send now, and until when."""
    part = f"directory {book.version}"
    try:
        require_current(book, chain, now_ms)
    except DirectoryError as error:
        yield Finding("expired", part, f"nobody may send now: {error}")
        return
    for kind, expires in ((f"root {chain.newest.version}", chain.newest.expires), (part, book.directory.expires)):
        if expires < now_ms + expiry_warning_ms:
            yield Finding("warning", kind, f"expires at {changes.when(expires)}: the officers must sign the next one")


def _span(value: Root | Directory) -> str:
    return f"{changes.when(value.issued)} to {changes.when(value.expires)}"
