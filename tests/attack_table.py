"""What a dishonest operator can do, and who sees it: the table of SECURITY.md, row by row.

The tests of tests/attacks do each of these and compare what was shown; another one compares the table with SECURITY.md.
"""

from typing import Final

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One thing that the operator does."""

    attack: str
    who: str  #: Who sees it.
    step: str  #: At which step.
    words: tuple[str, ...]  #: Some of what is shown.
    status: int | None  #: Of the command; None where it is not one of `valija`.


ROWS: Final[dict[str, Row]] = {
    # What was promised
    "acceptance-dropped": Row(
        "leaves an acceptance out of the log", "sender", "`track`, 60 s after the acceptance",
        ("did not put that into its log within 60 s",), 10,
    ),
    "receipt-dropped": Row(
        "leaves a receipt out of the log", "the recipient who gave it", "`track`, 60 s after it was taken",
        ("the broker took our receipt and did not put that into its log within 60 s",), 10,
    ),
    "acceptance-withheld": Row(
        "hands over a message without its acceptance", "recipient", "`inbox`, then `track`",
        ("the acceptance does not verify",), 10,
    ),
    "acceptance-backdated": Row(
        "dates an acceptance before the message", "sender", "`send`",
        ("proves nothing: the acceptance is dated before the message was sent",), 10,
    ),
    "acceptance-future": Row(
        "dates an event in the future", "parties", "`track`; `verify`",
        ("it is dated after the checkpoint that proves it",), 10,
    ),
    "event-backdated": Row(
        "dates a late event back by more than 60 s", "parties", "`track`",
        ("it is dated back, or came late", "without it"), 10,
    ),
    # What was said
    "receipt-altered": Row(
        "alters a receipt before it is logged", "sender", "`track`",
        ("ConsignmentAcceptance", "alarm", "signature"), 10,
    ),
    "event-altered": Row(
        "shows another event than the log has", "parties", "`track`", ("it is not in the log",), 10,
    ),
    "feed-gap": Row(
        "leaves an event out of a feed", "its reader", "`monitor`", ("ALARM: the feed goes from event",), 10,
    ),
    "feed-exchanged": Row(
        "exchanges two events of a feed", "its reader", "`monitor`", ("ALARM: the feed goes from event",), 10,
    ),
    "feed-changed": Row(
        "says in a feed something else than before", "its reader", "`monitor`, when it asks for more witnesses",
        ("of the feed is another one than it was",), 10,
    ),
    "feed-stranger": Row(
        "shows somebody else's event", "who is shown it", "`monitor`", ("ALARM: event", "not of ours"), 10,
    ),
    "handover-invented": Row(
        "says that it handed a message over, and did not", "recipient", "`monitor`; another machine may have it",
        ("The broker says that it handed us", "no such message is here"), 0,
    ),
    # The log
    "history-altered": Row(
        "makes the log anew with one entry altered", "every member", "`monitor`",
        ("ALARM: two logs: the broker shows",), 10,
    ),
    "history-inserted": Row(
        "inserts an entry before others", "every member", "`track`", ("two logs: the broker shows",), 10,
    ),
    "entries-altered": Row(
        "alters an entry and leaves the checkpoint", "every member", "`monitor`",
        ("of the log is not made of its entries",), 10,
    ),
    "fork": Row(
        "shows two members two logs", "whoever gets mail or a receipt from the other", "`track`; `monitor`",
        ("two logs: mx.enlace shows one of",), 10,
    ),
    "fork-new": Row(
        "shows a new member another log from the beginning", "whoever gets mail or a receipt from it",
        "`track`; `monitor`",
        ("two logs: ca.liaison shows one of",), 10,
    ),
    "rollback": Row(
        "goes back to an older log, to a member that saw the newer", "that member", "`monitor`",
        ("ALARM: the log went back: the broker shows",), 10,
    ),
    "rollback-new": Row(
        "hides the newer log from a new member", "that member, by its first mail", "`track`, a minute later",
        ("saw a log of", "which the broker hides"), 10,
    ),
    "no-ml-dsa": Row(
        "signs a checkpoint without its ML-DSA-44 key", "every member", "`monitor`",
        ("not believed: the log did not sign it with its ML-DSA-44 key",), 10,
    ),
    "directory-hidden": Row(
        "shows a directory to one member only", "that member", "`monitor`, a minute later",
        ("which we were shown, is not in the log",), 10,
    ),
    # Witnesses
    "witness-fork": Row(
        "asks a witness to cosign another tree", "the witness",
        "it answers 409 or 422; an honest broker stops, status 3",
        ("has seen another tree of",), None,
    ),
    "witness-smaller": Row(
        "asks a witness to cosign a smaller tree", "the witness", "it answers 409; an honest broker stops, status 3",
        ("leaves, the database has",), None,
    ),
    "unwitnessed-proof": Row(
        "passes an unwitnessed log off as complete", "whoever is given a proof",
        "`verify`; `track` marks it `unwitnessed`",
        ("NOT PROVED", "unwitnessed: 0 witnesses saw this tree"), 11,
    ),
    "unwitnessed-log": Row(
        "shows an unwitnessed log", "every member", "`monitor --once`", ("UNWITNESSED: 0 witnesses saw this tree",), 11,
    ),
    "witness-forged": Row(
        "forges a cosignature", "every member", "`monitor`",
        ("not believed: the signature of w.example/one does not hold",), 10,
    ),
    # Mail and directory
    "message-altered": Row(
        "alters a message", "recipient", "`inbox`: it is not delivered",
        ("cannot be verified and goes to the dead letters", "0 received"), 0,
    ),
    "message-twice": Row(
        "hands a message over twice, or an old one again", "recipient", "`inbox`: it is not delivered again",
        ("0 received",), 0,
    ),
    "directory-forged": Row(
        "signs a directory itself", "every member", "`directory`", ("this directory is not believed",), 10,
    ),
    "directory-rollback": Row(
        "goes back to an older directory", "a member that holds the newer", "`directory`",
        ("this is directory version", "is held"), 10,
    ),
    "freshness-old": Row(
        "has nothing newer to say of the directory for a day", "every sender", "`send`: nothing is sent",
        ("this freshness note is not believed",), 10,
    ),
    "hold-claimed": Row(
        "says that operators hold a contact point, and has no order of theirs", "that contact point",
        "`send`, `inbox`; then `monitor`", ("does not show an order of two of them", "Tell a registry officer"), 75,
    ),
    # What nobody can tell from a slow recipient
    "withheld": Row(
        "**withholds or delays** a message that it accepted", "**nobody for certain**",
        "`send --wait`, `track`: no handover, no receipt, until `expires`", ("is not handed-over after",), 75,
    ),
    "proof-refused": Row(
        "does not answer when two logs are to be connected", "**nobody for certain**",
        "`track`: no event is taken until it answers",
        ("The broker could not be asked: there may be more",), 69,
    ),
    "withheld-proof": Row(
        "the same, shown to others", "whoever is given the proof", "`verify`: accepted, and the recipient is `silent`",
        ("silent\tco.enlace\tno receipt here",), 0,
    ),
    "refused": Row(
        "**refuses** a message without a reason", "sender, who **cannot show it** to others",
        "`send`: no signed rejection comes with it",
        ("Error: This type of document may not go from this area to that one (route-not-allowed)",), 20,
    ),
}  # fmt: skip


def rendered() -> str:
    """The table, as SECURITY.md has it."""
    lines = ["| the operator | who sees it | when | what is shown | status |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS.values():
        shown = " ... ".join(row.words).replace("\t", " ")
        status = "" if row.status is None else str(row.status)
        lines.append(f"| {row.attack} | {row.who} | {row.step} | {shown} | {status} |")
    return "\n".join(lines) + "\n"
