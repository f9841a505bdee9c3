"""Everything that can go wrong for somebody who uses this client, in one tree.

    ValijaError
    ├── ConfigError
    │   └── SchemaMissingError
    ├── KeyringError
    │   ├── KeyringExistsError
    │   ├── KeyringLockedError
    │   └── KeyMissingError
    ├── TrustError
    │   ├── NotInstalledError
    │   ├── DirectoryInvalidError
    │   ├── DirectoryRollbackError
    │   ├── DirectoryConflictError
    │   └── DirectoryExpiredError
    ├── EnrolmentError
    ├── RegistryError
    │   ├── AdmissionRefusedError
    │   └── UnsignedError
    ├── DocumentInvalidError
    ├── RecipientError
    ├── HandlingError
    ├── KeyConflictError
    ├── RefusedError
    ├── UnavailableError
    │   ├── HeldError
    │   └── StillWaitingError
    ├── DeliveryFailedError
    ├── AnswerInvalidError
    ├── EvidenceInvalidError
    ├── UnknownMessageError
    ├── StateError
    │   └── InboxBusyError
    └── UsageError

The promise: each error has a `code` that a program can compare, says whether the same step may succeed when it is
repeated, and ends with what the person in front of it can do next. None holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from valija_schemas.problem import Problem


class ValijaError(Exception):
    """Something that was asked for could not be done."""

    code: ClassVar[str] = "error"  #: Stable; for programs, exit codes and metrics.
    retryable: ClassVar[bool] = False  #: Whether the same step may succeed later with nothing changed.
    hint: str = "Run the command with --help, or read the runbook."  #: What the person can do next.

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class ConfigError(ValijaError):
    """A setting or a file given by the user is missing, unreadable or contradicts another."""

    code = "config"
    hint = "Correct the file or the option that the message names."


class SchemaMissingError(ConfigError):
    """The schema that two contact points agreed on is not on this machine, or nothing here can apply it."""

    code = "schema-missing"
    hint = "Ask the other contact point for the file, and run valija bilateral add FILE."


class KeyringError(ValijaError):
    """A keyring cannot be read, written or used."""

    code = "keyring"
    hint = "Check the path; restore the keyring from its copy if it is damaged."


class KeyringExistsError(KeyringError):
    """A file already stands where a keyring or key would be written, and keys are never written over."""

    code = "keyring-exists"
    hint = "Choose another path, or move the file away if you are sure that nobody needs its keys."


class KeyringLockedError(KeyringError):
    """The passphrase or the host key does not open this keyring."""

    code = "keyring-locked"
    hint = "Check the passphrase, or use the host key that this keyring was sealed to."


class KeyMissingError(KeyringError):
    """The keyring does not hold the key that is needed."""

    code = "key-missing"
    hint = "Use the keyring that holds this key; nothing is lost: the message waits until its lease lapses."


class TrustError(ValijaError):
    """The root or the directory does not let this step go on."""

    code = "trust"
    hint = "Ask a registry officer, by a channel that you trust, for the newest root and directory."


class NotInstalledError(TrustError):
    """No root, or no directory, is installed yet."""

    code = "not-installed"
    hint = "Install root 1 with the digest that the registry gave you by another channel, then fetch the directory."


class DirectoryInvalidError(TrustError):
    """A root, directory or freshness note fails its checks and is not believed."""

    code = "directory-invalid"
    hint = "Nothing was changed. Keep the file, and tell a registry officer where it came from."


class DirectoryRollbackError(TrustError):
    """Somebody offers an older directory than the one that is already verified here."""

    code = "directory-rollback"
    hint = "The newer version stays in force. Tell a registry officer who offered the older one."


class DirectoryConflictError(TrustError):
    """Two different directories, or roots, bear one version number, each signed: somebody is shown another truth."""

    code = "directory-conflict"
    hint = "Stop, keep both files, and call a registry officer: this is an incident, not a fault."


class DirectoryExpiredError(TrustError):
    """The root, directory or freshness note has run out, so nothing may be sent; reading goes on."""

    code = "directory-expired"
    retryable = True
    hint = "Fetch the newest directory; if there is none, the registry officers must sign one."


class EnrolmentError(ValijaError):
    """A request to be admitted, or the answer to a challenge, cannot be made."""

    code = "enrolment"
    hint = "Check that the challenge was made for the newest request of this keyring."


class RegistryError(ValijaError):
    """The registry's folder, draft or note does not allow this step."""

    code = "registry"
    hint = "Run `valija-registry show` to see what is published and what is drafted."


