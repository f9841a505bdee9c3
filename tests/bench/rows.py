"""Rows of messages: what they cost the ledger, and how fast operators look things up in a million of them."""

import hashlib
import itertools
import random
import time
from collections.abc import Callable, Iterator
from unittest import mock

from log_folder import Log

from bench.figures import Aim, Run, benchmark
from valija_broker.evidence import Headline, Row, row_of
from valija_broker.log import messages
from valija_broker.log.view import LogView
from valija_broker.observe import history, pages, report
from valija_schemas import admin, wire
from valija_schemas.directory import ContactPoint

LOOKS = 20
POINTS = 200
STATES = ("MX", "CO", "CA", "PE", "CL")
TYPES = ("information-request/1", "response/1", "firearms-trace-request/1", "seizure-notice/1")
BEGIN, END = report.bounds("2026-10")

_EVENT = (
    b"valija/evidence/v1 exchange.example\n"
    b'{"event":"%b","id":"%b","message":"%b","note":"' + b"a" * 64 + b'","body":"' + b"b" * 64 + b'","body_length":9,'
    b'"from":"%b","to":["%b"],"time":%d,"directory":[1,"' + b"c" * 64 + b'"],"reason":null}\n'
)


class Nothing(messages.Batch):
    """Writes no row of a message."""

    def add(self, seq: int, row: object) -> None:
        """Note nothing."""


def name(number: int) -> str:
    """Of a contact point."""
    return f"p{number:04}"


def events(count: int) -> Iterator[Row]:
    """So many messages, spread over a month, each to one of 200 contact points; all but one in a hundred received."""
    dice = random.Random(2003)
    asked: list[tuple[str, str, str]] = []
    for number in range(count):
        accepted = BEGIN + (END - BEGIN) * number // count
        type_, in_reply_to = TYPES[number % 4], None
        sender, to = name(dice.randrange(POINTS // 2)), name(POINTS // 2 + dice.randrange(POINTS // 2))
        if type_ == "response/1" and asked:
            to, sender, in_reply_to = asked.pop()
        id_, digest = f"{dice.getrandbits(32):08x}-0000-4000-8000-{number:012x}", f"{dice.getrandbits(256):064x}"
        if type_ == "information-request/1":
            asked.append((sender, to, digest))
        head = Headline(type_, "routine", number % 50 == 0, id_, in_reply_to, 3_000, accepted + 86_400_000)
        about = (id_.encode(), digest.encode(), sender.encode(), to.encode())
        salt = hashlib.sha256(about[1]).digest()
        yield row_of(_EVENT % (b"SubmissionAcceptance", *about, accepted), salt, headline=wire.encode(head))
        if number % 100:
            took = int(dice.lognormvariate(10, 2))
            yield row_of(_EVENT % (b"ConsignmentAcceptance", *about, accepted + took), salt)


def ledger_of(log: Log, made: Iterator[Row]) -> float:
    """Put all of it into a ledger; how many a second in its transactions."""
    log.path.mkdir()
    ledger = log.ledger()
    count, spent = 0, 0.0
    while batch := list(itertools.islice(made, 2_000)):
        began = time.perf_counter()
        ledger.add(batch)
        spent += time.perf_counter() - began
        count += len(batch)
    ledger.close()
    return count / spent


@benchmark("observe.rows")
async def cost(run: Run) -> None:
    """The ledger's transactions of 2,000 events, half acceptances and half receipts, with and without rows of messages.

    In turn, each in a ledger of its own.
    """
    count = 30_000 if run.long else 10_000
    rates: dict[str, list[float]] = {"without rows of messages": [], "with them": []}
    for turn in range(3):
        for rate, kind in zip(rates.values(), (Nothing, messages.Batch), strict=True):
            with mock.patch.object(messages, "Batch", kind):
                rate.append(ledger_of(Log(run.folder / f"{turn}{kind.__name__}"), events(count)))
    for label, rate in rates.items():
        run.add(f"transactions {label}", "events/s", rate)


@benchmark("observe.history")
async def look_up(run: Run) -> None:
    """Messages of one month between 200 contact points: pages of 50, a story, the counts of an overview, the report.

    20 looks each, at different places; a page is the first one, or one from the middle.
    """
    count = 1_000_000 if run.long else 50_000
    log = Log(run.folder / "x")
    rate = ledger_of(log, events(count))
    run.add(f"the ledger while {count:,} messages enter", "events/s", rate)
    database, dice, half = log.database, random.Random(1), (BEGIN + END) // 2
    view = LogView(log.folder)
    some = [
        pages.page(database, admin.Wanted(), f"{dice.randrange(BEGIN, END)}-1", 1).messages[0] for _ in range(LOOKS)
    ]
    one = iter(itertools.cycle(some))
    wanted: dict[str, Callable[[], admin.Wanted]] = {
        "all": admin.Wanted,
        "of a sender": lambda: admin.Wanted(sender=next(one).sender),
        "for a recipient": lambda: admin.Wanted(recipient=next(one).shares[0].recipient),
        "between two": lambda: admin.Wanted(sender=(row := next(one)).sender, recipient=row.shares[0].recipient),
        "of a type": lambda: admin.Wanted(type=next(one).type),
        "that wait": lambda: admin.Wanted(state="waiting"),
        "that failed (none)": lambda: admin.Wanted(state="failed"),
        "delivered to one": lambda: admin.Wanted(state="delivered", recipient=next(one).shares[0].recipient),
        "exercises of a sender": lambda: admin.Wanted(exercise=True, sender=next(one).sender),
        "by the beginning of a digest": lambda: admin.Wanted(prefix=next(one).digest[:6]),
        "of a type nobody sends between two": lambda: admin.Wanted(
            sender=(row := next(one)).sender, recipient=row.shares[0].recipient, type="nothing/1"
        ),
    }
    for label, want in wanted.items():
        for where, after in (("first", None), ("middle", f"{half}-1")):
            took = timed(lambda want=want, after=after: pages.page(database, want(), after, 50))
            run.add(f"{where} page, {label}", "ms", took, Aim("<=", 300))
    run.add("story of a message", "ms", timed(lambda: history.story(database, view, next(one).digest)), Aim("<=", 300))
    run.add("minutes", "ms", timed(lambda: history.minutes(database, END)), Aim("<=", 50))
    run.add("hours and p95 of all", "ms", timed(lambda: history.collected(database, END)), Aim("<=", 50))
    points = [
        ContactPoint(id=name(n), state=STATES[n % 5], organisation=None, name=name(n), area="judicial",
                     status="active", sign=(), seal=(), auth=())
        for n in range(POINTS)
    ]  # fmt: skip
    began = time.perf_counter()
    found = report.report(database, "exchange.example", points, "2026-10")
    run.add("report of the month", "s", time.perf_counter() - began, Aim("<=", 30))
    if found.messages + found.exercises != count:
        raise RuntimeError(f"the report counts {found.messages} messages and {found.exercises} exercises of {count}")


def timed(look: Callable[[], object]) -> list[float]:
    """How long it takes, in ms."""
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        times.append((time.perf_counter() - began) * 1e3)
    return times
