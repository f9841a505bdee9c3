"""Settings: one TOML text, with the environment laid over it, read into a Struct. Used by broker and client alike.

Pure: the text and the environment come in. An unknown key is an error that names the nearest known one, since a
misspelled limit that silently keeps its default is worse than a program that does not start. Secrets are never values
here: a setting names the file that holds one.
"""

import difflib
import tomllib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class SettingsError(ValueError):
    """The settings cannot be used; the text names the key and what would be right."""


def load(type_: type[T], text: str, environ: Mapping[str, str], prefix: str) -> T:
    """The settings that `text` and, over it, the variables `<prefix><KEY>` or `<prefix><SECTION>__<KEY>` say.

    A list in the environment is separated by commas.

    Raises:
        SettingsError: not TOML, an unknown key, or a value of another type or out of its bounds.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"this is not TOML: {error}") from None
    for name in sorted(environ):
        if name.startswith(prefix):
            _lay_over(type_, values, name, name.removeprefix(prefix).lower().split("__"), environ[name])
    _refuse_unknown(type_, values, "")
    try:
        return msgspec.convert(values, type_, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(
            str(error).replace("`$.", "`").replace("Object missing required field", "missing:")
        ) from None


def _lay_over(type_: Any, values: dict[str, Any], name: str, path: list[str], value: str) -> None:
    for section in path[:-1]:
        type_ = _field_types(type_).get(section)
        if type_ is None or not _is_struct(type_):
            raise SettingsError(f"{name} sets nothing that is known")
        values = values.setdefault(section, {})
    field = _field_types(type_).get(path[-1])
    if field is None:
        raise SettingsError(f"{name} sets nothing that is known{_nearest(path[-1], _field_types(type_))}")
    values[path[-1]] = [part.strip() for part in value.split(",")] if typing.get_origin(field) is tuple else value


def _refuse_unknown(type_: Any, values: Mapping[str, Any], where: str) -> None:
    known = _field_types(type_)
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"unknown setting `{where}{key}`{_nearest(key, known)}")
        if _is_struct(known[key]) and isinstance(value, Mapping):
            _refuse_unknown(known[key], value, f"{where}{key}.")


def _field_types(type_: Any) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(type_)}


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(sorted(known))}"
