"""What this client believes about who is who: every root and every directory version, verified, on disk.

Each note is one file, `root.N.note` and `directory.N.note`, as the officers published it; all are verified again from
the anchor, the digest of root 1, whenever the store is opened. A note is written only after every check on it, each by
one atomic step, so a crash between two steps leaves an older state that is whole.

The promise: the store never goes back. It refuses a lower version, and an equal one with other content. The one
exception is the cure for officers whose keys were stolen: where the newest root replaced the officers, and they do not
stand behind the last versions held here, those may give way to versions that they signed; what gave way is kept in
`replaced`. Expiry stops sending (`require_current`), never reading.

Before this room: `sync`, which fetches. After it: `valija_schemas.directory`, which verifies, and `durable`.
Rules: schemas/SPEC.md section 4; TUF specification 1.0, section 5.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from valija import durable
from valija.errors import (
    DirectoryConflictError,
    DirectoryExpiredError,
    DirectoryInvalidError,
    DirectoryRollbackError,
    NotInstalledError,
    TrustError,
)
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.directory import (
    Directory,
    DirectoryError,
    Freshness,
    Phonebook,
    Roots,
    missing_signatures,
    read_directory,
    read_freshness,
    require_current,
)

phonebooks_kept: Final = 32  #: Old versions held in memory at once; a message names a recent one.

_NAME: Final = re.compile(r"(root|directory)\.([1-9][0-9]{0,15})\.note")


class TrustStore:
    """The roots and directories of one exchange. One process writes; share it between tasks, not between threads."""

    def __init__(self, folder: Path, origin: str, anchor_digest: str) -> None:
        """Open the store in `folder`, made if missing, and verify all that it holds from `anchor_digest`.

        Raises:
            DirectoryInvalidError: a file in it is damaged, missing from the row, or not of this anchor.
            TrustError: the folder cannot be used.
        """
        self.folder: Final = folder
        self.origin: Final = origin
        self.anchor_digest: Final = anchor_digest
        self.freshness: Freshness | None = None  #: The newest note of it that was verified, expired or not.
        self._roots: Roots | None = None
        self._newest: Phonebook | None = None
        self._steps: list[Phonebook] = []  # What the chain needs of each version: number, digest, root. No entries.
        self._read_version = functools.lru_cache(maxsize=phonebooks_kept)(self._verify_again)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._load()
        except OSError as error:
            raise TrustError(f"{folder} cannot be used: {error.strerror}", hint="Check the folder's rights.") from None

    @property
    def roots(self) -> Roots:
        """Every root from 1 to the newest.

        Raises:
            NotInstalledError: there is none yet.
        """
        if self._roots is None:
            raise NotInstalledError("no root is installed")
        return self._roots

    @property
    def phonebook(self) -> Phonebook:
        """The newest directory.

        Raises:
            NotInstalledError: there is none yet.
        """
        if self._newest is None:
            raise NotInstalledError("no directory is installed")
        return self._newest

    @property
    def root_version(self) -> int:
        """The newest root's version; 0 where there is none."""
        return self._roots.newest.version if self._roots else 0

    @property
    def directory_version(self) -> int:
        """The newest directory's version; 0 where there is none."""
        return len(self._steps)

    @property
    def first_wanted(self) -> int:
        """The directory version to fetch first: the next one, or the first that the newest officers may replace."""
        number = len(self._steps)
        while number and not self._is_backed(number):
            number -= 1
        return number + 1

    def version(self, number: int) -> Phonebook | None:
        """Directory version `number`, or None where it is not held. For mail that was signed under it.

        Raises:
            DirectoryInvalidError: its file was changed or lost since the store was opened.
        """
        if self._newest is not None and number == self._newest.version:
            return self._newest
        return self._read_version(number) if 1 <= number <= len(self._steps) else None

    def held(self) -> Iterator[tuple[str, str, int]]:
        """Each root and directory version that is held: its name, its digest, and since when it is held, in ms."""
        roots = [notes.parse(raw, limits.directory_bytes_max).digest for raw in self.roots.raws]
        for kind, digests in (("root", roots), ("directory", [step.digest for step in self._steps])):
            for number, digest in enumerate(digests, start=1):
                since = (self.folder / f"{kind}.{number}.note").stat().st_mtime_ns // 1_000_000
                yield f"{kind} version {number}", digest, since

    def add_root(self, raw: bytes) -> Roots:
        """Verify and keep the next root, root 1 by the anchor. One that is held already changes nothing.

        Raises:
            DirectoryConflictError: it is signed, and another root with its version is held.
            DirectoryInvalidError: it is not the next root, or a threshold is not met.
        """
        try:
            if self._roots is None:
                roots = Roots.first(raw, self.origin, self.anchor_digest)
            elif (held := self._held_root(raw)) is not None:
                return held
            else:
                roots = self._roots.extend(raw)
        except DirectoryError as error:
            raise DirectoryInvalidError(f"this root is not believed: {error}") from None
        self._write(f"root.{roots.newest.version}.note", raw)
        # A crash here: the root is held from the next start on, and nothing else has changed.
        self._roots = roots
        return roots

    def add_directory(self, raw: bytes) -> Phonebook:
        """Verify and keep the next directory version. The newest once more changes nothing.

        Raises:
            DirectoryRollbackError: it is an older version than the newest held.
            DirectoryConflictError: the newest held version has this number and another digest.
            DirectoryInvalidError: it is not the next version, or not well-formed, chained and signed.
        """
        number, digest = self._announced(raw)
        if number > len(self._steps):
            phonebook = self._verified(raw, self._newest)
            self._write(f"directory.{number}.note", raw)
            # A crash here: the version is held from the next start on.
            self._keep(phonebook)
            return phonebook
        held = digest == self._steps[number - 1].digest
        replaceable = number >= self.first_wanted
        if not replaceable and not (held and number == len(self._steps)):
            self._refuse_older(number)
        phonebook = self._verified(raw, self._steps[number - 2] if number > 1 else None)
        if held:
            return self._countersigned(phonebook)
        if not self._stands_behind(raw):
            self._refuse_older(number)
        return self._replace_from(phonebook)

    def set_freshness(self, raw: bytes, now_ms: int) -> Freshness:
        """Verify and keep the broker's word on what is newest. Fetch what it names next; see `require_current`.

        Raises:
            DirectoryRollbackError: it names an older root or directory than is held.
            DirectoryConflictError: it names the newest version held, with another digest.
            DirectoryInvalidError: not signed by the freshness key, or expired.
        """
        try:
            freshness = read_freshness(raw, self.roots, now_ms)
        except DirectoryError as error:
            raise DirectoryInvalidError(f"this freshness note is not believed: {error}") from None
        if freshness.root < self.root_version:
            raise DirectoryRollbackError(
                f"the broker says that root {freshness.root} is the newest; root {self.root_version} is held"
            )
        if self.first_wanted > len(self._steps):  # Else the newest officers may be about to replace what is held.
            if freshness.version < len(self._steps):
                self._refuse_older(freshness.version)
            if freshness.version == len(self._steps) and self._steps and freshness.digest != self._steps[-1].digest:
                raise DirectoryConflictError(f"the broker names another directory version {freshness.version}")
        held = self.freshness
        if held is not None and (freshness.root, freshness.version) < (held.root, held.version):
            raise DirectoryRollbackError(
                f"the broker named directory version {held.version} as the newest before, now {freshness.version}"
            )
        if held is None or freshness.issued >= held.issued:
            self._write("freshness.note", raw, replace=True)
            self.freshness = freshness
        return freshness

    def require_current(self, now_ms: int) -> Phonebook:
        """The newest directory, if it may be used for sending now.

        Raises:
            NotInstalledError: there is none yet.
            DirectoryExpiredError: root, directory or freshness has run out, or a newer version is known to exist.
        """
        phonebook = self.phonebook
        try:
            require_current(phonebook, self.roots, now_ms)
        except DirectoryError as error:
            raise DirectoryExpiredError(f"nothing may be sent: {error}") from None
        freshness = self.freshness
        if freshness is None or now_ms >= freshness.expires:
            raise DirectoryExpiredError("nothing may be sent: the broker has not said lately which directory is newest")
        outrun = freshness.version > phonebook.version or freshness.root > self.root_version
        if outrun or (freshness.version == phonebook.version and freshness.digest != phonebook.digest):
            raise DirectoryExpiredError(
                f"nothing may be sent: directory version {freshness.version} is the newest, "
                f"version {phonebook.version} is held"
            )
        return phonebook

    def _load(self) -> None:
        found: dict[str, list[int]] = {"root": [], "directory": []}
        for path in self.folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                found[match[1]].append(int(match[2]))
        for kind, numbers in found.items():
            for expected, number in enumerate(sorted(numbers), start=1):
                if number != expected:
                    raise DirectoryInvalidError(
                        f"{self.folder} holds {kind}.{number}.note and not {kind}.{expected}.note",
                        hint="Restore the missing file from the broker or from a copy.",
                    )
        for number in range(1, len(found["root"]) + 1):
            raw = self._read("root", number)
            try:
                self._roots = (
                    self._roots.extend(raw) if self._roots else Roots.first(raw, self.origin, self.anchor_digest)
                )
            except DirectoryError as error:
                raise DirectoryInvalidError(f"{self.folder / f'root.{number}.note'}: {error}") from None
        for number in range(1, len(found["directory"]) + 1):
            self._keep(self._verified(self._read("directory", number), self._newest, f"directory.{number}.note: "))
        path = self.folder / "freshness.note"
        if self._roots is not None and path.exists():
            try:
                self.freshness = read_freshness(path.read_bytes(), self._roots, now_ms=0)
            except DirectoryError:
                # A newer root took the key away, or the file is damaged: the broker is asked again.
                self.freshness = None

    def _held_root(self, raw: bytes) -> Roots | None:
        """All roots, if `raw` is one that is held; None if it is none of them and may be the next."""
        roots = self.roots
        digests = [notes.parse(held, limits.directory_bytes_max).digest for held in roots.raws]
        try:
            note = notes.parse(raw, limits.directory_bytes_max)
        except notes.NoteError as error:
            raise DirectoryError(str(error)) from None
        if note.digest in digests:
            return roots
        for number in range(2, len(digests) + 1):
            try:
                Roots(self.origin, tuple(filter(None, map(roots.version, range(1, number)))), ()).extend(raw)
            except DirectoryError:
                continue
            raise DirectoryConflictError(f"this is another root {number}, signed, than the one that is held")
        return None

    def _announced(self, raw: bytes) -> tuple[int, str]:
        """The number that a directory note gives itself, and its digest, before anything about it is verified."""
        try:
            note = notes.parse(raw, limits.directory_bytes_max)
            number = msgspec.json.decode(note.json, type=_Announced).version
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise DirectoryInvalidError(f"this directory is not believed: {error}") from None
        if number < 1:
            raise DirectoryInvalidError("this directory is not believed: versions begin with 1")
        return number, note.digest

    def _verified(self, raw: bytes, previous: Phonebook | None, where: str = "") -> Phonebook:
        try:
            return read_directory(raw, self.roots, previous)
        except DirectoryError as error:
            raise DirectoryInvalidError(f"{where}this directory is not believed: {error}") from None

    def _keep(self, phonebook: Phonebook) -> None:
        bare: Directory = msgspec.structs.replace(
            phonebook.directory, contact_points=(), routes=(), treaties=(), bilateral=()
        )
        self._steps.append(Phonebook(bare, phonebook.digest, b""))
        self._newest = phonebook

    def _countersigned(self, phonebook: Phonebook) -> Phonebook:
        """A held version again. Signatures of the newest officers that it brings, and the held copy lacks, are kept."""
        number = phonebook.version
        if self._stands_behind(phonebook.raw) and not self._is_backed(number):
            self._write(f"directory.{number}.note", phonebook.raw, replace=True)
            self._read_version.cache_clear()
            if number == len(self._steps):
                self._newest = phonebook
        held = self.version(number)
        return held if held is not None else phonebook

    def _replace_from(self, phonebook: Phonebook) -> Phonebook:
        """Let the versions that the newest officers do not stand behind give way, the last one first."""
        aside = self.folder / "replaced"
        aside.mkdir(exist_ok=True)
        for number in range(len(self._steps), phonebook.version - 1, -1):
            kept = aside / f"directory.{number}.{self._steps[number - 1].digest[:16]}.note"
            durable.write(kept, self._read("directory", number), replace=True)
            if number > phonebook.version:
                # A crash after any of these leaves a shorter row, whose end is still not backed: nothing can be sent,
                # and adding the same version again goes on from there.
                (self.folder / f"directory.{number}.note").unlink()
                durable.sync_folder(self.folder)
        self._write(f"directory.{phonebook.version}.note", phonebook.raw, replace=True)
        del self._steps[phonebook.version - 1 :]
        self._read_version.cache_clear()
        self._keep(phonebook)
        return phonebook

    def _is_backed(self, number: int) -> bool:
        """Whether the officers of the newest root stand behind the held version `number`."""
        if self._steps[number - 1].directory.root == self.root_version:
            return True
        return self._stands_behind(self._read("directory", number))

    def _stands_behind(self, raw: bytes) -> bool:
        try:
            return missing_signatures(raw, self.origin, self.roots.newest) == (0, 0)
        except DirectoryError:
            return False

    def _refuse_older(self, number: int) -> None:
        newest = len(self._steps)
        if number == newest:
            raise DirectoryConflictError(f"this is another directory version {number} than the one that is held")
        raise DirectoryRollbackError(f"this is directory version {number}; version {newest} is held")

    def _verify_again(self, number: int) -> Phonebook:
        step = self._steps[number - 1]
        previous = self._steps[number - 2] if number > 1 else None
        raw = self._read("directory", number)
        phonebook = self._verified(raw, previous, f"directory.{number}.note: ")
        if phonebook.digest != step.digest:
            raise DirectoryInvalidError(f"directory.{number}.note was changed since it was verified")
        return phonebook

    def _read(self, kind: str, number: int) -> bytes:
        path = self.folder / f"{kind}.{number}.note"
        try:
            with path.open("rb") as file:
                return file.read(limits.directory_bytes_max + 1)
        except OSError as error:
            raise TrustError(f"{path} cannot be read: {error.strerror}", hint="Check the folder's rights.") from None

    def _write(self, name: str, raw: bytes, *, replace: bool = False) -> None:
        path = self.folder / name
        try:
            durable.write(path, raw, replace=replace)
        except FileExistsError:
            # Another process was first. With the same note that is as good as ours.
            if path.read_bytes() != raw:
                raise TrustError(f"another process wrote {name}", hint="Open the store again.") from None
        except OSError as error:
            raise TrustError(f"{path} cannot be written: {error.strerror}", hint="Free space, then repeat.") from None


class _Announced(msgspec.Struct, frozen=True):
    version: int
