"""The case index: what a list of cases needs, kept in one file that can be made again at any time.

It is caught up from outbox and inbox, by the numbers of their rows, each time it is asked: normal work is the
recovery, and whoever deletes the file finds it made again. What is said about content (reference, title, questions,
handling) lies sealed under a key of the file's own, which is itself an age file for our seal key; who wrote to whom,
when, and when an answer is due lie in clear, since lists are sorted by them.

The promise: what the index says is what outbox and inbox hold when it is asked. Several processes may share the file.

Before this room: `client`, `cli`. After it: `sources`, `place`, `course`, `database`.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from valija.cases.course import CLOSED, Said, course
from valija.cases.entries import Case, Entry, Head
from valija.cases.layout import CONSENT_TYPES, LAYOUT, SCHEMA
from valija.cases.place import Link, place
from valija.cases.sources import Row, Source, Sources, UnreadableError, open_row
from valija.cases.summary import Summary, summarise
from valija.cases.vault import OwnRecipient, Vault
from valija.clock import day_of
from valija.database import open_database, transaction
from valija.errors import KeyMissingError, StateError, UnknownMessageError
from valija.keys import Keys
from valija_schemas.message import Message, read

batch_rows: Final = 500  #: Read and opened in one transaction: some tenths of a second.
limit_default: Final = 50  #: Cases in a list.
_SOURCES: Final[tuple[Source, ...]] = ("sent", "received")
_pack: Final = msgspec.msgpack.Encoder()
_summary: Final = msgspec.msgpack.Decoder(Summary)

_head: Final = msgspec.msgpack.Decoder(Head)


class CaseIndex:
    """The index of one state folder. One thread at a time."""

    def __init__(self, folder: Path, origin: str, keys: Keys, own: OwnRecipient) -> None:
        self.sources: Final = Sources(folder)
        self._db = open_database(folder / "cases.sqlite", SCHEMA, LAYOUT)
        self._origin: Final = origin
        self._keys: Final = keys
        self.own: Final = own
        self._vault: Final = Vault(self._db, keys, own)

    def close(self) -> None:
        """Let go of the files."""
        self.sources.close()
        self._db.close()

    # Asking

    def cases(
        self, now_ms: int, *, overdue: bool = False, every: bool = False, exercise: bool = False, limit: int
    ) -> list[Case]:
        """Cases that are open, newest first; with `every` also the others; with `overdue` the most overdue first."""
        self.catch_up()
        where, order = ("", "last DESC") if every else (" AND NOT closed", "last DESC")
        if overdue:
            where, order = f" AND due < {now_ms:d}", "due"
        with self._reading():
            rows = self._db.execute(
                f"SELECT * FROM valija_cases WHERE exercise = ?{where} ORDER BY {order} LIMIT ?",  # noqa: S608
                (exercise, limit),
            )
            return [self._case(row, now_ms) for row in rows]

    def counted(self, *, exercise: bool) -> int:
        """How many cases, or exercises, there are."""
        found = self._db.execute("SELECT count(*) FROM valija_cases WHERE exercise = ?", (exercise,)).fetchone()
        return int(found[0])

    def case(self, id_or_digest: str, now_ms: int) -> tuple[Case, list[Entry]]:
        """A case, by its thread or by the digest of one of its messages, and its messages in order.

        Raises:
            UnknownMessageError: there is none.
        """
        self.catch_up()
        with self._reading():
            row = self._db.execute(
                "SELECT * FROM valija_cases WHERE case_id = :it OR case_id ="
                " (SELECT case_id FROM valija_messages WHERE digest = :it) LIMIT 1",
                {"it": id_or_digest},
            ).fetchone()
            if row is None:
                raise UnknownMessageError(f"no case {id_or_digest!r} is here", hint="See `valija case list --all`.")
            return self._case(row, now_ms), self._entries(row["case_id"])

    def entry(self, digest: str) -> Entry:
        """A message, as the index knows it.

        Raises:
            UnknownMessageError: it was neither received nor sent here.
        """
        self.catch_up()
        found = self._found("digest = ? ORDER BY source DESC LIMIT 1", digest)
        if not found:
            raise UnknownMessageError(f"no message {digest[:16]} was received or sent here")
        return found[0]

    def of_type(self, type_: str) -> list[Entry]:
        """Every message of a type of consent, oldest first; others are not looked up by type."""
        self.catch_up()
        return self._found(f"type = ? AND {CONSENT_TYPES} ORDER BY known", type_)

    def newest_sent(self) -> Entry | None:
        """The newest message of ours that opens here."""
        self.catch_up()
        found = self._found("source = ? AND summary IS NOT NULL ORDER BY number DESC LIMIT 1", "sent")
        return found[0] if found else None

    def _found(self, where: str, value: str) -> list[Entry]:
        with self._reading():
            rows = self._db.execute(f"SELECT * FROM valija_messages WHERE {where}", (value,))  # noqa: S608 - constants
            return [self._entry(row) for row in rows]

    def unread(self) -> int:
        """How many messages were sent or received since the index was last asked."""
        at = self._at()
        return sum(max(0, self.sources.last(source) - at[source]) for source in _SOURCES)

    def unreadable(self) -> int:
        """How many messages wait for a seal key that is not in the keyring."""
        return int(self._db.execute("SELECT count(*) FROM valija_messages WHERE wanted IS NOT NULL").fetchone()[0])

    # Catching up

    def catch_up(self) -> None:
        """Read what outbox and inbox have that the index has not, or has otherwise.

        Raises:
            StateError: a file cannot be read or written.
        """
        while self._behind():
            # A crash before the commit leaves the index where it was: the same rows are read again.
            with self._reading():
                self._check()
                touched = self._take_rows() | self._look_again() | self._take_receipts()
                for thread in sorted(touched):
                    self._arrange(thread)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One transaction, in which the key of the file is that of its rows: another process may make it anew."""
        with transaction(self._db):
            self._vault.forget()
            yield

    def _behind(self) -> bool:
        try:
            at, seen = self._at(), [self.sources.last(source) for source in _SOURCES]
            behind = [at[source] for source in _SOURCES] != seen or at["event"] != self.sources.last_event()
            return behind or bool(self._changed()) or bool(self._openable())
        except sqlite3.Error as error:
            raise StateError(f"the state folder cannot be read: {error}") from None

    def _check(self) -> None:
        """Begin anew where outbox or inbox are others than those that were read, or the key of the file is lost."""
        at = self._at()
        for source in _SOURCES:
            found = self.sources.states(source, [at[source]]).get(at[source])
            here = self._db.execute(
                "SELECT digest, state FROM valija_messages WHERE source = ? AND number = ?", (source, at[source])
            ).fetchone()
            other = here is not None and (
                found is None or (found[0] != here["digest"] and here["state"] not in {"pending", "refused"})
            )
            if other or at[source] > self.sources.last(source) or at["event"] > self.sources.last_event():
                self._clear()
                return
        if any(at.values()) and self._vault.key is None:
            self._clear()

    def _clear(self) -> None:
        for table in ("valija_messages", "valija_cases", "valija_meta"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
        self._vault.forget()

    def _at(self) -> dict[str, int]:
        rows = self._db.execute("SELECT name, value FROM valija_meta WHERE name IN ('sent', 'received', 'event')")
        return {"sent": 0, "received": 0, "event": 0} | {row[0]: int(row[1]) for row in rows}

    def _move(self, name: str, number: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO valija_meta VALUES (?, ?)", (name, str(number).encode()))

    def _take_rows(self) -> set[str]:
        touched, at = set(), self._at()
        for source in _SOURCES:
            last = at[source]
            for row in self.sources.after(source, last, batch_rows):
                touched |= self._take(row)
                last = row.number
            self._move(source, last)
        return touched

    def _look_again(self) -> set[str]:
        """Read the rows again that were not final, or that a key opens which was missing."""
        numbers = self._changed() + self._openable()
        touched = set()
        for source in _SOURCES:
            wanted = [number for of, number in numbers if of == source][:batch_rows]
            found = 0
            for row in self.sources.at(source, wanted):
                touched |= self._take(row)
                found += 1
            if found < len(wanted):  # rows are never removed: these are other files
                self._clear()
                return set()
        return touched

    def _take_receipts(self) -> set[str]:
        last = self.sources.last_event()
        touched = set()
        for digest, time_ms in self.sources.receipts_after(self._at()["event"]):
            rows = self._db.execute(
                "UPDATE valija_messages SET receipt = ? WHERE digest = ? AND source = 'sent' AND receipt IS NULL"
                " RETURNING thread",
                (time_ms, digest),
            ).fetchall()
            touched |= {row["thread"] for row in rows}
        # A receipt may come before the row of its message was read: that asks for it itself, in `_take`.
        self._move("event", last)
        return touched

    def _changed(self) -> list[tuple[Source, int]]:
        """Rows that were not final when they were read, and are others now."""
        found: list[tuple[Source, int]] = []
        for source in _SOURCES:
            here = self._db.execute(
                "SELECT number, digest, state FROM valija_messages WHERE source = ?"
                " AND state IN ('pending', 'refused', 'stored')",
                (source,),
            ).fetchall()
            for begin in range(0, len(here), batch_rows):
                part = here[begin : begin + batch_rows]
                now = self.sources.states(source, [row["number"] for row in part])
                found += [(source, row["number"]) for row in part if now.get(row["number"]) != (row[1], row[2])]
        return found

    def _openable(self) -> list[tuple[Source, int]]:
        """Rows that wait for a seal key which is in the keyring by now."""
        found: list[tuple[Source, int]] = []
        for row in self._db.execute("SELECT DISTINCT wanted FROM valija_messages WHERE wanted IS NOT NULL").fetchall():
            try:
                self._keys.seal_identity(row["wanted"])
            except KeyMissingError:
                continue
            rows = self._db.execute("SELECT source, number FROM valija_messages WHERE wanted = ?", (row["wanted"],))
            found += [(each["source"], each["number"]) for each in rows]
        return found

    def _take(self, row: Row) -> set[str]:
        """Keep what the index knows of a message; the threads that are to be arranged anew."""
        before = self._db.execute(
            "DELETE FROM valija_messages WHERE source = ? AND number = ? RETURNING thread", (row.source, row.number)
        ).fetchall()
        message = read(row.raw, self._origin)
        header, summary, wanted = message.header, None, None
        try:
            summary = self._vault.seal(_pack.encode(self._summarise(row, message)), row.digest)
        except UnreadableError as error:
            wanted = error.key_id
        receipt = self.sources.receipt_of(row.digest) if row.source == "sent" else None
        self._db.execute(
            "INSERT INTO valija_messages (source, number, digest, id, thread, sender, recipients, type, sent, known,"
            " receipt, in_reply_to, priority, exercise, state, wanted, summary, case_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
            (
                row.source,
                row.number,
                row.digest,
                header.id,
                header.thread,
                header.sender,
                json.dumps(list(header.to)),
                header.type,
                header.sent,
                row.known,
                receipt,
                header.in_reply_to,
                header.priority,
                header.exercise,
                row.state,
                wanted,
                summary,
            ),
        )
        return {header.thread, *(each["thread"] for each in before)}

    def _summarise(self, row: Row, message: Message) -> Summary:
        # A list that is caught up does not wait for the forms.
        from valija_schemas import documents  # noqa: PLC0415
        from valija_schemas.documents import bilateral  # noqa: PLC0415

        _, document = open_row(row, message, self._keys)
        try:
            return summarise(message.header.type, bilateral.read(message.header.type, document))
        except (documents.DocumentError, documents.UnknownType) as error:
            raise UnreadableError(str(error)) from None

    def _arrange(self, thread: str) -> None:
        """Give every message of a thread its place, and say anew where its cases stand."""
        rows = self._db.execute("SELECT * FROM valija_messages WHERE thread = ?", (thread,)).fetchall()
        links = [_link(row) for row in rows]
        named = {link.in_reply_to for link in links} - {link.digest for link in links}
        elsewhere = {digest for digest in named if digest is not None and self._is_here(digest)}
        places = place(links, self._keys.id, elsewhere)
        self._db.executemany(
            "UPDATE valija_messages SET case_id = ?, apart = ? WHERE digest = ?",
            [(found.case, found.apart, digest) for digest, found in places.items()],
        )
        self._db.execute("DELETE FROM valija_cases WHERE thread = ?", (thread,))
        for case_id in sorted({found.case for found in places.values()}):
            self._conclude(case_id, thread)

    def _conclude(self, case_id: str, thread: str) -> None:
        entries = self._entries(case_id)
        found = course([entry.said for entry in entries if entry.counts], self._keys.id)
        summaries = [entry.said.summary for entry in entries]
        named = next((summary for summary in summaries if summary.reference or summary.title), Summary())
        head = Head(
            reference=named.reference,
            title=named.title,
            use=tuple(sorted({code for summary in summaries for code in summary.use})),
            retain_until=min((each.retain_until for each in summaries if each.retain_until), default=None),
        )
        rows = self._db.execute(
            "SELECT sender, recipients, type, exercise, apart, known FROM valija_messages WHERE case_id = ?"
            " ORDER BY known, number",
            (case_id,),
        ).fetchall()
        others = {row["sender"] for row in rows} | {id_ for row in rows for id_ in json.loads(row["recipients"])}
        self._db.execute(
            "INSERT INTO valija_cases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                case_id,
                thread,
                rows[0]["apart"],
                rows[0]["exercise"],
                json.dumps(sorted(others - {self._keys.id}) or [self._keys.id]),
                len(entries),
                rows[-1]["known"],
                rows[-1]["type"],
                found.state,
                found.state in CLOSED,
                found.due,
                self._vault.seal(_pack.encode(head), case_id),
            ),
        )

    # Rows into words

    def _is_here(self, digest: str) -> bool:
        found = self._db.execute("SELECT 1 FROM valija_messages WHERE digest = ? LIMIT 1", (digest,)).fetchone()
        return found is not None

    def _entries(self, case_id: str) -> list[Entry]:
        rows = self._db.execute("SELECT * FROM valija_messages WHERE case_id = ? ORDER BY known, number", (case_id,))
        found: dict[str, Entry] = {}
        for row in rows:
            found.setdefault(row["digest"], self._entry(row))  # what we sent to ourselves stands there twice
        return list(found.values())

    def _entry(self, row: sqlite3.Row) -> Entry:
        summary = self._vault.open(row["summary"], row["digest"])
        said = Said(
            digest=row["digest"],
            sender=row["sender"],
            to=tuple(json.loads(row["recipients"])),
            type=row["type"],
            priority=row["priority"],
            in_reply_to=row["in_reply_to"],
            received=row["known"] if row["source"] == "received" else row["receipt"] or row["sent"],
            summary=Summary() if summary is None else _summary.decode(summary),
        )
        return Entry(
            digest=row["digest"],
            source=row["source"],
            number=row["number"],
            state=row["state"],
            apart=row["apart"],
            said=said,
        )

    def _case(self, row: sqlite3.Row, now_ms: int) -> Case:
        sealed = self._vault.open(row["head"], row["case_id"])
        head = Head() if sealed is None else _head.decode(sealed)
        return Case(
            id=row["case_id"],
            thread=row["thread"],
            apart=row["apart"],
            exercise=bool(row["exercise"]),
            others=tuple(json.loads(row["others"])),
            messages=row["messages"],
            last=row["last"],
            last_type=row["last_type"],
            state=row["state"],
            due=row["due"],
            overdue=row["due"] is not None and row["due"] < now_ms,
            reference=head.reference,
            title=head.title,
            use=head.use,
            retain_until=head.retain_until,
            expired=head.retain_until is not None and head.retain_until < day_of(now_ms),
        )


def _link(row: sqlite3.Row) -> Link:
    return Link(
        digest=row["digest"],
        id=row["id"],
        thread=row["thread"],
        sender=row["sender"],
        to=tuple(json.loads(row["recipients"])),
        in_reply_to=row["in_reply_to"],
        exercise=bool(row["exercise"]),
        known=row["known"],
    )
