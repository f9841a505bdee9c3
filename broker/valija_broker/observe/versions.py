"""The versions of the directory that the broker serves, each with what it changed, in words.

Before this room: `observer`. After it: `shelves`.
"""

from collections.abc import Iterator
from typing import Final

from valija_broker.directory import Known
from valija_broker.shelves import DirectoryShelf
from valija_schemas import admin, limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import ContactPoint, Directory, Key, SealKey

versions_max: Final = 50  #: Shown, the newest.

_read: Final = wire.Decoder(Directory, limits.directory_bytes_max)


async def versions(known: Known, shelf: DirectoryShelf) -> tuple[admin.DirectoryVersion, ...]:
    """The newest versions, the newest first.

    Raises:
        StoreUnavailable: the store could not be reached.
    """
    newest = known.reference[0]
    found: list[admin.DirectoryVersion] = []
    before: Directory | None = None
    for number in range(max(1, newest - versions_max), newest + 1):
        raw = await shelf.directory(number)
        try:
            note = notes.parse(raw or b"", limits.directory_bytes_max)
        except notes.NoteError:
            note = None
        if note is None or note.digest != known.digest(
            number
        ):  # the shelf was altered: only what was verified is shown
            before = None
            continue
        value = _read(note.json)
        if number > newest - versions_max:
            found.append(
                admin.DirectoryVersion(
                    version=number, digest=note.digest, root=value.root, issued=value.issued, expires=value.expires,
                    contact_points=len(value.contact_points), changes=tuple(changes(before, value)),
                )
            )  # fmt: skip
        before = value
    return tuple(reversed(found))


def changes(before: Directory | None, after: Directory) -> Iterator[str]:
    """What `after` says differently, a line each."""
    old = {point.id: point for point in before.contact_points} if before else {}
    new = {point.id: point for point in after.contact_points}
    for id_ in sorted(old.keys() | new.keys()):
        if id_ not in old:
            yield f"+ {id_}, {new[id_].name}"
        elif id_ not in new:
            yield f"- {id_}"
        else:
            yield from _point(old[id_], new[id_])
    for name in ("routes", "treaties", "bilateral"):
        was, now = set(getattr(before, name)) if before else set(), set(getattr(after, name))
        if was != now:
            yield f"~ {name}: {len(now - was)} more, {len(was - now)} fewer"


def _point(old: ContactPoint, new: ContactPoint) -> Iterator[str]:
    for name in ("status", "name", "area", "state", "organisation"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"~ {new.id}: {name} {was} becomes {now}"
    for use in ("sign", "seal", "auth"):
        was_keys: dict[str, str] = {key.key: key.status for key in getattr(old, use)}
        for key in getattr(new, use):
            yield from _key(new.id, use, was_keys.get(key.key), key)


def _key(id_: str, use: str, was: str | None, key: Key | SealKey) -> Iterator[str]:
    if was is None:
        yield f"~ {id_}: a new {use} key"
    elif was != key.status:
        yield f"~ {id_}: a {use} key is {key.status}"
