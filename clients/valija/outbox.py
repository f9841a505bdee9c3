"""The outbox: what was sealed here, and what became of it.

A message is sealed and signed once and stored before it is first sent, so that a repeat sends the same bytes and the
broker knows them again. A row is `pending` until the broker's acceptance is stored, or `refused` with the broker's
word why. The same file keeps the feed of events, the view of the log and the alarms, each by a room of its own.

The promise: a key names one message for ever; what a row says happened is backed by the note stored beside it.

Before this room: `sending` seals and submits. After it: `feed_store`, `log_store`, `alarms`, `database`. Rules: SPEC.md
section 1, "Digest" and "Times".
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from valija.alarms import Alarms
from valija.database import open_database, transaction
from valija.errors import KeyConflictError
from valija.feed_store import FeedStore
from valija.log_store import LogStore
from valija.outbox_layout import LAYOUT, SCHEMA, UPGRADES
from valija_schemas.message import Priority

SentState = Literal["pending", "accepted", "refused"]

_SENT_COLUMNS: Final = (
    "number, key, id, digest, type, recipients, thread, in_reply_to, sent, expires, priority, exercise, state, "
    "problem, acceptance, replaced"
)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message of ours, as the outbox knows it. Nothing here is content."""

    key: str | None
    id: str
    digest: str
    type: str
    to: tuple[str, ...]
    thread: str
    in_reply_to: str | None
    sent: int
    expires: int
    priority: str
    exercise: bool
    state: SentState
    problem: bytes | None
    acceptance: bytes | None
    replaced: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Sent(id={self.id!r}, type={self.type!r}, to={list(self.to)!r}, state={self.state!r})"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is sealed, signed, and about to be stored for the first time or again."""

    key: str | None
    fingerprint: str
    id: str
    digest: str
    type: str
    to: tuple[str, ...]
    thread: str
    in_reply_to: str | None
    sent: int
    expires: int
    priority: Priority
    exercise: bool
    raw: bytes
    file_key: bytes  #: The key of the body in an age file, sealed for us.
    file_key_id: str  #: Our seal key that opens it.

    def __repr__(self) -> str:
        return f"Draft(id={self.id!r})"


