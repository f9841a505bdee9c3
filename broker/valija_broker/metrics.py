"""What is counted, for Prometheus. No metric names a sender together with a recipient, a case, or a message.

A contact point is a label only where a number for each is needed: its mailbox. What the supervisor knows by itself,
the store, the disk, the canary, is in `scrape`. Every one stands in deploy/RUNBOOK.md, section 2.

Each process counts in files of its own (prometheus_client's multiprocess mode) and the supervisor merges them, so
that one /metrics speaks for all. The variable PROMETHEUS_MULTIPROC_DIR must be set before this module is imported.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

accepted: Final = Counter(
    "valija_messages_accepted", "Messages accepted, those of exercises left out.", ["type", "priority"]
)
exercises: Final = Counter("valija_exercises_accepted", "Messages accepted that are marked as an exercise.")
payload: Final = Counter(
    "valija_payload_bytes", "Bytes of messages taken in, and of messages lent; exercises among them.", ["direction"]
)
rejected: Final = Counter("valija_messages_rejected", "Messages refused, by problem code.", ["reason"])
repeated: Final = Counter("valija_duplicates_suppressed", "Messages that were accepted before and were sent again.")
lent: Final = Counter("valija_messages_lent", "Messages lent to a worker of their recipient.")
lent_again: Final = Counter("valija_messages_lent_again", "Of those, the ones lent before.")
undone: Final = Counter("valija_leases_undone", "Leases taken back because the reply could not be written.")
acknowledged: Final = Counter("valija_messages_acknowledged", "Receipts taken.", ["event"])
died: Final = Counter("valija_messages_deadlettered", "Messages that went to the dead letters.", ["reason"])
time_to_collect: Final = Histogram(
    "valija_time_to_collect_seconds",
    "From a message's acceptance to a recipient's receipt, exercises left out.",
    buckets=(1, 5, 15, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 86_400, 3 * 86_400, 7 * 86_400),
)
signature_failures: Final = Counter("valija_signature_failures", "Requests with a signature that does not hold.")
requests: Final = Histogram(
    "valija_http_request_duration_seconds",
    "Time to answer, long polls included.",
    ["route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
clock_skew: Final = Histogram(
    "valija_clock_skew_seconds",
    "By how much the caller's clock was behind ours, the way of the request included; requests that were let in.",
    buckets=(-3, -1, 0, 1, 2, 3, 5, 10, 30, 60),
)
connections_closed: Final = Counter(
    "valija_connections_closed", "Connections ended by us: over a deadline, or to make room.", ["why"]
)
events: Final = Counter("valija_evidence_events", "Events recorded in the evidence store.", ["event"])
erased: Final = Counter("valija_openings_erased", "Openings erased, by age or by order.")
append: Final = Histogram(
    "valija_log_append_duration_seconds",
    "Time to commit a batch of events with the checkpoint over it.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
log_leaves: Final = Gauge("valija_log_leaves", "Leaves of the log.", multiprocess_mode="mostrecent")
log_cosignatures: Final = Gauge(
    "valija_log_cosignatures", "Witnesses that cosigned the newest checkpoint.", multiprocess_mode="mostrecent"
)
log_quorum: Final = Gauge(
    "valija_log_quorum",
    "Witnesses that must cosign a checkpoint, by the root in force.",
    multiprocess_mode="mostrecent",
)
log_checkpoint: Final = Gauge(
    "valija_log_checkpoint_timestamp_seconds", "When the log signed the newest published checkpoint.",
    multiprocess_mode="mostrecent",
)  # fmt: skip
log_cosigned: Final = Gauge(
    "valija_log_cosignature_timestamp_seconds", "When a witness last cosigned a published checkpoint.", ["witness"],
    multiprocess_mode="mostrecent",
)  # fmt: skip
unreadable: Final = Counter("valija_outbox_unreadable", "Entries of the outbox that were altered, and stay there.")
outbox: Final = Gauge("valija_outbox_events", "Events waiting for the evidence store.", multiprocess_mode="mostrecent")
directory: Final = Gauge("valija_directory_version", "Directory version in force.", multiprocess_mode="livemin")
directory_issued: Final = Gauge(
    "valija_directory_issued_timestamp_seconds", "When the directory was issued.", multiprocess_mode="mostrecent"
)
directory_expires: Final = Gauge(
    "valija_directory_expiry_timestamp_seconds", "When the directory expires.", multiprocess_mode="mostrecent"
)
queued: Final = Gauge(
    "valija_queue_messages", "Messages in a mailbox.", ["mailbox", "state"], multiprocess_mode="mostrecent"
)
oldest: Final = Gauge(
    "valija_queue_oldest_age_seconds", "Age of the oldest waiting message.", ["mailbox"], multiprocess_mode="mostrecent"
)
held: Final = Gauge("valija_contact_points_held", "Contact points that operators hold.", multiprocess_mode="mostrecent")
expired: Final = Counter("valija_messages_expired", "Messages that expired before a recipient took them.")

# Alerts look at how much these grow, and growth from nothing to 1 is not seen: they begin at 0.
DEATHS: Final = ("attempts", "unverified", "corrupt")
for _reason in DEATHS:
    died.labels(_reason)
rejected.labels("conflict")
payload_in: Final = payload.labels("in")
payload_out: Final = payload.labels("out")
