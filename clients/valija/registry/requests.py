"""Requests on their way into the directory: checked, answered with a challenge, and admitted.

The promise: nothing becomes an entry, and no entry gets other keys, before its holder has opened a challenge.

Before this room: `cli_points`. After it: `admission`, `entries`, `folder`, whose files it writes.
Rules: schemas/SPEC.md sections 1.6 and 4.4.
"""

from pathlib import Path

from valija import durable
from valija.errors import RegistryError
from valija.registry import admission, core, entries
from valija.registry.folder import Registry
from valija_schemas import limits


def check(registry: Registry, raw: bytes, *, new: bool, lost: bool = False) -> admission.Kept:
    """The request in `raw`, if it may become an entry, or, unless it is `new`, give one other keys.

    Raises:
        RegistryError: the contact point is in the directory already, or is not.
        AdmissionRefusedError: see `admission.check`.
    """
    asked = admission.read(raw, registry.store.origin).request
    id_ = asked.contact_point
    published = registry.directory.contact_points if registry.directory else ()
    point = next((point for point in published if point.id == id_ and point.status != "withdrawn"), None)
    if point is not None and new:
        raise RegistryError(f"{id_} is in the directory", hint="For other keys run `valija-registry rotate`.")
    if point is None and not new:
        raise RegistryError(f"{id_} is not in the directory", hint="It enters by `valija-registry admit`.")
    seen = registry.seen()
    if point is not None:
        active = {(use, public) for use, public, status, _ in admission.held_keys(point) if status == "active"}
        if active.issuperset(admission.asked_keys(asked)):
            raise RegistryError(f"{id_} has these keys already", hint="It makes new ones: `valija keys rotate`.")
        if seen.last_request(id_) is None and not lost:
            raise RegistryError(
                f"the last request of {id_} is not in this folder",
                hint="Copy `seen` from the folder in which it was admitted; if that is lost: `rotate --lost`.",
            )
    return admission.check(raw, seen, lost=lost)


def challenge(registry: Registry, kept: admission.Kept) -> Path:
    """Write a challenge for a request, keep what the answer must be, and return the file to send."""
    sealed, expected = admission.make_challenge(kept.request)
    folder = registry.path / "challenges"
    folder.mkdir(exist_ok=True)
    durable.write(folder / f"{kept.digest}.expected", expected.encode() + b"\n", mode=0o600, replace=True)
    # A crash here: the answer is expected and the challenge is lost; the next run makes both again.
    path = registry.path / f"{kept.request.contact_point}.challenge"
    durable.write(path, sealed, replace=True)
    return path


def admit(
    registry: Registry,
    raw: bytes,
    kept: admission.Kept,
    answer: bytes,
    *,
    days: int = core.directory_days_max,
    overlap_days: int = entries.overlap_days_default,
    now_ms: int | None = None,
) -> Path:
    """Add the contact point, or its new keys, to the draft, if `answer` shows that it holds its seal key.

    The keys that new ones replace are retired, to end in `overlap_days`.

    Raises:
        AdmissionRefusedError: it is not the answer.
        RegistryError: no challenge is on its way.
    """
    expected = registry.path / "challenges" / f"{kept.digest}.expected"
    if not expected.exists():
        raise RegistryError("no challenge was made for this request", hint="Run the same without --answer first.")
    admission.check_answer(answer, expected.read_text("ascii").strip())
    folder = registry.path / "seen"
    folder.mkdir(exist_ok=True)
    name = f"{kept.request.contact_point}.{kept.digest[:16]}.request"
    ends_ms = core.now(now_ms) + overlap_days * limits.DAY_MS
    draft = registry.draft_directory(
        entries.with_request(registry.points(), kept.request, ends_ms), days=days, now_ms=now_ms
    )
    # A crash here: the entry is drafted and the request not yet kept; the same command does the same once more.
    durable.write(folder / name, raw, replace=True)
    expected.unlink()
    (registry.path / f"{kept.request.contact_point}.challenge").unlink(missing_ok=True)
    return draft
