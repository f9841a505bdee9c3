"""What a person should look at, from the figures of one look. Pure: a `Look` in, findings out.

Each threshold stands here with its reason, and is the same in the overview and in the checks for monitors. Those that
Prometheus can know as well are those of deploy/prometheus/alerts.yml, too.

Before this room: `observer`, `health`. After it: nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from valija_broker.batch import disk_free_bytes_min, memory_share_max
from valija_broker.config import Settings
from valija_broker.directory import utc
from valija_broker.observe.looks import Look
from valija_schemas import admin, limits
from valija_schemas.admin import Attention, Verdict

MINUTE_MS: Final = 60 * limits.SECOND_MS

stuck_ms: Final = 15 * MINUTE_MS  #: A program is started again, or updated, in less; it asks all the time.
each_max: Final = 10  #: Findings of one kind that are named one by one; the rest is counted.
events_wait_ms: Final = 30 * limits.SECOND_MS  #: Upkeep empties the outbox within 250 ms when it is well.
events_late_ms: Final = 60 * limits.SECOND_MS  #: From then on clients alarm: what was promised is not in the log.
outbox_events_many: Final = 10_000  #: Some seconds of full load; more means that upkeep does not keep up.
directory_soon_ms: Final = 7 * limits.DAY_MS  #: Officers have to meet, and agencies to take the new version.
directory_now_ms: Final = limits.DAY_MS
memory_near: Final = 0.7  #: Of the store's memory; nothing new is accepted above `memory_share_max`.
disk_near: Final = 4  #: Times `disk_free_bytes_min`: days of mail on a usual disk.
clock_off_ms: Final = limits.SECOND_MS  #: Between hosts with NTP it is a hundredth of that.
clock_refused_ms: Final = 5 * limits.SECOND_MS  #: The functions of the store refuse such a caller (common.lua).
witness_behind_s: Final = 5  #: A witness signs after the log: dated earlier, one clock of both is wrong.
canary_late_ms: Final = 5 * MINUTE_MS  #: One is sent each minute.
canary_slow_ms: Final = 15 * limits.SECOND_MS  #: It takes about one second.

WORDS: Final[dict[str, str]] = {
    "broker-away": "The broker does not answer on its metrics listener: {error}.",
    "broker-not-ready": "The broker is not ready. What is missing: {missing}.",
    "store-away": "The store does not answer: {error}. Until it does, nothing is accepted and nothing is lent.",
    "evidence-away": "The evidence database cannot be read: {error}.",
    "log-away": "The published checkpoint cannot be read, or is not this log's: {error}.",
    "disk-away": "A disk cannot be looked at: {error}.",
    "mailbox-stuck": "Mail for {contact_point} has waited for {minutes} minutes, and nobody collects it.",
    "mailboxes-stuck": "Mailboxes beyond those named, in which mail waits and nobody collects it: {count}.",
    "dead-letters": "Dead letters: {count}. Nobody managed to take them, and only a person can settle them.",
    "events-wait": "What happened {seconds} seconds ago is not in the log yet. Events that wait: {count}.",
    "outbox-growing": "Events that wait for the evidence store: {count}. At {allowed} nothing new is accepted.",
    "quorum-lacking": "Witnesses that cosigned the newest checkpoint: {have}. The root asks for {quorum}.",
    "witness-away": "{witness} has not cosigned the newest checkpoint.",
    "directory-none": "No directory has been published. Nothing is accepted before the first.",
    "directory-expires-now": "The directory, or its root, expires on {time}, in less than {hours} h. "
    "Then nothing is accepted.",
    "directory-expires": "The directory, or its root, expires on {time}, in {days} days. Then nothing is accepted.",
    "directory-expired": "The directory, or its root, expired on {time}. Nothing is accepted until there is a new one.",
    "keys-retired": "{contact_point} is active and has no active key of some use: it cannot take part.",
    "keys-retired-more": "Active contact points beyond those named that have no active key of some use: {count}.",
    "hold": "Operators hold {contact_point} until {time}.",
    "holds": "Contact points beyond those named that operators hold: {count}.",
    "clock-store": "The clock of the store's host and the one here are {ms} ms apart.",
    "clock-back": "What was done last in the store is dated {ms} ms ahead: a clock was put back.",
    "clock-witness": "{witness} dates its cosignature {seconds} s before the log: the clock here is ahead, or its own"
    " is behind.",
    "store-not-writing": "The store could not write its append-only file. Look after its disk.",
    "memory-near": "Memory of the store in use: {percent} %. Above {stop} % nothing new is accepted.",
    "memory-full": "Memory of the store in use: {percent} %. Nothing new is accepted until it is below {stop} %.",
    "disk-near": "Free on the disk of {folder}: {mib} MiB. Below {stop} MiB nothing new is accepted.",
    "disk-full": "Free on the disk of {folder}: {mib} MiB. Nothing new is accepted until there are {stop} MiB.",
    "canary-late": "The canary came back {minutes} minutes ago for the last time.",
    "canary-slow": "The canary needed {seconds} s to come back.",
    "canary-never": "The canary has not come back yet.",
}  # fmt: skip

_GRAVITY: Final[dict[Verdict, int]] = {"critical": 0, "warning": 1, "unknown": 2, "ok": 3}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One matter, and which part it belongs to."""

    part: str  #: The name of an `admin.Check`.
    item: Attention


