"""The demonstration: `make demo`. With `--stay` (`make run`) a broker is left running to play with.

One sealed request travels from one State to two others, is answered, and is accounted for; an alert reaches the police
of every State; a suspended contact point is refused; then every process of the broker is killed while 500 messages
flow, and nothing accepted is lost. Whatever of this is not so ends the program with an error.
"""

import argparse
import asyncio
import contextlib
import itertools
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import stay
from flow import Flow
from promises import DemoError, example, require
from sandbox import Sandbox

from valija import Client, Happening, RecipientError, RefusedError, Sent, age, bundle, seal
from valija.cli.common import FALSE
from valija.config import Config, write_profile
from valija.keyring import make_host_key, save
from valija.paper import letter, text
from valija.paper.language import words
from valija.received import Message
from valija.registry.sample import sample_exchange
from valija.transport import Transport
from valija_schemas import evidence, limits
from valija_schemas.message import EMPTY_LOG, Header

STATES: Final = {"mx.enlace": "Mexico", "ca.liaison": "Canada", "co.enlace": "Colombia", "pe.enlace": "Peru"}
flow_messages: Final = 500
flow_senders: Final = 16
killed_after: Final = 150  #: Accepted messages, before everything is killed.
drain_s: Final = 30.0  #: For the rest of the mail to arrive, after the last was accepted.
shown_lines: Final = 11  #: Of an alert, as an officer reads it.


