"""What officers change in what was agreed: cells of the table of treaties, and bilateral types. Values in, values out.

Before this room: `cli_agreements`. After it: `core`, which makes the text to sign. Rules: schemas/SPEC.md section 4.2.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from valija.errors import RegistryError
from valija.registry import files
from valija_schemas.agreements import Bilateral, Treaty, treaties_fault

_SEE_TREATIES: Final = "Nothing was changed; see `valija-registry treaty list`."
_SEE_BILATERAL: Final = "Nothing was changed; see `valija-registry bilateral list`."


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML file of `[[treaty]]`, each with the fields of a cell; `since` may be left out, days may be TOML dates."""

    treaty: list[dict[str, Any]]


def cell(**fields: object) -> Treaty:
    """One cell of the table.

    Raises:
        RegistryError: it has no valid form.
    """
    try:
        found = msgspec.convert({"since": None, **fields}, Treaty)
    except msgspec.ValidationError as error:
        raise RegistryError(f"this is no cell of the table: {error}", hint="Nothing was changed.") from None
    return _checked([found])[0]


def read_table(path: Path) -> tuple[Treaty, ...]:
    """The cells that a TOML file lists, in order.

    Raises:
        ConfigError: it is not there, or not of this form.
        RegistryError: a cell stands twice, or says what cannot be.
    """
    listed = files.read(path, _File).treaty
    found = [cell(**{name: _text(value) for name, value in row.items()}) for row in listed]
    return _checked(sorted(found, key=_key))


def with_cells(before: Iterable[Treaty], cells: Iterable[Treaty]) -> tuple[Treaty, ...]:
    """The table with `cells` in it, each in place of what was said there.

    Raises:
        RegistryError: all of them say what is said.
    """
    old = {_key(treaty): treaty for treaty in before}
    new = old | {_key(treaty): treaty for treaty in cells}
    if new == old:
        raise RegistryError("the table says this already", hint=_SEE_TREATIES)
    return tuple(new[key] for key in sorted(new))


def without_cells(before: Iterable[Treaty], state: str, instruments: Collection[str]) -> tuple[Treaty, ...]:
    """The table with nothing said of a State and these treaties.

    Raises:
        RegistryError: nothing was said of one of them.
    """
    rows = list(before)
    after = tuple(row for row in rows if row.state != state or row.instrument not in instruments)
    if len(rows) - len(after) != len(set(instruments)):
        raise RegistryError(
            f"the table does not say all of this of {state}",
            hint=_SEE_TREATIES,
        )
    return after


def with_bilateral(before: Iterable[Bilateral], added: Bilateral) -> tuple[Bilateral, ...]:
    """The bilateral types with one more, or with another schema of it.

    Raises:
        RegistryError: it is there with this schema.
    """
    others = [each for each in before if (each.type, each.between) != (added.type, added.between)]
    if added in before:
        raise RegistryError("this is agreed already", hint=_SEE_BILATERAL)
    return (*others, added)


def without_bilateral(before: Sequence[Bilateral], type_: str, between: tuple[str, str]) -> tuple[Bilateral, ...]:
    """The bilateral types without one. What was accepted goes on.

    Raises:
        RegistryError: it is not there.
    """
    after = tuple(each for each in before if (each.type, each.between) != (type_, between))
    if len(after) == len(before):
        raise RegistryError("this was not agreed", hint=_SEE_BILATERAL)
    return after


def bilateral(type_: str, one: str, other: str, digest: str) -> Bilateral:
    """A bilateral type between two contact points.

    Raises:
        RegistryError: it has no valid form.
    """
    try:
        return msgspec.convert({"type": type_, "between": sorted([one, other]), "schema": digest}, Bilateral)
    except msgspec.ValidationError:
        raise RegistryError(
            f"{type_} is no bilateral type", hint="Its name begins with x- and has a version: x-vehicle-report/1."
        ) from None


def _checked(cells: Sequence[Treaty]) -> tuple[Treaty, ...]:
    fault = treaties_fault(cells)
    if fault is not None:
        raise RegistryError(fault, hint="Nothing was changed.")
    return tuple(cells)


def _key(treaty: Treaty) -> tuple[str, str]:
    return treaty.state, treaty.instrument


def _text(value: object) -> object:
    """A TOML date as the directory spells it."""
    return value.isoformat() if type(value) is dt.date else value
