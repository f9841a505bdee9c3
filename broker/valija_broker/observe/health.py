"""The look at each part, for monitors: the gravest finding of a part is its verdict. Pure.

Before this room: `observer`. After it: `attention`.
"""

from typing import Final, get_args

from valija_broker.batch import disk_free_bytes_min, memory_share_max
from valija_broker.config import Settings
from valija_broker.directory import utc
from valija_broker.observe.attention import Finding, behind
from valija_broker.observe.looks import Look
from valija_schemas import admin

PARTS: Final[tuple[str, ...]] = get_args(admin.Check.__annotations__["name"])

WORDS: Final[dict[str, str]] = {
    "broker-good": "All processes run and are ready.",
    "queue-good": "Messages that wait: {ready}, lent: {leased}. Nothing is stuck.",
    "log-good": "Leaves: {leaves}. Events that wait: {events}.",
    "log-empty": "Nothing has been published yet.",
    "directory-good": "Version {version}, until {time}.",
    "clock-good": "The clocks that there are to compare agree: {compared}.",
    "clock-alone": "There is no other clock to compare with: the store runs on this host, and no witness cosigned.",
    "storage-good": "There is room in the store's memory and on the disks.",
    "canary-good": "The canary came back after {ms} ms.",
    "canary-none": "No canary is set up.",
    "not-seen": "This could not be looked at: {error}.",
}  # fmt: skip

_WORST: Final[tuple[admin.Verdict, ...]] = ("critical", "warning", "ok", "unknown")


def health(look: Look, found: tuple[Finding, ...], settings: Settings) -> admin.Health:
    """Every look. What is not set up, or could not be looked at, is unknown and decides nothing beside the others."""
    checks = tuple(_check(part, look, found, settings) for part in PARTS)
    verdicts = {check.verdict for check in checks}
    return admin.Health(verdict=next(v for v in _WORST if v in verdicts), checks=checks)


def _check(part: str, look: Look, found: tuple[Finding, ...], settings: Settings) -> admin.Check:
    gravest = next((one.item for one in found if one.part == part and one.item.verdict != "ok"), None)
    values = _values(part, look)
    if gravest is not None:
        return _made(part, gravest.verdict, gravest.code, gravest.words, gravest.values, values)
    verdict, code, said = _good(part, look, settings)
    return _made(part, verdict, code, WORDS[code].format_map(said), said, values)


def _made(
    part: str, verdict: admin.Verdict, code: str, words: str, said: dict[str, str], values: dict[str, float]
) -> admin.Check:
    return admin.Check(name=part, verdict=verdict, code=code, words=words, said=said, values=values)  # type: ignore[arg-type]  # one of PARTS


def _good(part: str, look: Look, settings: Settings) -> tuple[admin.Verdict, str, dict[str, str]]:
    """What is to be said of a part of which nothing was found."""
    store = look.away.get("store")
    if part == "queue":
        ready, leased = sum(box.ready for box in look.boxes), sum(box.leased for box in look.boxes)
        return "ok", "queue-good", {"ready": str(ready), "leased": str(leased)}
    if part == "log":
        if look.outbox is None:
            return "unknown", "not-seen", {"error": store or ""}
        if look.checkpoint is None:
            return "ok", "log-empty", {}
        return "ok", "log-good", {"leaves": str(look.checkpoint.size), "events": str(look.outbox.events)}
    if part == "directory":
        if look.expires is None:
            return "unknown", "not-seen", {"error": store or ""}
        return "ok", "directory-good", {"version": str(look.directory), "time": utc(look.expires or 0)}
    if part == "clock":
        compared = [name for name, _ in look.checkpoint.witnesses] if look.checkpoint else []
        if look.server is not None and settings.store.url and not settings.store.url.startswith("unix:"):
            compared.append("store")
        return ("ok", "clock-good", {"compared": ", ".join(compared)}) if compared else ("unknown", "clock-alone", {})
    if part == "storage" and look.server is None:
        return "unknown", "not-seen", {"error": store or ""}
    if part == "canary":
        if look.canary is None:
            return "unknown", "canary-none", {}
        return "ok", "canary-good", {"ms": str(look.canary.round_trip)}
    return "ok", f"{part}-good", {}


def _values(part: str, look: Look) -> dict[str, float]:
    """Figures of a part, for monitors that draw."""
    found: dict[str, float] = {}
    if part == "queue" and "store" not in look.away:
        waiting = [box.oldest for box in look.boxes if box.oldest is not None]
        found = {name: float(sum(getattr(box, name) for box in look.boxes)) for name in ("ready", "leased", "dead")}
        found["oldest_age_s"] = (look.time - min(waiting, default=look.time)) / 1000
        found["stuck"] = float(len(look.stuck))
    elif part == "log":
        if look.outbox is not None:
            found["outbox_events"] = float(look.outbox.events)
            found["outbox_oldest_age_s"] = max(look.time - (look.outbox.oldest or look.time), 0) / 1000
        if look.checkpoint is not None:
            found["leaves"], found["cosignatures"] = float(look.checkpoint.size), float(len(look.checkpoint.witnesses))
            if look.checkpoint.log_time_s is not None:
                found["checkpoint_age_s"] = max(look.time - look.checkpoint.log_time_s * 1000, 0) / 1000
    elif part == "directory" and look.expires is not None:
        found = {"version": float(look.directory), "expires_in_s": (look.expires - look.time) / 1000}
    elif part == "clock":
        if look.server is not None:
            found = {"store_ahead_s": look.server.ahead_ms / 1000, "store_future_s": look.server.future_ms / 1000}
        found["witness_behind_s"] = float(max((seconds for _, seconds in behind(look)), default=0))
    elif part == "storage":
        if look.disks:
            found["free_bytes"] = float(min(disk.free_bytes for disk in look.disks))
            found["free_bytes_min"] = float(disk_free_bytes_min)
        if look.server is not None:
            found["memory_bytes"] = float(look.server.used_bytes)
            found["memory_bytes_max"] = float(int(look.server.bytes_max * memory_share_max))
    elif part == "canary" and look.canary is not None:
        found["age_s"] = max(look.time - look.canary.returned, 0) / 1000
        found["round_trip_s"] = look.canary.round_trip / 1000
    return found