class Outbox:
    """The outbox of one state folder. Several processes may share the file; one thread uses one Outbox."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, SCHEMA, LAYOUT, UPGRADES)
        self.feed: Final = FeedStore(self._db)
        self.log: Final = LogStore(self._db)
        self.alarms: Final = Alarms(self._db)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process writes to this outbox meanwhile: for a short step on another file of its folder."""
        with transaction(self._db):
            yield

    def put_all(self, drafts: Sequence[Draft]) -> list[Sent | KeyConflictError]:
        """Store `drafts` in one step, before they are first sent.

        For one whose key is taken, returns the message that took it, or the error to raise if that is another message.
        """
        # A crash before the commit leaves nothing, and nothing was sent. After it, the next start sends these rows.
        with transaction(self._db):
            return [self._put(draft) for draft in drafts]

    def _put(self, draft: Draft) -> Sent | KeyConflictError:
        if draft.key is not None:
            try:
                earlier = self.by_key(draft.key, draft.fingerprint)
            except KeyConflictError as error:
                return error
            if earlier is not None:
                return earlier
        self._db.execute(
            "INSERT INTO valija_messages (key, fingerprint, id, digest, type, recipients, thread, in_reply_to,"
            " sent, expires, lifetime, priority, exercise, raw, file_key, file_key_id, state, replaced)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '[]')",
            (
                draft.key,
                draft.fingerprint,
                draft.id,
                draft.digest,
                draft.type,
                json.dumps(draft.to),
                draft.thread,
                draft.in_reply_to,
                draft.sent,
                draft.expires,
                draft.expires - draft.sent,
                draft.priority,
                draft.exercise,
                draft.raw,
                draft.file_key,
                draft.file_key_id,
            ),
        )
        return self.get(draft.digest)

    def by_key(self, key: str, fingerprint: str | None = None) -> Sent | None:
        """The message that `key` names, if there is one.

        Raises:
            KeyConflictError: `fingerprint` is given and it is another message's.
        """
        row = self._db.execute(
            f"SELECT fingerprint, {_SENT_COLUMNS} FROM valija_messages WHERE key = ?",  # noqa: S608 - a constant
            (key,),
        ).fetchone()
        if row is None:
            return None
        if fingerprint is not None and row["fingerprint"] != fingerprint:
            raise KeyConflictError(f"the key {key!r} was used for the message {row['id']}, which is another one")
        return _sent(row)

    def get(self, digest: str) -> Sent:
        """The message with this digest, which is here.

        Raises:
            KeyError: it is not.
        """
        found = self.find(digest)
        if found is None:
            raise KeyError(digest)
        return found

    def find(self, id_or_digest: str) -> Sent | None:
        """The message with this id or digest; a digest from before it was sealed again counts too."""
        select = f"SELECT {_SENT_COLUMNS} FROM valija_messages"  # noqa: S608 - a constant
        row = self._db.execute(f"{select} WHERE digest = :it OR id = :it", {"it": id_or_digest}).fetchone()
        if row is None:  # only now: it reads every message that was ever sent
            row = self._db.execute(
                f"{select} WHERE EXISTS (SELECT 1 FROM json_each(replaced) WHERE value = ?)",  # noqa: S608
                (id_or_digest,),
            ).fetchone()
        return None if row is None else _sent(row)

    def pending(self) -> list[str]:
        """Digests of what the broker has not answered for, oldest first."""
        rows = self._db.execute("SELECT digest FROM valija_messages WHERE state = 'pending' ORDER BY number")
        return [row["digest"] for row in rows]

    def raw(self, digest: str) -> bytes:
        """A message as it is transmitted."""
        return bytes(self._one("SELECT raw FROM valija_messages WHERE digest = ?", digest)["raw"])

    def file_key(self, digest: str) -> tuple[bytes, str] | None:
        """The key of a message's body, sealed for us, and the id of our seal key that opens it.

        None for a message of an older program, which did not keep it.
        """
        row = self._one("SELECT file_key, file_key_id FROM valija_messages WHERE digest = ?", digest)
        return None if row["file_key"] is None else (row["file_key"], row["file_key_id"])

    def accept(self, digest: str, acceptance: bytes) -> Sent:
        """Keep the broker's acceptance."""
        return self.accept_all([(digest, acceptance)])[0]

    def accept_all(self, acceptances: Sequence[tuple[str, bytes]]) -> list[Sent]:
        """`accept` for several messages, in one step."""
        with transaction(self._db):
            # A crash before the commit leaves the rows pending: they are sent again and get the same acceptances.
            self._db.executemany(
                "UPDATE valija_messages SET state = 'accepted', acceptance = ?, draft = NULL, problem = NULL"
                " WHERE digest = ? AND state != 'accepted'",
                [(acceptance, digest) for digest, acceptance in acceptances],
            )
        return [self.get(digest) for digest, _ in acceptances]

    def refuse(self, digest: str, problem: bytes) -> Sent:
        """Keep the broker's refusal."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE valija_messages SET state = 'refused', problem = ? WHERE digest = ? AND state != 'accepted'",
                (problem, digest),
            )
        return self.get(digest)

    def seal_again(self, digest: str, draft: Draft) -> Sent:
        """Put `draft` in the place of the message `digest`, which the broker said it does not hold."""
        with transaction(self._db):
            row = self._one("SELECT replaced FROM valija_messages WHERE digest = ?", digest)
            # A crash before the commit leaves the old bytes, which the broker refuses again: the same step follows.
            self._db.execute(
                "UPDATE valija_messages SET id = ?, digest = ?, thread = ?, sent = ?, expires = ?, raw = ?,"
                " file_key = ?, file_key_id = ?, state = 'pending', problem = NULL, replaced = ?, logged = 0"
                " WHERE digest = ? AND state != 'accepted'",
                (
                    draft.id,
                    draft.digest,
                    draft.thread,
                    draft.sent,
                    draft.expires,
                    draft.raw,
                    draft.file_key,
                    draft.file_key_id,
                    json.dumps([*json.loads(row["replaced"]), digest]),
                    digest,
                ),
            )
        return self.get(draft.digest)

    def recent(self, limit: int) -> list[Sent]:
        """The newest messages, newest first."""
        rows = self._db.execute(
            f"SELECT {_SENT_COLUMNS} FROM valija_messages ORDER BY number DESC LIMIT ?",  # noqa: S608 - a constant
            (limit,),
        )
        return [_sent(row) for row in rows]

    def unlogged(self) -> list[Sent]:
        """Accepted messages whose acceptance has not come in the feed."""
        # The few that the index names are looked up: a process of the layout before may have stored the event.
        rows = self._db.execute(
            f"SELECT {_SENT_COLUMNS} FROM valija_messages WHERE state = 'accepted' AND NOT logged"  # noqa: S608
            " AND NOT EXISTS (SELECT 1 FROM valija_events e"
            " WHERE e.message = digest AND e.event = 'SubmissionAcceptance') ORDER BY number"
        )
        return [_sent(row) for row in rows]

    def add_reply(self, message: str, reply: str, sender: str, time_ms: int) -> None:
        """Note that `reply`, received and verified, answers `message`."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR IGNORE INTO valija_replies VALUES (?, ?, ?, ?)", (reply, message, sender, time_ms)
            )

    def replies(self, message: str) -> list[tuple[str, str, int]]:
        """Digest, sender and time of each reply."""
        rows = self._db.execute(
            "SELECT reply, sender, time FROM valija_replies WHERE message = ? ORDER BY time, reply", (message,)
        )
        return [(row["reply"], row["sender"], row["time"]) for row in rows]

    def answers(self, message: str) -> list[Sent]:
        """What we sent in reply to the message with this digest, oldest first."""
        rows = self._db.execute(
            f"SELECT {_SENT_COLUMNS} FROM valija_messages WHERE in_reply_to = ? ORDER BY number",  # noqa: S608
            (message,),
        )
        return [_sent(row) for row in rows]

    def _one(self, statement: str, digest: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._db.execute(statement, (digest,)).fetchone()
        if row is None:
            raise KeyError(digest)
        return row


def _sent(row: sqlite3.Row) -> Sent:
    values: dict[str, Any] = {name: row[name] for name in Sent.__struct_fields__ if name != "to"}
    values["to"] = tuple(json.loads(row["recipients"]))
    values["exercise"] = bool(row["exercise"])
    values["replaced"] = tuple(json.loads(row["replaced"]))
    return Sent(**values)
