"""What can be set, asked or refused stands in the documents: every setting, route, problem code and limit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from valija_broker import config, routes
from valija_schemas import limits, problem

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "schemas" / "SPEC.md").read_text("utf-8")
EXAMPLE = ROOT / "deploy" / "broker.example.toml"


def section(number: str) -> str:
    """A section of SPEC.md, without those that follow it."""
    found = re.search(rf"^###? {re.escape(number)} .*?(?=^###? |\Z)", SPEC, re.MULTILINE | re.DOTALL)
    assert found, number
    return found[0]


def fields(type_: type[msgspec.Struct], where: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(type_):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from fields(field.type, f"{where}{field.encode_name}.")
        else:
            yield f"{where}{field.encode_name}"


@pytest.mark.parametrize("name", list(fields(config.Settings)))
def test_every_setting_stands_in_the_example_file(name: str) -> None:
    value: Any = msgspec.toml.decode(EXAMPLE.read_bytes())
    for part in name.split("."):
        assert part in value, f"deploy/broker.example.toml does not explain {name}"
        value = value[part]


def test_the_example_file_loads_and_shows_the_defaults() -> None:
    found = config.load(EXAMPLE, {})
    assert found == config.Settings(exchange=config.Exchange(origin=found.exchange.origin), data=found.data)


def test_every_setting_of_the_example_file_has_a_comment_above_it() -> None:
    before = ""
    for line in EXAMPLE.read_text("utf-8").splitlines():
        explained = before.startswith("#") or re.match(r"\w+ =", before)
        assert not re.match(r"\w+ =", line) or explained, f"nothing explains {line}"
        before = line


def table() -> list[tuple[str, str]]:
    agencies = routes.Agencies(**dict.fromkeys(ARGUMENTS))  # type: ignore[arg-type]  # nothing is called
    return [(route.method, route.path) for route in agencies.table()]


ARGUMENTS = [name for name in routes.Agencies.__init__.__annotations__ if name != "return"]


@pytest.mark.parametrize(("method", "path"), table())
def test_every_route_stands_in_the_spec(method: str, path: str) -> None:
    assert re.search(rf"\*\*`{method} {re.escape(path)}[`?]", section("3.3")), f"{method} {path}"


def test_the_spec_names_no_route_that_is_not_there() -> None:
    named = re.findall(r"\*\*`(GET|POST) ([^`?]+)[`?]", section("3.3"))
    assert set(named) == set(table())


def test_the_table_of_problem_codes_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\w*) \| (\w*) \| (\w*) \| (\w*) \|", section("3.4"), re.MULTILINE)
    found = {code: (int(status), *(word == "yes" for word in words)) for code, status, *words in rows}
    assert found == {
        code.value: (kind.status, kind.retryable, kind.reseal, kind.rejection, kind.vague)
        for code, kind in problem.KINDS.items()
    }


def test_the_table_of_limits_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([0-9,]+)", section("1.8"), re.MULTILINE)
    named = {name: value for name, value in vars(limits).items() if name.islower() and isinstance(value, int)}
    assert {name: int(value.replace(",", "")) for name, value in rows} == named
