"""The versions of the directory that the broker serves, each with what it changed, in the words that officers signed.

Before this room: `observer`. After it: `shelves`, `valija_schemas.changes`.
"""

from typing import Final

from valija_broker.directory import Known
from valija_broker.shelves import DirectoryShelf
from valija_schemas import admin, changes, limits, wire
from valija_schemas import note as notes
from valija_schemas.directory import Directory

versions_max: Final = 50  #: Shown, the newest.
lines_max: Final = 500  #: Of what one changes: the first changes everything.

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
                    contact_points=len(value.contact_points), changes=_lines(before, value),
                )
            )  # fmt: skip
        before = value
    return tuple(reversed(found))


def _lines(before: Directory | None, after: Directory) -> tuple[str, ...]:
    lines = changes.changes(before, after)
    more = len(lines) - lines_max
    return (*lines[:lines_max], f"... and {more} lines more: valija-registry diff") if more > 0 else tuple(lines)