def clock(at_ms: int) -> str:
    """A time of day, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def title(text: str) -> None:
    """A heading."""
    print(f"\n{text}\n{'-' * len(text)}")


class Demo:
    """The demonstration over one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @contextlib.asynccontextmanager
    async def client(self, who: str) -> AsyncIterator[Client]:
        """The client of a contact point, with the profile that `make run` leaves behind."""
        async with Client(load_profile(self.sandbox, who)) as client:
            yield client

    async def run(self) -> None:
        """All of it."""
        self.introduce()
        await self.exchange()
        await self.alert()
        await self.refusal()
        await self.crash()

    def introduce(self) -> None:
        """Who is there."""
        exchange = self.sandbox.exchange
        title(f"The exchange {exchange.origin}")
        root = exchange.root
        need = root.threshold
        print(f"  Root {root.version}, digest {exchange.root_digest}")
        for officer in root.officers:
            print(f"    {officer.id:<12} of {officer.organisation}")
        print(f"  {need.keys} officers of {need.organisations} organisations must sign.")
        print(f"  Directory {exchange.phonebook.version}, signed by {need.keys}:")
        for point in exchange.phonebook.directory.contact_points:
            print(f"    {point.id:<12} {STATES[point.id]:<10} {point.area:<17} {point.status}")
        pids = self.sandbox.processes()
        print(f"  Broker at {self.sandbox.url}: {len(pids['worker'])} workers, upkeep, embedded Valkey.")

    async def exchange(self) -> None:
        """A request to two States, their answers, and the account of it."""
        title("An urgent information request from Mexico to Canada and Colombia")
        async with self.client("mx.enlace") as mexico:
            sent = await mexico.send(
                example("information-request"),
                ["ca.liaison", "co.enlace"],
                type="information-request/1",
                key="demo-request",
                priority="urgent",
            )
            again = await mexico.send(
                example("information-request"),
                ["ca.liaison", "co.enlace"],
                type="information-request/1",
                key="demo-request",
                priority="urgent",
            )
            print(f"  {sent.type} {sent.id}, sealed for {' and '.join(sent.to)}")
            require(sent.state == "accepted", "the broker accepted it, and signed that it did")
            require(again.id == sent.id, "sending it again with the same key sends nothing twice")
            answers = await asyncio.gather(*(self.answer(who) for who in sent.to))
            await mexico.wait(sent, until="acknowledged", timeout=20)
            replies = 0
            async for message in mexico.inbox("response/1"):
                async with message:
                    replies += message.in_reply_to == sent.digest
                    print(f"  Mexico reads the answer of {message.sender}: {message.document.outcome}")
            require(replies == len(sent.to), "both answers came back, each tied to the request")
            steps = await self.account(mexico, sent)
            proof = await mexico.prove(sent.id)
        events = Counter(step.event for step in steps)
        require(events["ConsignmentAcceptance"] == len(sent.to), "each recipient signed a receipt")
        for who, answer in zip(sent.to, answers, strict=True):
            async with self.client(who) as recipient:
                await recipient.wait(answer, until="acknowledged", timeout=20)
                steps += await self.account(recipient, answer)
        require(not any(step.says == "alarm" for step in steps), "every signature verified")
        await self.proof(proof)

    async def proof(self, data: bytes) -> None:
        """The evidence of the request, judged by a command that knows nothing but the digest of the root."""
        print("\n  The evidence of the request, in one file, for an auditor without a network:")
        file = self.sandbox.folder / "request.zip"
        file.write_bytes(data)
        parts = bundle.read(data)
        print(f"    {len(data)} bytes: {', '.join(name for name in parts if not name.startswith('event-'))}, events")
        require(await self.judged(file) == 0, "`valija verify` proves it offline, from the root's digest alone")
        receipt = max(name for name in parts if name.startswith("event-") and name.endswith(".note"))
        file.write_bytes(bundle.write({**parts, receipt: parts[receipt].replace(b'"time":1', b'"time":2')}))
        require(await self.judged(file) == FALSE, "a copy in which the time of a receipt was changed is proved false")

    async def judged(self, file: Path) -> int | None:
        """The exit status of `valija verify`, run as a program of its own."""
        command = [sys.executable, "-m", "valija", "verify", str(file), "--root", self.sandbox.exchange.root_digest]
        done = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        return await done.wait()

    async def account(self, client: Client, sent: Sent) -> list[Happening]:
        """Print the timeline of a message, and return its steps."""
        timeline = await client.track(sent.id)
        print(f"\n  What happened to {sent.type} {sent.id} of {timeline.sender}:")
        for step in timeline.happenings:
            to = f" -> {', '.join(step.to)}" if step.to else ""
            print(f"    {clock(step.time)}  {step.event:<22} {step.says:<16} {step.by}{to}")
        return list(timeline.happenings)

    async def answer(self, who: str) -> Sent:
        """Fetch, verify, open, validate and answer what is there."""
        replies = []
        async with self.client(who) as recipient:
            async for message in recipient.inbox("information-request/1"):
                async with message:
                    questions = len(message.document.questions)
                    print(f"  {STATES[who]} opens it: from {message.sender}, {questions} questions, {message.priority}")
                    replies.append(await message.reply(example("response"), type="response/1"))
        require(len(replies) == 1, f"{STATES[who]} received it once, and answered")
        return replies[0]

    async def alert(self) -> None:
        """A flash alert to every police of the exchange, as an officer reads it, and word that it is in hand."""
        title("A kidnapping: Canada alerts the police of every State")
        async with self.client("ca.liaison") as canada:
            whom = await canada.expand("area:law-enforcement", "person-alert/1")
            print(f"  area:law-enforcement is {' and '.join(whom.ids)}")
            by = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=8)
            alert = example("person-alert") | {
                "respond_by": {"by": by.isoformat(), "reasons": "The captors call again tomorrow."}
            }
            sent = await canada.send(alert, whom.ids, type="person-alert/1", priority="flash")
            await asyncio.gather(*(self.read_alert(who, shown=who == "co.enlace") for who in whom.ids))
            told = [message.document.state async for message in read(canada, "status-update/1")]
            require(told == ["in-progress"] * len(whom.ids), "each of them said at once that the alert is in hand")
            await canada.wait(sent, until="acknowledged", timeout=20)  # an answer may overtake the receipt
            events = Counter(step.event for step in await self.account(canada, sent))
        require(events["ConsignmentAcceptance"] == len(whom.ids), "and each of them signed that it received it")

    async def read_alert(self, who: str, *, shown: bool) -> None:
        """Read what is there, and say that it is in hand."""
        async with self.client(who) as police:
            async for message in police.inbox("person-alert/1"):
                async with message:
                    if shown:
                        self.show(message)
                    update = example("status-update") | {"state": "in-progress", "forwarded_to": None}
                    update["regarding"] = {"message": message.digest, "reference": None}
                    await message.reply(update, type="status-update/1", priority="flash")

    def show(self, message: Message) -> None:
        """The first lines of a message, as an officer in Colombia reads them."""
        content = letter.Content(type_=message.type, document=message.document)
        known = letter.received(message, self.sandbox.exchange.phonebook, at=message.sent)
        now_ms = time.time_ns() // 1_000_000
        outline = letter.outline(content, known, "verified", "", words("es"), now_ms=now_ms)
        for line in itertools.islice(text.render(outline, 100), shown_lines):
            print(f"    {line}")
        print("    ...")

    async def refusal(self) -> None:
        """A suspended contact point, first with our client, then with one that ignores the directory."""
        title("Peru is suspended, and sends all the same")
        async with self.client("pe.enlace") as peru:
            try:
                await peru.send(example("information-request"), "mx.enlace", type="information-request/1")
            except RecipientError as error:
                print(f"  its client does not even seal it: {error}")
            else:
                raise DemoError("the client of a suspended contact point sealed a message")
        exchange = self.sandbox.exchange
        keys = exchange.keyrings["pe.enlace"]
        async with Transport(self.sandbox.url, lambda: keys.auth) as line:
            try:
                await line.submit(bare_message(self.sandbox, "pe.enlace", "mx.enlace"))
            except RefusedError as error:
                print(f"  a client that ignores the directory is refused by the broker: {error}")
                require(error.problem.code == "suspended", "a suspended contact point is refused, whatever it signs")
                note = (error.problem.evidence or "").encode()
                event = evidence.verify_evidence(note, exchange.origin, exchange.roots.evidence_verifiers())
                require(event.event == "SubmissionRejection", "and the refusal is signed, so that it can be shown")
            else:
                raise DemoError("a suspended contact point was not refused")

    async def crash(self) -> None:
        """Kill everything while mail flows."""
        title(f"{flow_messages} messages, and SIGKILL for every process of the broker while they flow")
        flow = Flow()
        async with (
            self.client("mx.enlace") as mexico,
            self.client("ca.liaison") as canada,
            self.client("co.enlace") as col,
        ):
            readers = [asyncio.create_task(flow.read(reader)) for reader in (canada, col)]
            numbers = iter(range(flow_messages))
            senders = [asyncio.create_task(flow.send(mexico, numbers)) for _ in range(flow_senders)]
            await flow.until(lambda: len(flow.accepted) >= killed_after)
            before = len(flow.accepted)
            pids = self.sandbox.processes()
            killed = await asyncio.to_thread(self.sandbox.kill)
            at = time.monotonic()
            print(
                f"  {before} accepted; then SIGKILL to {killed} processes: {', '.join(k for k, p in pids.items() if p)}"
            )
            await asyncio.to_thread(self.sandbox.start)
            print(f"  started again, ready after {time.monotonic() - at:.1f} s")
            await asyncio.gather(*senders)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    await flow.until(lambda: not flow.accepted - flow.handled.keys())
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        seconds = time.monotonic() - flow.began
        print(
            f"  {len(flow.accepted)} accepted, {len(flow.handled)} handed over, {seconds:.1f} s in all, crash included"
        )
        require(len(flow.accepted) == flow_messages, f"all {flow_messages} were accepted in the end")
        require(not flow.accepted - flow.handled.keys(), "nothing accepted was lost")
        require(not flow.handled.keys() - flow.accepted, "nothing was handed over that was not accepted")
        require(max(flow.handled.values()) == 1, "nothing was handed over again after its clean exit")
        print(f"  lent again because of the crash, and handled once: {flow.again}")


