"""Messages that were tampered with: a byte at a time, in parts exchanged between messages, and by a dishonest sender.

`Judges` asks both who must refuse them: a broker, as far as it can without its store, and a recipient. Nothing here is
random but what is drawn from the `Random` that is handed in.
"""

import dataclasses
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from valija import receive, seal
from valija.registry.sample import SampleExchange, sample_exchange
from valija_schemas import limits, message, wire
from valija_schemas import note as notes
from valija_schemas.age_header import parse_header

DOCUMENT = b'{"text":"sample"}'
POINTS = [(f"p{n}", "MX", "law-enforcement") for n in range(6)]
PRIORITIES = ("flash", "urgent", "routine")


class Corpus:
    """Good messages between a few contact points, each another one."""

    def __init__(self, count: int, dice: random.Random) -> None:
        self.exchange: SampleExchange = sample_exchange(points=POINTS, suspended=())
        self.now_ms = self.exchange.now_ms + 1_000
        self.messages: list[message.Message] = []
        for n in range(count):
            names = [f"p{i}" for i in dice.sample(range(6), 2 + n % 3)]
            self.messages.append(message.read(self._message(n, names[0], sorted(names[1:])), self.exchange.origin))
        self.raws = {found.raw for found in self.messages}

    def signer(self, who: str) -> notes.Signer:
        return self.exchange.keyrings[who].sign

    def signed(self, header: message.Header, body: bytes, signer: notes.Signer | None = None) -> bytes:
        """A message of a sender that signs whatever it likes."""
        full = msgspec.structs.replace(header, body=hashlib.sha256(body).hexdigest(), body_length=len(body))
        return message.compose(full, self.exchange.origin, signer or self.signer(header.sender)) + body

    def _message(self, n: int, sender: str, to: list[str]) -> bytes:
        recipients = [self.exchange.keyrings[name].seal.recipient for name in to]
        id_ = f"00000000-0000-4000-8000-{n:012d}"
        header = message.Header(
            id=id_, sender=sender, to=dict(zip(to, (r.key_id for r in recipients), strict=True)),
            type="information-request/1", thread=id_, in_reply_to=None, sent=self.exchange.now_ms + n % 7,
            expires=self.exchange.now_ms + limits.DAY_MS + n, priority=PRIORITIES[n % 3], exercise=bool(n % 2),
            directory=self.exchange.phonebook.reference, log=message.EMPTY_LOG, body=None, body_length=0,
            attachments=(),
        )  # fmt: skip
        return self.signed(header, seal.seal(header, DOCUMENT, recipients))


@dataclasses.dataclass
class _Memory:
    """A recipient that has received nothing before, and knows one directory."""

    roots: Any
    phonebook: Any

    def version(self, _: int) -> None:
        return None

    def first_fetched(self, _: str) -> None:
        return None

    def settled(self, _: str) -> bool:
        return False

    def digest_of(self, _sender: str, _id: str) -> None:
        return None


class Judges:
    """A broker and a recipient. Each exception of theirs that is not the announced one leaves, and fails the test."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._memory = _Memory(corpus.exchange.roots, corpus.exchange.phonebook)
        self.refused: Counter[str] = Counter()  # by what the broker said
        self.verdicts: Counter[str] = Counter()

    def broker(self, data: bytes) -> str:
        """The code of the broker's refusal, in the order of SPEC.md 3.1, or an empty text."""
        exchange, now = self._corpus.exchange, self._corpus.now_ms
        try:
            found = message.read(data, exchange.origin)
            if found.header.body_length > limits.body_bytes_max:
                raise message.MessageError("too-large", "by its own word")
            message.check_signature(found.note, found.header, exchange.phonebook)
            message.check_times(found.header, now)
            message.check_recipients(found.header, exchange.phonebook, now)
            message.check_body(found.header, found.body)
        except message.MessageError as error:
            self.refused[error.code] += 1
            return error.code
        return ""

    def recipient(self, data: bytes, me: str) -> receive.Verdict:
        exchange = self._corpus.exchange
        found = receive.receive(
            data,
            b"",
            origin=exchange.origin,
            me=me,
            now_ms=self._corpus.now_ms,
            books=self._memory,
            seen=self._memory,
            seal_identity=lambda _: exchange.keyrings[me].seal,
            open_document=lambda _, json, __: msgspec.json.decode(json, type=dict[str, str]),
        )
        self.verdicts[type(found).__name__] += 1
        return found

    def refuse(self, data: bytes, me: str) -> None:
        """Both refuse it, and the recipient without a word that depends on it: it may be anybody's."""
        assert self.broker(data), data
        found = self.recipient(data, me)
        assert isinstance(found, receive.Unverifiable | receive.NeedDirectory), (found, data)

    def not_opened(self, data: bytes, me: str) -> None:
        """The sender did sign it. Whatever the broker can see of it, the recipient hands no document over."""
        self.broker(data)
        found = self.recipient(data, me)
        assert isinstance(found, receive.Rejected), (found, data)
        assert found.reason in {"cannot-open", "not-for-us"}, found