class AdmissionRefusedError(RegistryError):
    """This request may not be admitted."""

    code = "admission-refused"
    hint = "Tell the contact point what the message says; it makes new keys and a new request."


class UnsignedError(RegistryError):
    """Too few officers have signed."""

    code = "unsigned"
    hint = "Carry the draft to another officer, who runs `valija-registry sign`."


class DocumentInvalidError(ValijaError):
    """The document breaks a rule of its type, or there is no such type; nothing was sealed or sent."""

    code = "document-invalid"
    hint = "Correct the fields that the message names; `valija send --dry-run` tries a document without sending it."

    def __init__(self, message: str, *, flaws: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.flaws = flaws  #: One sentence a fault, each with the field and the rule.


class RecipientError(ValijaError):
    """Somebody in `to` cannot be sent this, by the newest directory; nothing was sealed or sent."""

    code = "recipient"
    hint = "Look the contact points up with `valija directory`, and their areas in its routes."


class LegalBasisError(ValijaError):
    """By the directory a State is not a party to a treaty that the document cites, and nobody confirmed that basis."""

    code = "legal-basis"
    hint = (
        "Cite a treaty that both States have joined, domestic law or reciprocity; or, if you know better, confirm it:"
        " --legal-basis-confirmed, in a program legal_basis_confirmed=True."
    )


class HandlingError(ValijaError):
    """Whom a document came from forbids this step, and no consent is on record; nothing was sent or written."""

    code = "handling"
    hint = (
        "Ask for consent with a dissemination-consent-request/1 that names the message. Record one that came otherwise"
        " with `valija case consent`."
    )


class KeyConflictError(ValijaError):
    """This key was used before, for another document or other recipients; nothing was sent now."""

    code = "key-conflict"
    hint = "A key names one message for ever: use a new one for a new message, or none."


class RefusedError(ValijaError):
    """The broker refused, and says why; nothing was done."""

    code = "refused"

    def __init__(self, problem: Problem) -> None:
        kind = problem.kind
        detail = f": {problem.detail}" if problem.detail != problem.title else ""
        super().__init__(f"{problem.title} ({problem.code}){detail}", hint=kind.hint if kind else None)
        self.problem = problem  #: As the broker gave it; `problem.evidence` may hold its signed SubmissionRejection.


class UnavailableError(ValijaError):
    """The broker could not be reached, or cannot do this now; whether it was done is not known."""

    code = "unavailable"
    retryable = True
    hint = "Run the same again: what was done is not done twice. If it lasts, ask the operators."


class HeldError(UnavailableError):
    """Operators hold this contact point, because its keys may be in other hands; nothing was done."""

    code = "held"
    hint = (
        "Call the operators, by telephone, and say whether your keys are safe. What is stored is sent, what waits is"
        " fetched, once they lift the hold or it ends; if keys were taken, the officers give you new ones."
    )


class StillWaitingError(UnavailableError):
    """What was waited for has not happened yet."""

    code = "still-waiting"
    hint = "Nothing is lost. Wait again later, or see `valija track` for what has happened so far."


class DeliveryFailedError(ValijaError):
    """A recipient refused the message, or it will not be handed over any more."""

    code = "delivery-failed"
    hint = "See `valija track` for the signed refusal and its reason; correct the cause and send a new message."


class AnswerInvalidError(ValijaError):
    """The broker's answer has not the shape that it must have."""

    code = "answer-invalid"
    hint = "Compare the versions of client and broker; if they match, tell the operators."


class EvidenceInvalidError(ValijaError):
    """A note that should prove something does not verify."""

    code = "evidence-invalid"
    hint = "Keep the file and the log, and tell a registry officer: somebody may be giving false evidence."


class UnknownMessageError(ValijaError):
    """No message with this id or digest is known here."""

    code = "unknown-message"
    hint = "Use the state folder of the client that sent or received it."


class StateError(ValijaError):
    """The state folder cannot be used."""

    code = "state"
    hint = "Check that the folder is there, that it is yours, and that its disk has room."


class InboxBusyError(StateError):
    """Another process reads the inbox of this state folder."""

    code = "inbox-busy"
    retryable = True
    hint = "Stop the other process, or give this one a state folder of its own: both may share one mailbox."


class UsageError(ValijaError):
    """The program that uses this library calls it in a way that cannot work."""

    code = "usage"
    hint = "clients/README.md shows the calls in their order."
