"""What a store has to hold and to be before its first message, against a real Valkey."""

import pytest

from valija_broker.errors import StoreRefused
from valija_broker.layout import DATA_VERSION, LIBRARY, check, library, migrate
from valija_broker.mail import Accepted
from valija_broker.store import Store

VERSIONS = {"redis_version", "valkey_version"}


async def test_a_store_of_another_release_or_another_installation_is_refused_and_left_alone(valkey, store, admin):
    layout, warnings = await check(store)
    assert (layout.version, layout.epoch, layout.shards, warnings) == (DATA_VERSION, 0, 1, [])
    async with Store(valkey.endpoint, shards=16) as other:
        with pytest.raises(StoreRefused, match="with 1 shards"):
            await check(other)
    async with Store(valkey.deploy_endpoint) as deploy:
        for version, words in ((DATA_VERSION + 1, "knows up to"), (DATA_VERSION - 1, "hand over what waits")):
            await admin.hset("{s0}:layout", "version", version)
            with pytest.raises(StoreRefused, match=words):
                await check(store)
            await admin.function_delete(LIBRARY)
            with pytest.raises(StoreRefused, match=f"version {version}"):
                await migrate(deploy, now=0)
            assert await admin.function_list(LIBRARY) == []
            await admin.hset("{s0}:layout", "version", DATA_VERSION)
            await migrate(deploy, now=0)


async def test_functions_of_another_release_are_refused(store, admin):
    await admin.function_load(
        "#!lua name=valija_3\nredis.register_function('about_3', function() return {'x', 1} end)", True
    )
    with pytest.raises(StoreRefused, match="migrate"):
        await check(store)


async def test_two_releases_of_the_functions_live_side_by_side(valkey, store, admin, mailboxes, submission, here):
    """While a newer release is brought in, the one that still runs finds its own functions."""
    number = LIBRARY.removeprefix("valija_")
    other = library().code.replace(f"name={LIBRARY}\n", "name=valija_99\n").replace(f"_{number}'", "_99'")
    await admin.function_load(other)
    first, again = submission(), submission()
    assert isinstance(await mailboxes.accept(first), Accepted)
    async with Store(valkey.deploy_endpoint) as deploy:
        await migrate(deploy, now=7)
    await check(store)
    assert isinstance(await mailboxes.accept(again), Accepted)
    assert {row[b"library_name"] for row in map(_fields, await admin.function_list())} == {
        LIBRARY.encode(),
        b"valija_99",
    }
    assert await store.call("about_99", [], []) == await store.call(f"about_{number}", [], [])
    lent = await mailboxes.lease("ca.liaison", instance="one", limit=10, lease_ms=60_000, directory=here)
    assert [x.subject for x in lent] == [first.subject, again.subject]


def _fields(flat):
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def test_a_server_too_old_is_refused_or_warned_of_at_the_start(valkey):
    says: dict[str, str] = {}

    class Other(Store):
        """The same server, saying that it is another one."""

        async def run(self, *command):
            reply = await super().run(*command)
            if command != ("INFO",):
                return reply
            lines = [line for line in reply.decode().splitlines() if line.partition(":")[0] not in VERSIONS]
            return "\n".join([*lines, *(f"{name}:{value}" for name, value in says.items())]).encode()

    async def looked_at(replicas=0, **versions):
        """The warnings that speak of a version."""
        says.clear()
        says.update(versions)
        async with Other(valkey.endpoint, replicas=replicas) as store:
            return [warning for warning in (await check(store))[1] if "use" in warning]

    for replicas, version, why in ((0, "6.2.14", "has no functions"), (1, "7.0.15", "no WAITAOF")):
        with pytest.raises(StoreRefused, match=why):
            await looked_at(replicas, redis_version=version)
    for replicas, version in ((0, "7.0.15"), (1, "7.2.7")):
        assert await looked_at(replicas, redis_version=version) == []
    for version in ("8.1.3", "9.0.3"):
        assert await looked_at(redis_version="7.2.4", valkey_version=version) == []
    (warning,) = await looked_at(redis_version="7.2.4", valkey_version="9.0.2")
    assert "use 9.0.3 or later" in warning


async def test_a_server_that_would_lose_mail_is_refused(store, admin):
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreRefused, match="noeviction"):
        await check(store)
    await admin.config_set("maxmemory-policy", "noeviction")
    await admin.config_set("appendonly", "no")
    with pytest.raises(StoreRefused, match="appendonly"):
        await check(store)
    assert (await check(store, durable=False))[1] == ["appendonly is off"]


async def test_after_a_loss_the_epoch_says_since_when(valkey, store):
    async with Store(valkey.deploy_endpoint) as deploy:
        assert (await migrate(deploy, now=5)).epoch == 0
        assert (await migrate(deploy, now=6, lost=True)).epoch == 6
        assert (await migrate(deploy, now=7)).epoch == 6
