"""The list of an agency's cases, over as many messages as some years bring."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.figures import Aim, Run, benchmark
from valija import age, keyring, seal
from valija.inbox_store import InboxStore
from valija.keys import seal_recipient
from valija.outbox import Draft, Outbox
from valija.registry.sample import SampleExchange, sample_exchange
from valija.sending import uuid7
from valija.trust import TrustStore
from valija_schemas import documents, limits, message

EXAMPLES: Final = Path(__file__).parents[2] / "schemas/examples"
ME, OTHER = "mx.enlace", "co.enlace"
_batch: Final = 1_000


@benchmark("cases.list")
async def cases(run: Run) -> None:
    """`valija case list` as a process of its own, over 100,000 stored messages in 50,000 threads.

    Each thread is a request and its answer, half of them sent by us and half received; one answer of ten is partial, so
    that 5,000 cases are open. The keyring opens by a host key. `first` makes the index from nothing; `warm` finds
    nothing new; at the end 100 new messages were stored.
    """
    exchange = sample_exchange()
    began = time.perf_counter()
    state = State(exchange, run.folder)
    state.store(50_000)
    run.say(f"Making the messages took {time.perf_counter() - began:.0f} s and is in no figure.")
    run.add("first, 100,000 messages", "s", state.asked("case", "list"))
    run.add("index on the disk", "MiB", (state.folder / "cases.sqlite").stat().st_size / 2**20)
    warm, overdue, every, version = [], [], [], []
    for _ in range(10):
        warm.append(state.asked("case", "list") * 1000)
        overdue.append(state.asked("case", "list", "--overdue") * 1000)
        every.append(state.asked("case", "list", "--all") * 1000)
        version.append(state.asked("--version") * 1000)
    run.add("warm", "ms", warm, Aim("<=", 200))
    run.add("warm, --overdue", "ms", overdue, Aim("<=", 200))
    run.add("warm, --all", "ms", every, Aim("<=", 200))
    run.add("the same process, --version alone", "ms", version, Aim("<=", 150))
    state.store(50)
    run.add("100 new messages", "ms", state.asked("case", "list") * 1000)


class State:
    """The state folder and the profile of one contact point, filled without a broker."""

    def __init__(self, exchange: SampleExchange, folder: Path) -> None:
        self.exchange, self.folder = exchange, folder / "state"
        self.folder.mkdir()
        host = keyring.make_host_key(folder / "host-key")
        keyring.save(folder / "keyring", exchange.keyrings[ME], host.recipient)
        self.profile = folder / "profile.toml"
        values = {
            "exchange": exchange.origin, "contact_point": ME, "broker": "https://broker.example",
            "root": exchange.root_digest, "keyring": "keyring", "host_key": "host-key", "state": "state",
        }  # fmt: skip
        self.profile.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        trust = TrustStore(self.folder / "trust", exchange.origin, exchange.root_digest)
        trust.add_root(exchange.root_raw)
        trust.add_directory(exchange.directory_raws[0])
        request = json.loads((EXAMPLES / "information-request-1.json").read_text())
        about = {"subjects": request["subjects"][:1], "information": []}
        self.request = json.dumps(request | about), "information-request/1"
        answer = json.loads((EXAMPLES / "response-1.json").read_text()) | {"items_provided": []}
        self.partial = json.dumps(answer), "response/1"
        self.full = json.dumps(answer | {"outcome": "full", "reasons": None, "items_outstanding": []}), "response/1"
        self.made = 0

    def asked(self, *command: str) -> float:
        """How long a command takes as a process, in s."""
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "valija", *command],
            env=os.environ | {"VALIJA_CONFIG": str(self.profile)},
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - began

    def store(self, threads: int) -> None:
        """Add so many requests, each with its answer."""
        outbox, inbox = Outbox(self.folder / "outbox.sqlite"), InboxStore(self.folder / "inbox.sqlite")
        drafts: list[Draft] = []
        fetched: list[tuple[message.Message, bytes, str | None, str]] = []
        for n in range(threads):
            asker, asked = (ME, OTHER) if n % 2 else (OTHER, ME)
            header, digest = self._write(asker, asked, self.request, None, drafts, fetched)
            self._write(asked, asker, self.full if n % 10 else self.partial, (header, digest), drafts, fetched)
            if len(drafts) >= _batch or n == threads - 1:
                outbox.put_all(drafts)
                outbox.accept_all([(draft.digest, b"-") for draft in drafts])
                inbox.put(fetched, self.exchange.now_ms)
                for found, *_ in fetched:
                    inbox._db.execute(
                        "UPDATE valija_messages SET state = 'delivered' WHERE digest = ?", (found.digest,)
                    )
                drafts, fetched = [], []
        outbox.close()
        inbox.close()

    def _write(self, sender: str, to: str, document: tuple[str, str], answered: Any, drafts: Any, fetched: Any) -> Any:
        self.made += 1
        sent = self.exchange.now_ms + self.made
        id_, book = uuid7(sent), self.exchange.phonebook
        point = book.point(to)
        assert point is not None
        assert point.seal_key is not None
        header = message.Header(
            id=id_, sender=sender, to={to: point.seal_key.key_id}, type=document[1],
            thread=answered[0].thread if answered else id_, in_reply_to=answered[1] if answered else None, sent=sent,
            expires=sent + limits.DAY_MS, priority="routine", exercise=False, directory=book.reference,
            log=message.EMPTY_LOG, body=None, body_length=0, attachments=(),
        )  # fmt: skip
        json_ = documents.encode(documents.from_builtins(document[1], msgspec.json.decode(document[0])))
        key, keys = age.FileKey.generate(), self.exchange.keyrings
        raw = seal.write(
            header, json_, [seal_recipient(point.seal_key.public)], self.exchange.origin, keys[sender].sign, key=key
        )
        found = message.read(raw, self.exchange.origin)
        if sender == ME:
            own = keys[ME].seal.recipient
            drafts.append(
                Draft(
                    key=None, fingerprint="", id=id_, digest=found.digest, type=header.type, to=(to,),
                    thread=header.thread, in_reply_to=header.in_reply_to, sent=sent, expires=header.expires,
                    priority="routine", exercise=False, raw=raw, file_key=age.encrypt(key.to_bytes(), [own]),
                    file_key_id=own.key_id,
                )
            )  # fmt: skip
        else:
            fetched.append((found, b"-", None, "token"))
        return header, found.digest
