"""What the verified directory means for us: how long it holds, whether it names our keys, whom we may write to.

Pure: a directory, our keys and a time come in, lines go out.

Before this room: `checkup`, `cli`. After it: `doctor`, which holds the report. Rules: SPEC.md sections 1.6 and 4.
"""

from typing import Final

from valija.doctor import Report
from valija.errors import (
    DirectoryExpiredError,
    EnrolmentError,
    KeyMissingError,
    RecipientError,
    TrustError,
)
from valija.key_file import KeyFile
from valija.keyring import Keyring
from valija.keys import Keys, holds
from valija_schemas import limits
from valija_schemas.directory import ContactPoint, Freshness, Key, Phonebook, Roots, SealKey
from valija_schemas.keys import fingerprint

root_days_min: Final = 60  #: A new root needs officers of several organisations in one place, or by post.
directory_days_min: Final = 5  #: Officers sign one within a working week.
key_age_days_max: Final = 365  #: A seal key opens all that was ever sealed to it; keys are changed once a year.
_names_max: Final = 12  #: A longer list is counted.


def examine_validity(
    report: Report, roots: Roots, phonebook: Phonebook, freshness: Freshness | None, now_ms: int, *, offline: bool
) -> None:
    """Root, directory and freshness: which, and until when."""
    for check, version, expires, days_min in (
        ("root", roots.newest.version, roots.newest.expires, root_days_min),
        ("directory", phonebook.version, phonebook.directory.expires, directory_days_min),
    ):
        left = expires - now_ms
        text = f"version {version}, verified from the root that is installed here"
        if left <= 0:
            error = DirectoryExpiredError(f"version {version} has run out: nothing may be sent")
            report.wrong(check, error)
        elif left < days_min * limits.DAY_MS:
            report.warning(check, f"{text}; it ends in {_span(left)}", "Ask the registry officers for the next one.")
        else:
            report.ok(check, f"{text}, for {_span(left)} more")
    if freshness is None or freshness.expires <= now_ms:
        text = "the broker has not said lately which directory is the newest: nothing may be sent until it does"
        if offline:
            report.warning("freshness", text, "Run `valija doctor` again while the broker can be reached.")
        else:
            report.wrong("freshness", DirectoryExpiredError(text))
    else:
        newest = f"directory version {freshness.version} is the newest"
        report.ok("freshness", f"the broker says that {newest}, for {_span(freshness.expires - now_ms)} more")


def examine_ourselves(report: Report, keys: Keys, phonebook: Phonebook, now_ms: int) -> None:
    """Our entry, our keys against it, and the routes from us."""
    point = phonebook.point(keys.id)
    if point is None:
        hint = "Give the request that `valija init` wrote to the officers, or wait until they have published it."
        report.wrong("entry", EnrolmentError(f"{keys.id} is not in directory version {phonebook.version}", hint=hint))
        return
    if point.status == "active":
        report.ok("entry", f"{point.id} is active: {point.name}, {point.area}, {point.state or point.organisation}")
    else:
        hint = "Call a registry officer: the officers decided this, and they undo it."
        report.wrong("entry", RecipientError(f"{point.id} is {point.status}: nothing is sent or received", hint=hint))
    _examine_keys(report, keys, point, now_ms)
    _examine_routes(report, point, phonebook)


def _examine_keys(report: Report, keys: Keys, point: ContactPoint, now_ms: int) -> None:
    newest = {"sign": keys.sign.public.hex(), "auth": keys.auth.public.hex()}
    keyring = keys.keyring if isinstance(keys, KeyFile) else keys if isinstance(keys, Keyring) else None
    made = {key.public: key.created_ms for key in keyring.held} if keyring else {}
    if keyring:
        newest["seal"] = next(key.public for key in keyring.held if key.seal is keyring.seal)
    for use, named in (("sign", point.sign), ("seal", point.seal), ("auth", point.auth)):
        check = f"{use} key"
        active = [key for key in named if key.status == "active"]
        held = [key for key in active if holds(keys, use, _name(key))]
        if not held:
            what = f"the {_short(active[0])} that the directory names" if active else "one that the directory names"
            hint = "Use the keyring whose keys the officers admitted; or ask them to admit those that you have."
            report.wrong(check, KeyMissingError(f"this keyring does not hold {what}", hint=hint))
            continue
        mine = newest.get(use, held[0].key)
        status = next((key.status for key in named if key.key == mine), None)
        age_days = (now_ms - made.get(held[0].key, now_ms)) // limits.DAY_MS
        text = f"{_short(held[0])} is active" + (f", {age_days} days old" if held[0].key in made else "")
        if status == "revoked":
            report.wrong(
                check, TrustError("the newest key of this keyring is revoked", hint="Call a registry officer.")
            )
        elif status is None:
            report.warning(
                check,
                f"{text}; a newer one is here, which the directory does not name yet",
                "Give the newest request to the officers; the change happens by itself.",
            )
        elif age_days > key_age_days_max:
            report.warning(check, text, "Change the keys once a year: valija keys rotate")
        else:
            report.ok(check, text)
        missing = [key for key in named if _is_needed(key, now_ms) and not holds(keys, use, _name(key))]
        if use == "seal" and missing:
            report.warning(
                check,
                f"the retired {_short(missing[0])} is not here; mail that is sealed to it cannot be opened",
                "Restore the keyring that holds it, at the latest 7 days after it was retired.",
            )


def _examine_routes(report: Report, point: ContactPoint, phonebook: Phonebook) -> None:
    directory = phonebook.directory
    others = [other for other in directory.contact_points if other.status == "active" and other.id != point.id]
    found = False
    for type_ in sorted(phonebook.types):
        to = [other.id for other in others if phonebook.allows(type_, point, other)]
        if to:
            found = True
            named = ", ".join(to) if len(to) <= _names_max else f"{len(to)} contact points"
            report.ok("routes", f"{type_} to {named}")
    if not found:
        report.warning("routes", f"no route leads from {point.area} to anybody", "Ask the registry officers.")


def _is_needed(key: Key | SealKey, now_ms: int) -> bool:
    """Whether a key that was retired still receives."""
    return key.status == "retired" and key.ended is not None and now_ms < key.ended + limits.retired_seal_key_max_ms


def _name(key: Key | SealKey) -> str:
    return key.key_id if isinstance(key, SealKey) else key.key


def _short(key: Key | SealKey) -> str:
    public = key.public if isinstance(key, SealKey) else bytes.fromhex(key.key)
    return f"key {fingerprint(public)[:19]}"


def _span(left_ms: int) -> str:
    if left_ms < 2 * limits.DAY_MS:
        return f"{left_ms // limits.HOUR_MS} hours"
    return f"{left_ms // limits.DAY_MS} days"