def every_byte(data: bytes, dice: random.Random) -> Iterator[bytes]:
    """`data` with one change at each of its bytes: a bit turned, the byte left out, another byte put before it."""
    for at in range(len(data)):
        turned = bytearray(data)
        turned[at] ^= 1 << dice.randrange(8)
        yield bytes(turned)
        yield data[:at] + data[at + 1 :]
        yield data[:at] + bytes([dice.randrange(256)]) + data[at:]


def exchanged(one: message.Message, other: message.Message, corpus: Corpus) -> Iterator[bytes]:
    """Parts of `other` in `one`: each field, signatures, body, stanzas, and signatures of somebody else."""
    origin = corpus.exchange.origin
    lines = one.note.raw[len(one.note.text) + 1 :], other.note.raw[len(other.note.text) + 1 :]

    def note(header: message.Header) -> bytes:
        return notes.text(message.KIND, origin, wire.encode(header))

    for field in message.Header.__struct_fields__:
        header = msgspec.structs.replace(one.header, **{field: getattr(other.header, field)})
        for signature in lines:
            yield note(header) + b"\n" + signature + one.body
            yield note(header) + b"\n" + signature + other.body
    for signature in (lines[1], lines[0] + lines[1], lines[1] + lines[0], lines[0] * 2):
        yield one.note.text + b"\n" + signature + one.body
    yield one.note.raw + other.body
    for body in stanzas_exchanged(one.body, other.body):
        yield one.note.raw + body
    # Somebody else signs what was not theirs, under their own name and under the sender's.
    thief = corpus.exchange.keyrings[other.header.sender].sign
    yield notes.sign(one.note.text, [thief]) + one.body
    yield notes.sign(one.note.text, [notes.Ed25519Signer(f"{origin}/{one.header.sender}", thief._key)]) + one.body


def stanzas_exchanged(one: bytes, other: bytes) -> Iterator[bytes]:
    """The age file `one` with stanzas, MAC or payload of `other`, and with its own stanzas in other places."""
    heads = parse_header(one), parse_header(other)
    mine, theirs = _stanzas(one), _stanzas(other)
    mac = one[: heads[0].length].rpartition(b"--- ")[2], other[: heads[1].length].rpartition(b"--- ")[2]
    payloads = one[heads[0].length :], other[heads[1].length :]
    first = notes.BODY_BEGINS

    def file(stanzas: list[bytes], mac_line: bytes, payload: bytes) -> bytes:
        return first + b"".join(stanzas) + b"--- " + mac_line + payload

    for at in range(len(mine)):
        for stanza in theirs:
            yield file([*mine[:at], stanza, *mine[at + 1 :]], mac[0], payloads[0])
        yield file(mine[:at] + mine[at + 1 :], mac[0], payloads[0])
        yield file([*mine, mine[at]], mac[0], payloads[0])
    if len(mine) > 1:
        yield file(mine[1:] + mine[:1], mac[0], payloads[0])
        yield file([mine[0]] * len(mine), mac[0], payloads[0])
    yield file(mine, mac[1], payloads[0])
    yield file(mine, mac[0], payloads[1])
    yield file(theirs, mac[0], payloads[0])


def _stanzas(body: bytes) -> list[bytes]:
    head = body[len(notes.BODY_BEGINS) : parse_header(body).length].rpartition(b"--- ")[0]
    return [b"-> " + part for part in head.split(b"-> ")[1:]]


def dishonest(one: message.Message, other: message.Message, corpus: Corpus, dice: random.Random) -> Iterator[bytes]:
    """The sender itself signs a body that it did not seal for this note, or not for these recipients."""
    for body in stanzas_exchanged(one.body, other.body):
        yield corpus.signed(one.header, body)
    yield corpus.signed(one.header, other.body)
    yield corpus.signed(msgspec.structs.replace(one.header, sender=other.header.sender), one.body)
    yield corpus.signed(msgspec.structs.replace(one.header, id=other.header.id), one.body)
    for _ in range(8):
        turned = bytearray(one.body)
        turned[dice.randrange(len(notes.BODY_BEGINS), len(turned))] ^= 1 << dice.randrange(8)
        yield corpus.signed(one.header, bytes(turned))
