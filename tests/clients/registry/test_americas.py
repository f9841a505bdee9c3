"""The sample of the Americas: a registry of real size to look at, and a table of treaties that names its sources."""

from collections import Counter
from pathlib import Path
from typing import get_args

from click.testing import CliRunner

from valija.registry.americas import page, treaties
from valija.registry.cli import main
from valija_schemas.agreements import TreatyCode, treaties_fault
from valija_schemas.documents.labels import STATES

#: When each instrument was adopted, or first signed: nobody joined before.
OPENED = {
    "untoc": "2000-12-12",
    "tip-protocol": "2000-12-12",
    "migrants-protocol": "2000-12-12",
    "firearms-protocol": "2001-05-31",
    "un-1988": "1988-12-20",
    "uncac": "2003-12-09",
    "cifta": "1997-11-14",
    "nassau-mla": "1992-05-23",
    "iacac": "1996-03-29",
    "terrorism-financing-1999": "2000-01-10",
    "iacat-2002": "2002-06-03",
}


def test_a_sample_registry_is_written_shown_and_holds_and_is_never_mixed_with_another(tmp_path):
    folder = tmp_path / "sample"
    made = CliRunner().invoke(main, ["sample", str(folder)])
    assert made.exit_code == 0, made.output
    assert "180 contact points" in made.stderr
    shown = CliRunner().invoke(main, ["--registry", str(folder), "show", "--point", "pe.judicial"])
    assert "Sample contact point, PE, judicial" in shown.output
    again = CliRunner().invoke(main, ["sample", str(folder)])
    assert again.exit_code == 1
    assert "a sample is never mixed with a registry" in again.stderr


def test_every_cell_of_the_table_is_of_a_state_and_a_treaty_that_are_known_and_of_days_that_can_be():
    table = treaties()
    assert treaties_fault(table) is None
    assert {cell.state for cell in table} <= STATES.keys()
    assert OPENED.keys() == set(get_args(TreatyCode))
    for cell in table:
        assert cell.since is None or OPENED[cell.instrument] <= cell.since <= cell.read, cell


def test_every_cell_names_a_source_that_a_person_can_look_up():
    for cell in treaties():
        assert len(cell.source.split()) >= 5, cell
        assert cell.source == cell.source.strip(), cell


def test_no_cell_says_no_where_only_a_gap_was_read():
    # An old list of parties says nothing of those who are not in it; a depositary's table of all States does.
    said = Counter((cell.instrument, cell.source.partition(",")[0]) for cell in treaties() if not cell.party)
    assert set(said) <= {("nassau-mla", "OAS"), ("iacac", "OAS")}


def test_no_treaty_and_no_state_is_left_out_altogether():
    assert {cell.instrument for cell in treaties()} == set(get_args(TreatyCode))
    assert {cell.state for cell in treaties()} == STATES.keys()


def test_the_page_is_that_of_the_table():
    # After a change of the table: make schemas
    assert (Path(__file__).parents[3] / "clients/AMERICAS.md").read_text("utf-8") == page()