def findings(look: Look, settings: Settings) -> tuple[Finding, ...]:
    """Everything that a person should look at, the gravest first."""
    found = [
        *_broker(look),
        *_queue(look),
        *_log(look, settings),
        *_directory(look),
        *_clock(look),
        *_storage(look),
        *_canary(look),
    ]
    return tuple(sorted(found, key=lambda finding: _GRAVITY[finding.item.verdict]))


def finding(part: str, code: str, verdict: Verdict, *, place: str = "", command: str = "", **values: str) -> Finding:
    """One, with the words of its code."""
    return Finding(
        part=part,
        item=Attention(
            code=code,
            verdict=verdict,
            words=WORDS[code].format_map(values),
            values=values,
            place=place or "/health",
            command=command or f"valija-broker check {part}",
        ),
    )


def _broker(look: Look) -> Iterator[Finding]:
    if "broker" in look.away:
        yield finding("broker", "broker-away", "critical", error=look.away["broker"])
    elif look.missing:
        yield finding("broker", "broker-not-ready", "critical", missing=look.missing)


def _queue(look: Look) -> Iterator[Finding]:
    if "store" in look.away:
        yield finding("queue", "store-away", "critical", error=look.away["store"])
    held = {name for name, _ in look.holds}
    stuck = [box for box in look.stuck if box.status == "active" and box.id not in held]  # else they may not collect
    stuck.sort(key=lambda box: box.oldest or 0)
    for box in stuck[:each_max]:
        minutes = (look.time - (box.oldest or look.time)) // MINUTE_MS
        yield finding(
            "queue", "mailbox-stuck", "warning", place=f"/contact-points/{box.id}",
            command=f"valija-broker contact-points show {box.id}", contact_point=box.id, minutes=str(minutes),
        )  # fmt: skip
    if stuck[each_max:]:
        yield finding(
            "queue", "mailboxes-stuck", "warning", place="/contact-points", command="valija-broker queues",
            count=str(len(stuck) - each_max),
        )  # fmt: skip
    if dead := sum(box.dead for box in look.boxes):
        yield finding(
            "queue", "dead-letters", "warning", place="/dead-letters", command="valija-broker dead groups",
            count=str(dead),
        )  # fmt: skip
    for name, until in look.holds[:each_max]:
        yield finding(
            "queue", "hold", "ok", place=f"/contact-points/{name}", command="valija-broker hold list",
            contact_point=name, time=utc(until),
        )  # fmt: skip
    if look.holds[each_max:]:
        yield finding(
            "queue", "holds", "ok", place="/contact-points", command="valija-broker hold list",
            count=str(len(look.holds) - each_max),
        )  # fmt: skip


