"""What officers say was agreed: treaties with their sources, and types that two contact points agreed on."""

from pathlib import Path

import pytest

from valija.bilateral import Schema
from valija.errors import RegistryError
from valija.registry import agreements
from valija.registry.folder import Registry

SCHEMA = Path(__file__).parents[3] / "schemas/vectors/example/x-vehicle-report-1.schema.json"
REPORT = "x-vehicle-report/1"
TABLE = """
[[treaty]]
state = "MX"
instrument = "untoc"
party = true
since = 2003-09-29
source = "A list"
read = 2026-11-02

[[treaty]]
state = "CA"
instrument = "cifta"
party = false
source = "A list"
read = 2026-11-02
"""


def test_a_table_is_read_changed_and_published_with_its_sources(running, tmp_path):
    table = tmp_path / "treaties.toml"
    table.write_text(TABLE)
    _, said = running.run("treaty", "read", str(table))
    assert "+ treaty MX, untoc: a party since 2003-09-29 (A list, read 2026-11-02)" in said
    _, said = running.run("treaty", "set", "mx", "untoc", "--no-party", "--source", "Gazette", "--read", "2026-11-03")
    assert "+ treaty MX, untoc: no party (Gazette, read 2026-11-03)" in said
    running.run("treaty", "set", "PE", "uncac", "--party", "--source", "Gazette")
    _, said = running.run("treaty", "remove", "PE", "uncac")
    assert "PE" not in said
    running.sign_and_publish(2)
    assert running.run("treaty", "list")[0].splitlines() == [
        "CA, cifta: no party (A list, read 2026-11-02)",
        "MX, untoc: no party (Gazette, read 2026-11-03)",
    ]
    assert running.run("treaty", "list", "--state", "CA")[0].count("\n") == 1
    book = Registry(running.registry).store.phonebook
    assert book.treaty("CA", "cifta").party is False
    assert "Gazette" in running.run("show")[0]


def test_what_cannot_be_said_of_a_treaty_changes_nothing(running, tmp_path):
    said = ("--source", "Gazette", "--read", "2026-11-02")
    for args in (
        ("set", "MX", "untoc", "--no-party", "--since", "2003-09-29", *said),
        ("set", "MX", "untoc", "--party", "--since", "2003-02-29", *said),
        ("set", "MX", "untoc", "--party", "--source", "Gazette", "--read", "yesterday"),
        ("set", "MX", "untoc", "--party", "--source", ""),
        ("remove", "MX", "untoc"),
    ):
        assert "Nothing was changed" in running.run("treaty", *args, code=1)[1], args
    for args in (("set", "XX", "untoc", "--party", *said), ("set", "MX", "bilateral", "--party", *said)):
        running.run("treaty", *args, code=2)
    running.run("treaty", "set", "MX", "untoc", *said, code=2)  # nobody said whether it is a party
    table = tmp_path / "treaties.toml"
    for wrong in (
        TABLE + TABLE,
        TABLE.replace("party", "member"),
        TABLE.replace("2003-09-29", "[]"),
        "treaty = 1",
        "x",
    ):
        table.write_text(wrong)
        running.run("treaty", "read", str(table), code=1)
    assert not (running.registry / "directory.2.draft").exists()


@pytest.fixture
def two(running):
    """Two contact points; the second is drafted."""
    running.admit("ca.liaison")
    return running


def test_a_bilateral_type_is_added_by_the_digest_of_its_file_and_removed(two, tmp_path):
    running = two
    ids = ("mx.enlace", "ca.liaison")
    digest = Schema(SCHEMA.read_bytes()).digest
    _, said = running.run("bilateral", "add", REPORT, str(SCHEMA), *ids)
    line = f"{REPORT}: between ca.liaison and mx.enlace, schema {digest}"
    assert f"+ bilateral {line}" in said
    assert "agreed already" in running.run("bilateral", "add", REPORT, str(SCHEMA), *ids, code=1)[1]
    assert running.run("bilateral", "list")[0] == f"{line}\n"
    other = tmp_path / "other.json"
    other.write_bytes(SCHEMA.read_bytes() + b"\n")
    running.run("bilateral", "add", REPORT, str(other), *ids)
    running.sign_and_publish(2)
    book = Registry(running.registry).store.phonebook
    assert book.agreed(REPORT, *ids) == Schema(other.read_bytes()).digest
    _, said = running.run("bilateral", "remove", REPORT, *ids)
    assert f"- bilateral {REPORT}: between ca.liaison and mx.enlace" in said
    assert "not agreed" in running.run("bilateral", "remove", REPORT, *ids, code=1)[1]
    assert "x- types" in running.run("route", "add", "x-other/1", "--from", "judicial", "--to", "judicial", code=1)[1]


def test_what_cannot_be_agreed_on_changes_nothing(two, tmp_path):
    running = two
    before = running.run("show", "--json")[0]
    for type_, one, other in (
        ("vehicle-report/1", "mx.enlace", "ca.liaison"),
        ("x-vehicle-report", "mx.enlace", "ca.liaison"),
        (REPORT, "mx.enlace", "mx.enlace"),
        (REPORT, "mx.enlace", "nobody"),
    ):
        running.run("bilateral", "add", type_, str(SCHEMA), one, other, code=1)
    open_ = tmp_path / "open.json"
    open_.write_bytes(SCHEMA.read_bytes().replace(b'"additionalProperties": false', b'"minProperties": 1'))
    _, said = running.run("bilateral", "add", REPORT, str(open_), "mx.enlace", "ca.liaison", code=1)
    assert "lets fields through" in said
    assert running.run("show", "--json")[0] == before


def test_a_cell_says_what_it_is_wrong_with():
    with pytest.raises(RegistryError, match="no cell of the table"):
        agreements.cell(state="mx", instrument="untoc", party=True, source="x", read="2026-11-02")
