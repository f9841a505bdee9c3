"""How the case index lies in its file. It is made from outbox and inbox: a new layout begins anew, and loses nothing.

Before this room: `index`. After it: `database`.
"""

from typing import Final

LAYOUT: Final = 1
#: Looked up by type, each time that something is to be passed on.
CONSENT_TYPES: Final = "type IN ('dissemination-consent-request/1', 'dissemination-consent-reply/1')"
SCHEMA: Final = f"""CREATE TABLE valija_meta (
  name TEXT PRIMARY KEY,          -- how far outbox, inbox and feed were read; `key`, an age file, and who opens it
  value BLOB NOT NULL
);
CREATE TABLE valija_messages (
  source TEXT NOT NULL,           -- sent, received
  number INTEGER NOT NULL,        -- of the row in outbox or inbox
  digest TEXT NOT NULL,
  id TEXT NOT NULL,
  thread TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipients TEXT NOT NULL,       -- JSON list
  type TEXT NOT NULL,
  sent INTEGER NOT NULL,
  known INTEGER NOT NULL,         -- when it was sealed or fetched here
  receipt INTEGER,                -- when the first recipient of ours received it
  in_reply_to TEXT,
  priority TEXT NOT NULL,
  exercise INTEGER NOT NULL,
  state TEXT NOT NULL,            -- as outbox or inbox says
  wanted TEXT,                    -- the seal key that would open it and is not in the keyring
  summary BLOB,                   -- what is known of its content, sealed; null if it does not open
  case_id TEXT NOT NULL,          -- the case that it stands in
  apart TEXT,                     -- why that is not its thread
  PRIMARY KEY (source, number)
);
CREATE INDEX valija_messages_digest ON valija_messages (digest);
CREATE INDEX valija_messages_thread ON valija_messages (thread);
CREATE INDEX valija_messages_case ON valija_messages (case_id);
CREATE INDEX valija_messages_wanted ON valija_messages (wanted) WHERE wanted IS NOT NULL;
CREATE INDEX valija_messages_open ON valija_messages (source) WHERE state IN ('pending', 'refused', 'stored');
CREATE INDEX valija_messages_consent ON valija_messages (type) WHERE {CONSENT_TYPES};
CREATE TABLE valija_cases (
  case_id TEXT PRIMARY KEY,
  thread TEXT NOT NULL,
  apart TEXT,
  exercise INTEGER NOT NULL,
  others TEXT NOT NULL,           -- JSON list
  messages INTEGER NOT NULL,
  last INTEGER NOT NULL,
  last_type TEXT NOT NULL,
  state TEXT NOT NULL,
  closed INTEGER NOT NULL,
  due INTEGER,
  head BLOB NOT NULL              -- reference, title and handling, sealed
);
CREATE INDEX valija_cases_thread ON valija_cases (thread);
CREATE INDEX valija_cases_last ON valija_cases (exercise, closed, last);
CREATE INDEX valija_cases_every ON valija_cases (exercise, last);
CREATE INDEX valija_cases_due ON valija_cases (exercise, due) WHERE due IS NOT NULL"""