def _log(look: Look, settings: Settings) -> Iterator[Finding]:
    for part in ("evidence", "log"):
        if part in look.away:
            yield finding("log", f"{part}-away", "critical", error=look.away[part])
    if look.outbox is not None:
        waited = look.time - look.outbox.oldest if look.outbox.oldest is not None else 0
        if waited > events_wait_ms:
            verdict: Verdict = "critical" if waited > events_late_ms else "warning"
            yield finding(
                "log", "events-wait", verdict, place="/log", command="valija-broker log show",
                seconds=str(waited // limits.SECOND_MS), count=str(look.outbox.events),
            )  # fmt: skip
        if look.outbox.events > outbox_events_many:
            yield finding(
                "log", "outbox-growing", "critical", place="/log", command="valija-broker log show",
                count=str(look.outbox.events), allowed=str(settings.quotas.outbox_events_max),
            )  # fmt: skip
    if look.checkpoint is not None and look.policy is not None:
        names = {name for name, _ in look.checkpoint.witnesses}
        if not look.checkpoint.complete:
            yield finding(
                "log",
                "quorum-lacking",
                "warning",
                place="/log",
                command="valija-broker log show",
                have=str(len(names)),
                quorum=str(look.policy.quorum),
            )
        for witness in look.policy.witnesses:
            if witness.name not in names:
                yield finding(
                    "log",
                    "witness-away",
                    "warning",
                    place="/log",
                    command="valija-broker log show",
                    witness=witness.name,
                )


def _directory(look: Look) -> Iterator[Finding]:
    if look.expires is None:
        if "store" in look.away:  # where it lies: that is what is to be said
            return
        yield finding("directory", "directory-none", "critical", place="/directory")
    elif look.expires <= look.time:
        yield finding("directory", "directory-expired", "critical", place="/directory", time=utc(look.expires))
    elif (left := look.expires - look.time) < directory_soon_ms:
        if left < directory_now_ms:
            yield finding(
                "directory", "directory-expires-now", "critical", place="/directory", time=utc(look.expires),
                hours=str(-(-left // limits.HOUR_MS)),
            )  # fmt: skip
        else:
            yield finding(
                "directory", "directory-expires", "warning", place="/directory", time=utc(look.expires),
                days=str(left // limits.DAY_MS),
            )  # fmt: skip
    for name in look.keyless[:each_max]:
        yield finding(
            "directory", "keys-retired", "warning", place=f"/contact-points/{name}",
            command=f"valija-broker contact-points show {name}", contact_point=name,
        )  # fmt: skip
    if look.keyless[each_max:]:
        yield finding(
            "directory", "keys-retired-more", "warning", place="/contact-points",
            command="valija-broker contact-points", count=str(len(look.keyless) - each_max),
        )  # fmt: skip


def behind(look: Look) -> tuple[tuple[str, int], ...]:
    """Witnesses whose cosignature is dated before the log's own signature, and by how many seconds.

    Nothing is said of one that is dated after it: it may have been asked late.
    """
    at = look.checkpoint
    if at is None or at.log_time_s is None:
        return ()
    return tuple((name, at.log_time_s - time) for name, time in at.witnesses if time < at.log_time_s)


def _clock(look: Look) -> Iterator[Finding]:
    if look.server is not None and abs(look.server.ahead_ms) > clock_off_ms:
        verdict: Verdict = "critical" if abs(look.server.ahead_ms) > clock_refused_ms else "warning"
        yield finding("clock", "clock-store", verdict, ms=str(abs(look.server.ahead_ms)))
    if look.server is not None and look.server.future_ms > clock_off_ms:
        yield finding("clock", "clock-back", "warning", ms=str(look.server.future_ms))
    for name, seconds in behind(look):
        if seconds > witness_behind_s:
            yield finding(
                "clock",
                "clock-witness",
                "warning",
                place="/log",
                command="valija-broker log show",
                witness=name,
                seconds=str(seconds),
            )


def _storage(look: Look) -> Iterator[Finding]:
    if look.server is not None:
        if not look.server.writes:
            yield finding("storage", "store-not-writing", "critical")
        share = look.server.used_bytes / look.server.bytes_max if look.server.bytes_max else 0.0
        if share > memory_near:
            full = share > memory_share_max
            yield finding(
                "storage", "memory-full" if full else "memory-near", "critical" if full else "warning",
                percent=f"{share:.0%}"[:-1], stop=f"{memory_share_max:.0%}"[:-1],
            )  # fmt: skip
    if "disk" in look.away:
        yield finding("storage", "disk-away", "critical", error=look.away["disk"])
    for disk in look.disks:
        if disk.free_bytes < disk_near * disk_free_bytes_min:
            full = disk.free_bytes < disk_free_bytes_min
            yield finding(
                "storage", "disk-full" if full else "disk-near", "critical" if full else "warning",
                folder=disk.folder, mib=str(disk.free_bytes >> 20), stop=str(disk_free_bytes_min >> 20),
            )  # fmt: skip


def _canary(look: Look) -> Iterator[Finding]:
    if not look.canary_configured:
        return
    if look.canary is None:
        yield finding("canary", "canary-never", "warning")
        return
    since = look.time - look.canary.returned
    if since > canary_late_ms:
        yield finding("canary", "canary-late", "critical", minutes=str(since // MINUTE_MS))
    elif look.canary.round_trip > canary_slow_ms:
        yield finding("canary", "canary-slow", "warning", seconds=str(look.canary.round_trip // limits.SECOND_MS))


def items(found: Iterable[Finding]) -> tuple[admin.Attention, ...]:
    """What the overview shows."""
    return tuple(finding.item for finding in found)
