"""What /metrics says beside the counters of the processes: what the supervisor knows itself, or looks up when asked.

The store, the disks, the canary's file, the certificate, and how often a process was started again: a number of series
that does not grow with the contact points.

Before this room: `supervisor`. After it: `store`, `canary`.
"""

import asyncio
import shutil
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from valija_broker import canary
from valija_broker.config import Settings
from valija_broker.errors import BrokerError
from valija_broker.store import Store

if TYPE_CHECKING:
    from prometheus_client import Metric

store_s: Final = 2.0  #: A store that takes longer to answer is down to whoever watches; Prometheus waits 10 s.

GAUGES: Final[Mapping[str, str]] = {
    "valija_ready": "1 while /readyz says yes.",
    "valija_store_up": "1 while the store answers.",
    "valija_store_latency_seconds": "Time in which the store answered just now.",
    "valija_store_memory_bytes": "Memory that the store uses.",
    "valija_store_memory_max_bytes": "Memory that the store may use; from 80 % of it on nothing new is accepted.",
    "valija_disk_free_bytes": "Free space on the disk that has the least of those that the broker writes to.",
    "valija_certificate_expiry_timestamp_seconds": "When the certificate that was read at the start expires.",
    "valija_canary_last_success_timestamp_seconds": "When the canary's message last came back; 0: it never did.",
    "valija_canary_round_trip_seconds": "How long that message took, until the log had proved it.",
}


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found."""

    gauges: Mapping[str, float]  #: Some of `GAUGES`.
    restarts: Mapping[str, int]  #: By kind of process.


async def look(
    settings: Settings,
    store: Store | None,
    *,
    ready: bool,
    certificate_expires: float | None,
    restarts: Mapping[str, int],
) -> Looked:
    """How it stands now. What cannot be looked at is left out; a store that does not answer is down."""
    found = {"valija_ready": float(ready)} | await _store(store) | await asyncio.to_thread(_files, settings)
    if certificate_expires is not None:
        found["valija_certificate_expiry_timestamp_seconds"] = certificate_expires
    return Looked(gauges=found, restarts=restarts)


async def _store(store: Store | None) -> dict[str, float]:
    began = time.monotonic()
    try:
        if store is None:
            return {"valija_store_up": 0}
        async with asyncio.timeout(store_s):
            lines = bytes(await store.run("INFO", "memory")).decode().splitlines()
    except (BrokerError, TimeoutError):
        return {"valija_store_up": 0}
    latency = time.monotonic() - began
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        "valija_store_up": 1,
        "valija_store_latency_seconds": latency,
        "valija_store_memory_bytes": float(info.get("used_memory", 0)),
        "valija_store_memory_max_bytes": float(info.get("maxmemory", 0)),
    }


def _files(settings: Settings) -> dict[str, float]:
    found: dict[str, float] = {}
    free = [shutil.disk_usage(path).free for path in settings.disks if path.exists()]
    if free:
        found["valija_disk_free_bytes"] = min(free)
    if settings.canary_path is not None:
        last = canary.read(settings.canary_path)
        found["valija_canary_last_success_timestamp_seconds"] = last.returned / 1000 if last else 0
        if last:
            found["valija_canary_round_trip_seconds"] = last.round_trip / 1000
    return found


def certificate_expires(path: Path) -> float | None:
    """When the first certificate of a PEM file expires, in seconds since 1970; None where none can be read."""
    from cryptography import x509  # noqa: PLC0415 - only where the broker ends TLS itself

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


class Collector:
    """What a look found, for a registry of prometheus_client."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked

    def collect(self) -> "Iterable[Metric]":
        """As prometheus_client asks."""
        # Whether counters are files is decided when it is imported, and what the nursery imports must find none here.
        from prometheus_client.core import (  # noqa: PLC0415
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        version = GaugeMetricFamily("valija_build_info", "Which release this is.", labels=["version"])
        version.add_metric([metadata.version("valija")], 1)
        restarts = CounterMetricFamily(
            "valija_child_restarts", "Processes that ended and were started again.", labels=["child"]
        )
        for child, count in self._looked.restarts.items():
            restarts.add_metric([child], count)
        yield version
        yield restarts
        for name, value in self._looked.gauges.items():
            yield GaugeMetricFamily(name, GAUGES[name], value=value)
