"""The limits that both sides keep, each with its reason. SPEC.md section 1.8.

They are checked before anything is decoded, so that a hostile byte string costs its reader no more than its length.
Limits that one broker may set for itself (quotas, rates, lease times) are settings of the broker, not of the format.
"""

from typing import Final

SECOND_MS: Final = 1_000
HOUR_MS: Final = 3_600 * SECOND_MS
DAY_MS: Final = 24 * HOUR_MS

note_bytes_max: Final = 16 * 1024  #: A message to 64 recipients needs about 9 KiB of note.
directory_bytes_max: Final = 8 * 1024 * 1024  #: A contact point takes about 4 KiB: room for two thousand.
body_bytes_max: Final = 1024 * 1024  #: The sealed document; files travel inside it.
message_bytes_max: Final = note_bytes_max + body_bytes_max
age_header_bytes_max: Final = 128 * 1024  #: 64 stanzas of 1.7 kB.
recipients_max: Final = 64
attachments_max: Final = 32  #: Reserved: a broker refuses a list that is not empty.
attachment_bytes_max: Final = 256 * 1024 * 1024
signatures_max: Final = 32
signature_line_bytes_max: Final = 5 * 1024  #: A line with an ML-DSA-44 signature takes 3.3 KiB.
officers_max: Final = 15
json_depth_max: Final = 16
integer_max: Final = 2**53 - 1  #: The largest that every JSON reader keeps exactly (RFC 8259 section 6).

sent_age_max_ms: Final = 72 * HOUR_MS  #: An outbox that was offline for longer seals again.
sent_ahead_max_ms: Final = 30 * SECOND_MS  #: Clocks of agencies are set by NTP; 30 s is generous.
lifetime_max_ms: Final = 30 * DAY_MS  #: From `sent` to `expires`.
lifetime_default_ms: Final = 7 * DAY_MS
directory_lifetime_max_ms: Final = 30 * DAY_MS
root_lifetime_max_ms: Final = 730 * DAY_MS
freshness_lifetime_max_ms: Final = 24 * HOUR_MS
superseded_directory_max_ms: Final = 7 * DAY_MS  #: How long a message may name an older directory.
retired_seal_key_max_ms: Final = 7 * DAY_MS  #: How long a retired seal key still receives.
order_age_max_ms: Final = 72 * HOUR_MS  #: How long after an operator's order it may still be carried out.
hold_max_ms: Final = 72 * HOUR_MS  #: A hold by operators: long enough for the officers to come together.
#: After a message's last event: longer than a message and a dead letter live.
openings_kept_min_ms: Final = 90 * DAY_MS

signature_window_max_ms: Final = 60 * SECOND_MS  #: Between `created` and `expires` of an HTTP signature.
signature_skew_max_ms: Final = 30 * SECOND_MS
nonce_bytes_min: Final = 16
wait_max_ms: Final = 60 * SECOND_MS  #: The longest long poll.