async def read(client: Client, type_: str) -> AsyncIterator[Message]:
    """Each message of a type that waits, after it was acknowledged."""
    async for message in client.inbox(type_):
        async with message:
            pass
        yield message


def bare_message(sandbox: Sandbox, sender: str, recipient: str) -> bytes:
    """A message composed by hand, past everything that the client would check first."""
    exchange, now = sandbox.exchange, time.time_ns() // 1_000_000
    point = exchange.phonebook.point(recipient)
    if point is None or point.seal_key is None:
        raise DemoError(f"{recipient} has no seal key")
    id_ = str(uuid.uuid4())
    header = Header(
        id=id_,
        sender=sender,
        to={recipient: point.seal_key.key_id},
        type="information-request/1",
        thread=id_,
        in_reply_to=None,
        sent=now,
        expires=now + limits.lifetime_default_ms,
        priority="routine",
        exercise=True,
        directory=exchange.phonebook.reference,
        log=EMPTY_LOG,
        body=None,
        body_length=0,
        attachments=(),
    )
    return seal.write(
        header,
        b"{}",
        [age.SealRecipient.from_bytes(point.seal_key.public)],
        exchange.origin,
        exchange.keyrings[sender].sign,
    )


def profile_path(sandbox: Sandbox, who: str) -> Path:
    """The profile of a contact point of the sandbox."""
    return sandbox.folder / "profiles" / f"{who}.toml"


