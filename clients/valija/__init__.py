"""Signed, end-to-end encrypted case information between national contact points.

For scripts:

    from valija.sync import Client

For programs with an event loop:

    from valija import Client

clients/README.md is an agency's first hour. Names are loaded when they are first used, so that importing the package
costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from valija.client import Client
    from valija.config import Config
    from valija.errors import (
        AnswerInvalidError,
        ConfigError,
        DeliveryFailedError,
        DocumentInvalidError,
        EvidenceInvalidError,
        HandlingError,
        HeldError,
        InboxBusyError,
        KeyConflictError,
        KeyringError,
        LegalBasisError,
        RecipientError,
        RefusedError,
        StateError,
        StillWaitingError,
        TrustError,
        UnavailableError,
        UnknownMessageError,
        UsageError,
        ValijaError,
    )
    from valija.outbox import Sent
    from valija.received import Inbox, Message
    from valija.timeline import Happening, Timeline

__all__ = [
    "AnswerInvalidError",
    "Client",
    "Config",
    "ConfigError",
    "DeliveryFailedError",
    "DocumentInvalidError",
    "EvidenceInvalidError",
    "HandlingError",
    "Happening",
    "HeldError",
    "Inbox",
    "InboxBusyError",
    "KeyConflictError",
    "KeyringError",
    "LegalBasisError",
    "Message",
    "RecipientError",
    "RefusedError",
    "Sent",
    "StateError",
    "StillWaitingError",
    "Timeline",
    "TrustError",
    "UnavailableError",
    "UnknownMessageError",
    "UsageError",
    "ValijaError",
]

_HOMES: Final = {
    "Client": "valija.client",
    "Config": "valija.config",
    "Happening": "valija.timeline",
    "Inbox": "valija.received",
    "Message": "valija.received",
    "Sent": "valija.outbox",
    "Timeline": "valija.timeline",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "valija.errors")), name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - reading the metadata costs more than the rest

        return version("valija")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
