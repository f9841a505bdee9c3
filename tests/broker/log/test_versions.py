"""Versions of the root and of the directory become leaves: each once, in order, and a start asks little for it."""

from valija.registry.sample import SampleExchange, sample_exchange
from valija_broker.directory import Known, publish_folder
from valija_broker.evidence import Version
from valija_broker.log.versions import Versions
from valija_broker.shelves import DirectoryShelf
from valija_schemas import limits
from valija_schemas import note as notes


class Process:
    """What one process of upkeep knows, and what it asks of the ledger."""

    def __init__(self, exchange, store, ledger):
        self.shelf = DirectoryShelf(store)
        self.known = Known(exchange.origin, exchange.root_digest, self.shelf)
        self.ledger = ledger
        self.asked = 0
        self.versions = Versions(self.known, self.logged)

    async def logged(self, version):
        self.asked += 1
        return self.ledger.has(version)

    async def learn(self, folder):
        await self.known.refresh()
        await publish_folder(folder, self.known, self.shelf)
        return await self.versions.learn()


def versions_of(exchange: SampleExchange) -> list[Version]:
    raws = [*exchange.root_raws, *exchange.directory_raws]
    return [Version(notes.parse(raw, limits.directory_bytes_max).digest) for raw in raws]


async def test_each_version_becomes_a_leaf_and_a_start_looks_back_to_the_newest_that_is_one(store, log, tmp_path):
    exchange, ledger, folder = sample_exchange(), log.ledger(), tmp_path / "directory"
    first = Process(exchange, store, ledger)
    assert await first.learn(folder) == []  # nothing is published yet
    for _ in range(4):
        exchange.next_directory()
    exchange.publish(folder)
    learned = await first.learn(folder)
    assert learned == versions_of(exchange)
    assert await first.learn(folder) == []
    ledger.add(learned)

    second = Process(exchange, store, ledger)
    assert await second.learn(folder) == []
    assert second.asked == 2  # for the newest root and the newest directory

    exchange.next_root()  # what is published while no process runs
    for _ in range(3):
        exchange.next_directory()
    exchange.publish(folder)
    third = Process(exchange, store, ledger)
    missing = await third.learn(folder)
    assert missing == [version for version in versions_of(exchange) if version not in learned]
    assert third.asked == len(missing) + 2
    assert ledger.add(missing).rows == len(missing) == 4
    ledger.close()
