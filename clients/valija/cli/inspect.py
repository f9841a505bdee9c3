"""`valija inspect`: what a file says, and what of it verifies here, without opening the seal and without a network.

A check that failed is told apart from one that could not be made: the first is proved false, the second proves nothing.
"""

import json
from collections.abc import Callable
from typing import Any, Final, Literal

import click
import msgspec

from valija.cli import common
from valija.errors import ConfigError, ValijaError
from valija.trust import TrustStore
from valija_schemas import evidence, limits, message
from valija_schemas import note as notes
from valija_schemas.directory import DIRECTORY, ROOT

Result = Literal["verified", "false", "not checked"]
file_bytes_max: Final = limits.directory_bytes_max


@click.command("inspect", cls=common.Command)
@click.argument("file")
@common.output_option
@common.profile_options
@common.reported
def command(file: str, profile: str | None, settings: tuple[str, ...], output: str) -> None:
    """Show what FILE says (a message, a receipt, evidence, a root, a directory) and what of it verifies.

    Signatures are verified under the roots and directories that the profile's state folder holds.
    """
    data = common.read_file(file, file_bytes_max)
    try:
        large = data.startswith((f"{ROOT} ".encode(), f"{DIRECTORY} ".encode()))
        note, body = notes.split(data, limits.directory_bytes_max if large else limits.note_bytes_max)
    except notes.NoteError as error:
        raise ConfigError(f"{file} is not a message or a note: {error}") from None
    store, why = _store(profile, settings)
    checks = _Checks(store, why)
    checks.look(note, body)
    facts: dict[str, Any] = {"kind": note.kind, "exchange": note.origin, "digest": note.digest} | checks.facts
    if output == "table":
        for name, value in facts.items():
            click.echo(f"{name}\t{common.printable(value if isinstance(value, str) else json.dumps(value))}")
        click.echo()
    printer = common.Printer(output, ["check", "result", "detail"])
    if output == "table":
        for record in checks.results:
            printer.add(record)
    else:
        printer.add(facts | {"checks": checks.results})
    printer.close()
    found = {record["result"] for record in checks.results}
    if "false" in found:
        common.words("Next: keep the file and do not rely on it; ask its sender by another channel.")
        raise SystemExit(common.FALSE)
    if "not checked" in found:
        common.words("Next: run `valija directory` with a profile of this exchange, then this again.")
        raise SystemExit(common.UNCHECKED)


def _store(profile: str | None, settings: tuple[str, ...]) -> tuple[TrustStore | None, str]:
    try:
        config = common.load_config(profile, settings)
        if not (config.state_folder / "trust").is_dir():
            return None, "no directory is held in the state folder"
        return TrustStore(config.state_folder / "trust", config.exchange, config.root), ""
    except ValijaError as error:
        if profile or settings:
            raise
        return None, str(error)


class _Checks:
    """What was looked at and what came of it."""

    def __init__(self, store: TrustStore | None, why: str) -> None:
        self._store = store
        self._why = why
        self.results: list[dict[str, str]] = []
        self.facts: dict[str, Any] = {}

    def look(self, note: notes.Note, body: bytes) -> None:
        """Say what the note says and check what can be checked."""
        if self._store is not None and note.origin != self._store.origin:
            self._add("exchange", "not checked", f"the profile is of {self._store.origin}")
            self._store, self._why = None, "it belongs to another exchange than the profile"
        if note.kind == message.KIND:
            self._message(note, body)
        elif note.kind == evidence.RECEIPT:
            self._receipt(note)
        elif note.kind == evidence.EVIDENCE:
            self._evidence(note)
        else:
            self._other(note)

    def _message(self, note: notes.Note, body: bytes) -> None:
        try:
            header = message.read_note(note, note.origin)
        except message.MessageError as error:
            self._add("form", "false", str(error))
            return
        self._add("form", "verified", "the one form of a message")
        self.facts = json.loads(note.json)
        if body:
            self._try("body", lambda: message.check_body(header, body), "the body that the note names, sealed for `to`")
        else:
            self._add("body", "not checked", "the file holds the note alone")
        store = self._store
        if store is None:
            self._add("signature", "not checked", self._why)
            return
        version, digest = header.directory
        book = store.version(version) if store.directory_version else None
        if book is None:
            self._add("directory", "not checked", f"version {version} is not held")
        elif book.digest != digest:
            self._add("directory", "false", f"version {version} that is held has another digest")
        else:
            self._add("directory", "verified", f"version {version}")
            self._try("signature", lambda: message.check_signature(note, header, book), f"by {header.sender}")
            newest = store.phonebook
            self._try(
                "newest directory",
                lambda: message.check_signature(note, header, newest),
                f"the key holds under version {newest.version}",
            )

    def _receipt(self, note: notes.Note) -> None:
        try:
            _, receipt = evidence.parse_receipt(note.raw, note.origin)
        except evidence.EvidenceError as error:
            self._add("form", "false", str(error))
            return
        self._add("form", "verified", "the one form of a receipt")
        self.facts = json.loads(note.json)
        point = (
            self._store.phonebook.point(receipt.recipient) if self._store and self._store.directory_version else None
        )
        if point is None:
            self._add(
                "signature", "not checked", self._why or f"{receipt.recipient} is not in the directory that is held"
            )
            return
        name = f"{note.origin}/{receipt.recipient}"
        keys = [bytes.fromhex(key.key) for key in point.sign if message.key_holds(key, receipt.time)]
        verifiers = [notes.Verifier(name, key) for key in keys]
        self._try("signature", lambda: notes.verify_one(note, verifiers), f"by {receipt.recipient}")

    def _evidence(self, note: notes.Note) -> None:
        try:
            evidence.parse_event_text(note.text, note.origin)
        except evidence.EvidenceError as error:
            self._add("form", "false", str(error))
            return
        self._add("form", "verified", "the one form of an event")
        self.facts = json.loads(note.json)
        if self._store is None or not self._store.root_version:
            self._add("signature", "not checked", self._why or "no root is held")
            return
        verifiers = self._store.roots.evidence_verifiers()
        self._try("signature", lambda: notes.verify_one(note, verifiers), "by an evidence key of the broker")

    def _other(self, note: notes.Note) -> None:
        try:
            self.facts = {"says": msgspec.json.decode(note.json)}
        except msgspec.DecodeError as error:
            self._add("form", "false", str(error))
        signers = ", ".join(signature.name for signature in note.signatures)
        self._add("signature", "not checked", f"it names {signers}; `valija-registry show` verifies officers' notes")

    def _try(self, check: str, work: Callable[[], object], good: str) -> None:
        try:
            work()
        except ValueError as error:
            self._add(check, "false", str(error))
        else:
            self._add(check, "verified", good)

    def _add(self, check: str, result: Result, detail: str) -> None:
        self.results.append({"check": check, "result": result, "detail": detail})
