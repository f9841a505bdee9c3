"""The officers' folder: what is published, what is drafted, and what must be remembered.

    root.1.note, directory.1.note, ...   published, verified from root 1 whenever the folder is opened
    root.2.draft, directory.2.draft      in the making: text, empty line, signature lines so far
    routes.toml                          the routes that `init` was given, until the first directory is published
    seen/<id>.<digest>.request           every request that was admitted to a draft
    challenges/<digest>.expected         SHA-256 of the answer to a challenge that is on its way; mode 0600
    signed/<kind>.<n>.<officer>          the digest of what an officer signed last as this version, on this machine

A change to a draft drops the signatures under it, since they were given to another text. The folder is made to be
copied on a stick from machine to machine; it holds no private key.

Before this room: `cli`. After it: `core`, `admission`, `valija.trust`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from valija import durable
from valija.errors import AdmissionRefusedError, ConfigError, RegistryError, UnsignedError
from valija.registry import admission, core, entries, files, show
from valija.registry.core import Draft
from valija.trust import TrustStore
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.agreements import Bilateral, Treaty
from valija_schemas.directory import (
    ROOT,
    ContactPoint,
    Directory,
    DirectoryError,
    Root,
    Route,
    missing_signatures,
)


class Registry:
    """An officers' folder. One person works in it at a time."""

    def __init__(self, path: Path) -> None:
        """Open the folder, made if missing, and verify what it says is published.

        Raises:
            TrustError: what it holds is damaged.
        """
        self.path: Final = path
        path.mkdir(parents=True, exist_ok=True)
        self.dropped: tuple[str, ...] = ()  #: Who had signed the draft that the last change replaced.
        self._store: TrustStore | None = None
        first = path / "root.1.note"
        if first.exists():
            self._open(first.read_bytes())

    @property
    def store(self) -> TrustStore:
        """What is published.

        Raises:
            RegistryError: there is no root yet.
        """
        if self._store is None:
            raise RegistryError(
                "no root is published in this folder",
                hint="Run init, have the draft signed, and publish it; or copy the published notes into the folder.",
            )
        return self._store

    @property
    def root(self) -> Root | None:
        """The newest published root."""
        return self._store.roots.newest if self._store else None

    @property
    def directory(self) -> Directory | None:
        """The newest published directory."""
        return self._store.phonebook.directory if self._store and self._store.directory_version else None

    def origin(self) -> str | None:
        """The exchange, as far as the folder knows one."""
        if self._store:
            return self._store.origin
        path = self.path / "root.1.draft"
        return read_file(path).origin if path.exists() else None

    def drafts(self) -> list[Path]:
        """The drafts in the folder: a root's first."""
        found = [
            self.path / f"root.{self._store.root_version + 1 if self._store else 1}.draft",
            self.path / f"directory.{self._store.directory_version + 1 if self._store else 1}.draft",
        ]
        return [path for path in found if path.exists()]

    def draft_root(self, config: Path, *, broker_file: Path | None = None, now_ms: int | None = None) -> Path:
        """Draft the next root from a file that lists officers, thresholds and keys.

        The broker's public keys are in `broker_file`, or in the file that `broker` names in `config`.

        Raises:
            ConfigError: the file, or the broker's keys file, is not as it must be.
            RegistryError: a key is weak, stands twice, or was seen elsewhere, or a threshold can never be met.
        """
        listed, broker = files.read_root(config, broker_file)
        if self._store and listed.origin != self._store.origin:
            raise ConfigError(f"{config} is for {listed.origin}, this folder for {self._store.origin}")
        if self._store and listed.route is not None:
            raise ConfigError(
                f"{config} lists routes, which a later root does not carry",
                hint="Take them out of the file; `valija-registry route` changes them.",
            )
        try:
            root = core.make_root(
                officers=listed.officers,
                threshold=listed.threshold,
                operators=listed.operators,
                broker=broker,
                witnesses=listed.witnesses,
                quorum=listed.quorum,
                version=self.root.version + 1 if self.root else 1,
                now_ms=core.now(now_ms),
                days=listed.days,
            )
            text = core.root_text(listed.origin, root)
        except ValueError as error:
            raise ConfigError(f"{config}: {error}") from None
        if self._store:
            admission.check_root_keys(root, self.seen())
        if listed.route is not None:
            durable.write(self.path / "routes.toml", files.routes_text(listed.route), replace=True)
        return self._write_draft(f"root.{root.version}.draft", text)

    def renew_root(self, *, days: int = core.root_days_default, now_ms: int | None = None) -> Path:
        """Draft the published root again, with the next version number and issued now."""
        store = self.store
        root = core.renewed_root(store.roots.newest, core.now(now_ms), days)
        return self._write_draft(f"root.{root.version}.draft", core.root_text(store.origin, root))

    def draft_directory(
        self,
        points: Sequence[ContactPoint] | None = None,
        routes: Sequence[Route] | None = None,
        *,
        treaties: Sequence[Treaty] | None = None,
        bilateral: Sequence[Bilateral] | None = None,
        days: int = core.directory_days_max,
        now_ms: int | None = None,
    ) -> Path:
        """Draft the next directory, issued now: with what is given, and for the rest what the draft before says.

        Raises:
            RegistryError: no root is published, or the entries do not hold together.
        """
        store = self.store
        now = core.now(now_ms)
        if points is None:
            published = self.directory.contact_points if self.directory else ()
            points = entries.overlapping(self.points(), published, now + entries.overlap_days_default * limits.DAY_MS)
        text = core.next_directory(
            store.phonebook if store.directory_version else None,
            store.roots.newest,
            points,
            self.routes() if routes is None else routes,
            now,
            origin=store.origin,
            treaties=self.treaties() if treaties is None else treaties,
            bilateral=self.bilateral() if bilateral is None else bilateral,
            days=days,
        )
        return self._write_draft(f"directory.{store.directory_version + 1}.draft", text)

    def points(self) -> tuple[ContactPoint, ...]:
        """The contact points of the draft, else of the newest published version."""
        newest = self._newest_directory()
        return newest.contact_points if newest else ()

    def routes(self) -> tuple[Route, ...]:
        """The routes of the draft, else of the newest published version, else those that `init` was given."""
        if newest := self._newest_directory():
            return newest.routes
        path = self.path / "routes.toml"
        return files.rows(files.read(path, files.RoutesFile).route) if path.exists() else core.default_routes()

    def treaties(self) -> tuple[Treaty, ...]:
        """The treaties of the draft, else of the newest published version."""
        newest = self._newest_directory()
        return newest.treaties if newest else ()

    def bilateral(self) -> tuple[Bilateral, ...]:
        """The bilateral types of the draft, else of the newest published version."""
        newest = self._newest_directory()
        return newest.bilateral if newest else ()

    def seen(self, *, drafted: bool = True) -> admission.Seen:
        """Every public key that this exchange ever saw, in the draft too unless `drafted` is False.

        A request counts as a contact point's last once its keys are published: a draft can be deleted.
        """
        store = self.store
        roots = [store.roots.version(number) for number in range(1, store.root_version + 1)]
        books = [store.version(number) for number in range(1, store.directory_version + 1)]
        kept = []
        for path in sorted((self.path / "seen").glob("*.request")):
            try:
                kept.append(admission.read(path.read_bytes(), store.origin))
            except AdmissionRefusedError as error:
                raise RegistryError(f"{path}: {error}", hint="Restore the file from a copy of the folder.") from None
        directories = [book.directory for book in books if book]
        held = [key for each in directories for point in each.contact_points for key in admission.held_keys(point)]
        published = {(use, public) for use, public, _, _ in held}
        if drafted and (newest := self._newest_directory()):
            directories.append(newest)
        asked = [(each, published.issuperset(admission.asked_keys(each.request))) for each in kept]
        admitted = [each for each, named in asked if named]
        seen = admission.Seen(store.origin, [root for root in roots if root], directories, admitted)
        for each, _ in asked:
            for use, public in admission.asked_keys(each.request):
                seen.remember(each.request.contact_point, use, public)
        return seen

    def missing(self, draft: Draft) -> tuple[int, int]:
        """How many keys and organisations a draft still needs: of the newest root, and for a root of itself, too.

        Raises:
            RegistryError: a signature on it does not hold, or it belongs to another exchange.
        """
        if self._store and draft.origin != self._store.origin:
            raise RegistryError(f"this belongs to the exchange {draft.origin}, not to {self._store.origin}")
        roots = self.judges(draft)
        if not draft.signatures:
            return max(root.threshold.keys for root in roots), max(root.threshold.organisations for root in roots)
        try:
            counts = [missing_signatures(draft.raw, draft.origin, root) for root in roots]
        except DirectoryError as error:
            raise RegistryError(str(error), hint="Make the draft again, and have it signed again.") from None
        return max(count for count, _ in counts), max(count for _, count in counts)

    def judges(self, draft: Draft) -> list[Root]:
        """The roots whose thresholds a draft must meet."""
        newest = self.root
        roots = [newest] if newest and not (draft.kind == ROOT and draft.value.version <= newest.version) else []
        if isinstance(draft.value, Root):
            roots.append(draft.value)
        if not roots:
            raise RegistryError(
                "a directory can be judged only beside a published root",
                hint="Copy the published notes into the folder: root.1.note and all that follow.",
            )
        return roots

    def check(self, draft: Draft, *, now_ms: int | None = None) -> None:
        """Refuse what an officer must not sign, whoever made the draft: a fork, a gap, a key that may not enter.

        Dates, too: what has expired, what ends a key before it can be published, and what is dated ahead and would
        thus hold for longer than it says.

        Raises:
            RegistryError: it is neither the version after the newest published one nor that one again.
            AdmissionRefusedError: a key in it is weak, was seen elsewhere, or ended before.
        """
        version = draft.value.version
        newest, digest = self._newest(draft.kind)
        again = version == newest and draft.digest == digest
        if version != newest + 1 and not again:
            raise RegistryError(
                f"this is version {version}; version {newest} is the newest published in this folder",
                hint="Copy the newest published notes into the folder. Never sign two texts of one version.",
            )
        if not again:
            admission.check_dates(draft.value, self.directory, core.now(now_ms))
        if isinstance(draft.value, Root):
            core.check_root_keys(draft.value)
            if self._store:
                admission.check_root_keys(draft.value, self.seen(drafted=False))
            return
        if not again and draft.value.previous != (digest or None):
            raise RegistryError(
                "this does not follow from the version that is published in this folder",
                hint="Stop, and ask the officer who made it: somebody may be making two directories.",
            )
        if not again and draft.value.root != self.store.root_version:
            raise RegistryError(
                f"this is drafted under root {draft.value.root}; root {self.store.root_version} is in force",
                hint="Run `valija-registry draft` to make it again under the newest root.",
            )
        admission.check_directory_keys(draft.value, self.seen(drafted=False))

    def before(self, draft: Draft) -> Root | Directory | None:
        """The published version that a draft follows."""
        number = draft.value.version - 1
        if self._store is None or number < 1:
            return None
        if draft.kind == ROOT:
            return self._store.roots.version(number)
        book = self._store.version(number)
        return book.directory if book else None

    def newest(self) -> list[Path]:
        """The newest published root and directory, then the drafts."""
        found = []
        if self._store is not None:
            found.append(self.path / f"root.{self._store.root_version}.note")
            if self._store.directory_version:
                found.append(self.path / f"directory.{self._store.directory_version}.note")
        return [*found, *self.drafts()]

    def add_signature(self, path: Path, draft: Draft, signer: notes.Signer) -> None:
        """Add an officer's line to the draft in `path`, if it still is the one that was shown.

        Raises:
            RegistryError: it changed meanwhile.
        """
        if read_file(path).raw != draft.raw:
            raise RegistryError(f"{path} changed while it was shown", hint="Look at it again, then sign it.")
        record = self._signed(draft, signer)
        record.parent.mkdir(exist_ok=True)
        durable.write(record, draft.digest.encode() + b"\n", replace=True)
        # A crash here: the text counts as signed, and is not; signing it again changes nothing else.
        durable.write(path, core.sign_note(draft.raw, signer), replace=True)

    def signed_before(self, draft: Draft, signer: notes.Signer) -> str | None:
        """The digest of another text of this version that `signer` signed here last, if there is one.

        Two texts of one version, each with enough signatures, are two truths: every client that meets both stops.
        """
        record = self._signed(draft, signer)
        digest = record.read_text("ascii").strip() if record.exists() else draft.digest
        return digest if digest != draft.digest else None

    def publish(self, copies: Sequence[Path], to: Path) -> list[str]:
        """Take every complete draft (copies of one are merged), then copy all that is published into `to`.

        Returns the names of what is new.

        Raises:
            UnsignedError: a draft is not complete; complete ones before it in order are published all the same.
        """
        groups: dict[str, list[Draft]] = {}
        for path in copies or self.drafts():
            draft = read_file(path)
            groups.setdefault(draft.digest, []).append(draft)
        merged = [core.read_draft(core.merge(group)) for group in groups.values()]
        published = []
        unready = []
        for draft in sorted(merged, key=lambda draft: (draft.kind != ROOT, draft.value.version)):
            missing = self.missing(draft)
            if any(missing):
                unready.append((draft, missing))
                continue
            name = f"{'root' if draft.kind == ROOT else 'directory'}.{draft.value.version}"
            self._take(draft)
            (self.path / f"{name}.draft").unlink(missing_ok=True)
            if name == "directory.1":
                (self.path / "routes.toml").unlink(missing_ok=True)
            published.append(f"{name}.note")
        self.copy(to)
        if unready and not published:
            draft, missing = unready[0]
            raise UnsignedError(
                f"nothing was published: {draft.kind} version {draft.value.version} still needs "
                f"{show.missing_words(missing)}"
            )
        return published

    def copy(self, to: Path) -> None:
        """Copy the published notes into the folder that the broker watches: roots first, each whole or not at all."""
        if self._store is None:
            return
        to.mkdir(parents=True, exist_ok=True)
        for kind, count in (("root", self._store.root_version), ("directory", self._store.directory_version)):
            for number in range(1, count + 1):
                name = f"{kind}.{number}.note"
                raw = (self.path / name).read_bytes()
                target = to / name
                if not target.exists() or target.read_bytes() != raw:
                    durable.write(target, raw, replace=True)

    def _newest(self, kind: str) -> tuple[int, str]:
        if self._store is None:
            return 0, ""
        if kind == ROOT:
            raw = self._store.roots.raws[-1]
            return self._store.root_version, notes.parse(raw, limits.directory_bytes_max).digest
        return self._store.phonebook.reference if self._store.directory_version else (0, "")

    def _take(self, draft: Draft) -> None:
        if draft.kind != ROOT:
            self.store.add_directory(draft.raw)
        elif self._store is not None:
            self._store.add_root(draft.raw)
        else:
            store = TrustStore(self.path, draft.origin, draft.digest)
            store.add_root(draft.raw)
            self._store = store

    def _open(self, first: bytes) -> None:
        try:
            note = notes.parse(first, limits.directory_bytes_max)
        except notes.NoteError as error:
            raise RegistryError(f"root.1.note: {error}", hint="Restore the file from a copy of the folder.") from None
        self._store = TrustStore(self.path, note.origin, note.digest)

    def _write_draft(self, name: str, text: bytes) -> Path:
        path = self.path / name
        if path.exists():
            before = read_file(path)
            self.dropped = tuple(line.name for line in before.signatures) if before.text != text else ()
        durable.write(path, core.unsigned(text), replace=True)
        return path

    def _signed(self, draft: Draft, signer: notes.Signer) -> Path:
        kind = "root" if draft.kind == ROOT else "directory"
        return self.path / "signed" / f"{kind}.{draft.value.version}.{signer.name.rpartition('/')[2]}"

    def _newest_directory(self) -> Directory | None:
        """The draft, else the newest published version."""
        path = self.path / f"directory.{self.store.directory_version + 1}.draft"
        value = read_file(path).value if path.exists() else self.directory
        return value if isinstance(value, Directory) else None


def read_file(path: Path) -> Draft:
    """A draft or note in a file.

    Raises:
        RegistryError: it is not there, or is neither.
    """
    try:
        with path.open("rb") as file:
            return core.read_draft(file.read(limits.directory_bytes_max + 1))
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}", hint="Check the path.") from None
