"""The parts of the log of a data folder, opened with the broker's own keys.

Before this room: `upkeep`, `cli`. After it: `ledger`, `publish`.
"""

from valija_broker.config import Settings
from valija_broker.directory import Known
from valija_broker.keys import Keys
from valija_broker.log.ledger import Ledger
from valija_broker.log.publish import Folder, Publisher
from valija_schemas import note as notes
from valija_schemas.checkpoint import Policy, origin_of


def open_ledger(settings: Settings, keys: Keys) -> Ledger:
    """The ledger of a data folder.

    Raises:
        BadConfig, sqlite3.Error: it cannot be used.
    """
    origin = settings.exchange.origin
    return Ledger(settings.evidence_path, origin, keys.log_signer(origin), keys.log_cosigner(origin))


def policy_of(settings: Settings, keys: Keys) -> Policy:
    """What makes a checkpoint ours: our own keys."""
    public = keys.public
    return Policy(origin_of(settings.exchange.origin), bytes.fromhex(public.log), bytes.fromhex(public.log_ml_dsa))


def make_publisher(settings: Settings, ledger: Ledger, keys: Keys, known: Known) -> Publisher:
    """What publishes the ledger, with the witnesses of the settings and the keys that the root names for them."""

    def witnesses() -> list[notes.Verifier]:
        named = known.roots.newest.witnesses if known.has_root else ()
        return [notes.Verifier(found.name, bytes.fromhex(found.key)) for found in named]

    folder = Folder(settings.log_path)
    return Publisher(ledger, folder, policy_of(settings, keys), urls=settings.log.witnesses, witnesses=witnesses)
