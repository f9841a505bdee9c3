"""What /metrics says is what happened, and what cannot be looked at takes nothing else with it."""

import asyncio
import re
import socket
import time

from private_tls import Authority

from valija_broker import config, scrape
from valija_broker.embedded import EmbeddedValkey
from valija_broker.store import Endpoint, Store


def numbers(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(valija_\S+) (\S+)$", text, re.MULTILINE)}


async def until(sandbox, wanted) -> dict[str, float]:
    """What is counted, once it is as `wanted`: upkeep counts when it has recorded."""
    deadline = time.monotonic() + 30
    while not wanted(found := numbers(sandbox.get("/metrics")[1])):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return found


async def test_what_happened_to_messages_is_counted(sandbox, fresh):
    waited, died = "valija_time_to_collect_seconds_count", 'valija_messages_deadlettered_total{reason="unverified"}'
    before = numbers(sandbox.get("/metrics")[1])
    sender, recipient = fresh(), fresh()
    messages = [sender.message(recipient, exercise=False) for _ in range(2)]
    for message in messages:
        await sender.accepted(message)
    one, two = await recipient.lease()
    assert await recipient.done(one) == ["done"]
    assert await recipient.release(two.token, dead=True) == ["done"]
    # At least: what a test before this one did may be recorded a moment later.
    after = await until(sandbox, lambda found: found[waited] > before[waited] and found[died] > before[died])
    size = sum(map(len, messages))
    for direction in ("in", "out"):
        name = f'valija_payload_bytes_total{{direction="{direction}"}}'
        assert size - 200 <= after[name] - before[name] <= size  # without the words that part note and body
    assert after["valija_clock_skew_seconds_count"] >= before["valija_clock_skew_seconds_count"] + 3
    assert after["valija_log_append_duration_seconds_count"] > before["valija_log_append_duration_seconds_count"]
    assert abs(after["valija_log_checkpoint_timestamp_seconds"] - time.time()) < 60


async def test_what_the_supervisor_looks_up_is_there(sandbox):
    found = numbers(sandbox.get("/metrics")[1])
    assert (found["valija_ready"], found["valija_store_up"]) == (1, 1)
    assert 0 < found["valija_store_memory_bytes"] < found["valija_store_memory_max_bytes"]
    assert found["valija_disk_free_bytes"] > 0
    assert found['valija_child_restarts_total{child="worker"}'] == 0
    assert any(name.startswith("valija_build_info{version=") for name in found)
    absent = {name for name in scrape.GAUGES if name not in found}
    assert absent == {name for name in scrape.GAUGES if "canary" in name or "certificate" in name}, "none is set"


async def look(tmp_path, store: Store | None, canary_file: str = "") -> scrape.Looked:
    settings = config.Settings(
        exchange=config.Exchange(origin="exchange.example"), data=str(tmp_path),
        metrics=config.Metrics(canary_file=canary_file),
    )  # fmt: skip
    return await scrape.look(settings, store, ready=False, certificate_expires=None, restarts={})


async def test_a_store_that_is_away_or_stands_still_is_down_and_the_rest_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(scrape, "store_s", 0.2)
    async with Store(Endpoint(url=f"unix://{tmp_path}/nothing")) as away:
        for store in (None, away):
            found = (await look(tmp_path, store)).gauges
            assert found["valija_store_up"] == found["valija_ready"] == 0
            assert found["valija_disk_free_bytes"] > 0
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/silent")
        silent.listen()
        async with Store(Endpoint(url=f"unix://{tmp_path}/silent")) as still:
            assert (await look(tmp_path, still)).gauges["valija_store_up"] == 0


async def test_a_canary_that_never_came_back_is_told_apart_from_one_that_is_not_run(tmp_path):
    last, took = "valija_canary_last_success_timestamp_seconds", "valija_canary_round_trip_seconds"
    path = tmp_path / "canary.json"
    assert last not in (await look(tmp_path, None)).gauges
    assert (await look(tmp_path, None, str(path))).gauges[last] == 0
    path.write_text('{"sent": 1000, "returned": 2500, "round_trip": 1500}')
    found = (await look(tmp_path, None, str(path))).gauges
    assert (found[last], found[took]) == (2.5, 1.5)


def test_when_a_certificate_expires_is_read_and_a_file_that_is_none_stops_nothing(tmp_path):
    authority = Authority(tmp_path)
    authority.server(days=90)
    expires = scrape.certificate_expires(authority.file)
    assert expires is not None
    assert 364 < (expires - time.time()) / 86_400 < 366
    (tmp_path / "none.pem").write_text("not one")
    assert scrape.certificate_expires(tmp_path / "none.pem") is scrape.certificate_expires(tmp_path / "missing") is None


async def test_an_embedded_server_that_ended_is_counted(valkey: EmbeddedValkey):
    keeping = asyncio.create_task(valkey.keep())
    assert valkey._process is not None
    valkey._process.kill()
    deadline = time.monotonic() + 30
    while not valkey.restarts:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert valkey.restarts == 1
