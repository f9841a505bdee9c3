"""The part of `valija doctor` that asks the broker by its own rules: directory, keys, routes, log, an exercise.

The promise: what it finds is what a program that sends and receives would find; it leaves no mail in the mailbox.

Before this room: `client`. After it: `doctor`, `round_trip`. Rules: clients/OPERATING.md.
"""

from collections.abc import Callable
from typing import Final

from valija import round_trip as round_trips
from valija.doctor import Finding, Report
from valija.doctor_directory import examine_ourselves, examine_validity
from valija.errors import EvidenceInvalidError, InboxBusyError, ValijaError
from valija.holding import Holding
from valija.inbox import Mailbox
from valija.keys import Keys
from valija.log import Log, LogError
from valija.refresh import Library
from valija.sending import Sending
from valija.tracking import Tracking

round_trip_s: Final = 30.0  #: For an exercise to come back; the log alone may take some seconds.


async def examine(
    *,
    keys: Keys,
    library: Library,
    log: Log,
    sending: Sending,
    mailbox: Mailbox,
    holding: Holding,
    tracking: Tracking,
    clock: Callable[[], int],
    round_trip: bool,
) -> list[Finding]:
    """The directory, our keys and routes in it, the log, and with `round_trip` an exercise: a line for each."""
    report = Report()
    try:
        await library.refresh(force=True)
    except ValijaError as error:
        report.wrong("directory", error)
    if library.empty:
        report.unknown("keys", "no directory is held")
        return report.findings
    phonebook = library.phonebook
    examine_validity(report, library.roots, phonebook, library.freshness, clock(), offline=False)
    examine_ourselves(report, keys, phonebook, clock())
    free = await _examine_hold(report, holding)
    try:
        checkpoint = await log.follow()
        report.ok("log", f"{checkpoint.size} leaves, of which those seen before are the beginning")
    except ValijaError as error:
        report.wrong("log", error)
    except LogError as error:
        report.wrong("log", EvidenceInvalidError(str(error)))
    if not round_trip:
        return report.findings
    point, why = phonebook.point(keys.id), round_trips.refusal(phonebook, keys.id)
    if why is not None or point is None or not free:
        report.unknown("round trip", why or "whom operators hold cannot send")
        return report.findings
    began = clock()
    try:
        sent = await round_trips.go(point, sending=sending, mailbox=mailbox, tracking=tracking, seconds=round_trip_s)
    except InboxBusyError:
        report.unknown("round trip", "another program reads this inbox: it would be handed the exercise")
    except ValijaError as error:
        report.wrong("round trip", error)
    else:
        report.ok("round trip", f"{sent.id} was sent, fetched, opened and acknowledged in {clock() - began} ms")
    return report.findings


async def _examine_hold(report: Report, holding: Holding) -> bool:
    """Whether we are free, or nobody could say."""
    try:
        held = await holding.held()
    except ValijaError as error:
        report.wrong("hold", error)
        return True
    if held is not None:
        report.wrong("hold", held)
    else:
        report.ok("hold", "operators do not hold us")
    return held is None