def write_profiles(sandbox: Sandbox) -> None:
    """A profile, a keyring and a host key for each contact point, as `valija init` would have made them."""
    for who, keyring in sandbox.exchange.keyrings.items():
        folder = sandbox.folder / "agencies" / who
        folder.mkdir(parents=True)
        identity = make_host_key(folder / "host.key")
        save(folder / "keyring.age", keyring, identity.recipient)
        values = {
            "exchange": sandbox.exchange.origin,
            "contact_point": who,
            "broker": sandbox.url,
            "root": sandbox.exchange.root_digest,
            "keyring": str(folder / "keyring.age"),
            "host_key": str(folder / "host.key"),
            "state": str(folder / "state"),
        }
        write_profile(profile_path(sandbox, who), values)


def load_profile(sandbox: Sandbox, who: str) -> Config:
    """The profile of a contact point, as the command `valija` would read it."""
    from valija import config  # noqa: PLC0415

    return config.load(None, {}, {"VALIJA_CONFIG": str(profile_path(sandbox, who))})


async def leave(sandbox: Sandbox) -> None:
    """Leave something to look at in the console, and say how to."""
    demo = Demo(sandbox)

    async def story() -> None:
        await demo.exchange()
        await demo.alert()

    stay.write_operators(sandbox)
    async with demo.client("mx.enlace") as mexico:
        await stay.leave_mail(sandbox, story, mexico)
    stay.say(sandbox, await stay.sign_in(sandbox, "operator.a"), lambda who: profile_path(sandbox, who))


def main() -> int:
    """Run it; exit status 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(description="Show what Valija promises, on this machine, in a minute.")
    parser.add_argument("--stay", action="store_true", help="leave a broker running to play with")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="valija-"))
    began = time.monotonic()
    sandbox = Sandbox(folder, sample_exchange(suspended=("pe.enlace",)), console=arguments.stay)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        write_profiles(sandbox)
        sandbox.start()
        if arguments.stay:
            asyncio.run(leave(sandbox))
            stay.wait()
        else:
            asyncio.run(Demo(sandbox).run())
            print(f"\nEverything above was so. {timedelta(seconds=round(time.monotonic() - began))} in all.")
    except DemoError as error:
        print(f"\nNOT SO: {error}", file=sys.stderr)
        return 1
    finally:
        sandbox.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
