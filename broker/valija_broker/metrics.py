"""What is counted, for Prometheus. No metric names a sender together with a recipient, a case, or a message.

Each process counts in files of its own (prometheus_client's multiprocess mode) and the supervisor merges them, so
that one /metrics speaks for all. The variable PROMETHEUS_MULTIPROC_DIR must be set before this module is imported.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

accepted: Final = Counter(
    "valija_messages_accepted", "Messages accepted, those of exercises left out.", ["type", "priority"]
)
exercises: Final = Counter("valija_exercises_accepted", "Messages accepted that are marked as an exercise.")
rejected: Final = Counter("valija_messages_rejected", "Messages refused, by problem code.", ["reason"])
repeated: Final = Counter("valija_duplicates_suppressed", "Messages that were accepted before and were sent again.")
lent: Final = Counter("valija_messages_lent", "Messages lent to a worker of their recipient.")
lent_again: Final = Counter("valija_messages_lent_again", "Of those, the ones lent before.")
undone: Final = Counter("valija_leases_undone", "Leases taken back because the reply could not be written.")
acknowledged: Final = Counter("valija_messages_acknowledged", "Receipts taken.", ["event"])
signature_failures: Final = Counter("valija_signature_failures", "Requests with a signature that does not hold.")
requests: Final = Histogram(
    "valija_http_request_duration_seconds",
    "Time to answer, long polls included.",
    ["route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
connections_closed: Final = Counter(
    "valija_connections_closed", "Connections ended by us: over a deadline, or to make room.", ["why"]
)
events: Final = Counter("valija_evidence_events", "Events recorded in the evidence store.", ["event"])
erased: Final = Counter("valija_openings_erased", "Openings erased, by age or by order.")
log_leaves: Final = Gauge("valija_log_leaves", "Leaves of the log.", multiprocess_mode="mostrecent")
log_cosignatures: Final = Gauge(
    "valija_log_cosignatures", "Witnesses that cosigned the newest checkpoint.", multiprocess_mode="mostrecent"
)
unreadable: Final = Counter("valija_outbox_unreadable", "Entries of the outbox that were altered, and stay there.")
outbox: Final = Gauge("valija_outbox_events", "Events waiting for the evidence store.", multiprocess_mode="mostrecent")
directory: Final = Gauge("valija_directory_version", "Directory version in force.", multiprocess_mode="livemin")
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
