"""How the outbox lies in its file: the tables, and the steps that bring a file of an older program up to them.

The promise: a file of any layout that ever was opens, and loses nothing.

Before this room: `outbox`. After it: `database`, which runs the steps in one transaction.
"""

from typing import Final

LAYOUT: Final = 5
_LOG_SCHEMA: Final = """CREATE TABLE valija_checkpoint (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  raw BLOB NOT NULL               -- the largest that was verified
);
CREATE TABLE valija_references (  -- what others signed that they saw of the log, until it is connected with ours
  size INTEGER NOT NULL,
  root TEXT NOT NULL,
  who TEXT NOT NULL,
  about TEXT NOT NULL,
  time INTEGER NOT NULL,
  PRIMARY KEY (size, root, who)
)"""
_HANDED_SCHEMA: Final = """CREATE TABLE valija_handed_in (  -- receipts that the broker took, until its log shows them
  message TEXT PRIMARY KEY,
  time INTEGER NOT NULL
)"""
_INDEXES: Final = """CREATE INDEX valija_unlogged ON valija_messages (number) WHERE state = 'accepted' AND NOT logged;
CREATE INDEX valija_events_incomplete ON valija_events (number) WHERE proof IS NOT NULL AND NOT complete"""
_LOGGED: Final = """UPDATE valija_messages SET logged = 1 WHERE digest IN
  (SELECT message FROM valija_events WHERE event = 'SubmissionAcceptance');
"""
_THREADS: Final = "CREATE INDEX valija_thread ON valija_messages (thread)"
#: Each leads from one layout to the next, the first from 1. What stands here has run on disks and does not change.
UPGRADES: Final = (
    "ALTER TABLE valija_events ADD COLUMN leaf INTEGER;\nALTER TABLE valija_events ADD COLUMN proof BLOB;\n"
    + _LOG_SCHEMA,
    "ALTER TABLE valija_events ADD COLUMN complete INTEGER NOT NULL DEFAULT 0;\n"
    "ALTER TABLE valija_alarms ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;\n" + _HANDED_SCHEMA,
    "ALTER TABLE valija_messages ADD COLUMN file_key BLOB;\n"
    "ALTER TABLE valija_messages ADD COLUMN file_key_id TEXT;\n"
    "ALTER TABLE valija_messages ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;\n" + _LOGGED + _INDEXES,
    _THREADS,
)
_TABLES: Final = """CREATE TABLE valija_messages (
  number INTEGER PRIMARY KEY,
  key TEXT UNIQUE,                -- the caller's; null for a message that no rerun repeats
  fingerprint TEXT NOT NULL,      -- of what was asked to be sent, so that the same key with another document shows
  id TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  recipients TEXT NOT NULL,       -- JSON list
  thread TEXT NOT NULL,
  in_reply_to TEXT,
  sent INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  lifetime INTEGER NOT NULL,      -- from `sent` to `expires`
  priority TEXT NOT NULL,
  exercise INTEGER NOT NULL,
  raw BLOB NOT NULL,              -- as transmitted: sealed for the recipients, not for us
  draft BLOB,                     -- of older programs: the document sealed for us, bound to no recipient; not read
  state TEXT NOT NULL,
  problem BLOB,                   -- the broker's refusal, in JSON
  acceptance BLOB,                -- the SubmissionAcceptance note
  replaced TEXT NOT NULL,         -- JSON list: digests under which it was sealed before and never accepted
  file_key BLOB,                  -- the key of the body, sealed for us: for sealing again, or disclosing this one
  file_key_id TEXT,               -- our seal key that opens that
  logged INTEGER NOT NULL DEFAULT 0  -- whether its acceptance has come in the feed
);
CREATE INDEX valija_pending ON valija_messages (state) WHERE state = 'pending';
CREATE TABLE valija_events (
  -- `leaf` is its place in the log, null where it is not proved to be there; `proof` of that, a file that needs no
  -- network to be checked; `complete`, whether its checkpoint has the witnesses that the root asks for
  number INTEGER PRIMARY KEY,     -- in our feed
  message TEXT NOT NULL,
  event TEXT NOT NULL,
  who TEXT NOT NULL,              -- JSON list of the recipients that it speaks of
  time INTEGER NOT NULL,
  reason TEXT,
  note BLOB NOT NULL,
  salt BLOB NOT NULL,
  verdict TEXT NOT NULL,
  detail TEXT,
  leaf INTEGER,
  proof BLOB,
  complete INTEGER NOT NULL
);
CREATE INDEX valija_events_message ON valija_events (message);
CREATE TABLE valija_replies (
  reply TEXT PRIMARY KEY,
  message TEXT NOT NULL,
  sender TEXT NOT NULL,
  time INTEGER NOT NULL
);
CREATE INDEX valija_replies_message ON valija_replies (message);
CREATE TABLE valija_alarms (
  number INTEGER PRIMARY KEY,
  message TEXT,
  time INTEGER NOT NULL,
  text TEXT NOT NULL,
  note BLOB,
  seen INTEGER NOT NULL DEFAULT 0 -- whether a person has said so
)"""
SCHEMA: Final = f"{_TABLES};\n{_LOG_SCHEMA};\n{_HANDED_SCHEMA};\n{_INDEXES};\n{_THREADS}"
