"""What was agreed: treaties are asked for by State and instrument, bilateral types travel between two points alone."""

from typing import get_args

import pytest

from valija.registry.sample import sample_exchange
from valija_schemas.agreements import Bilateral, Treaty, TreatyCode
from valija_schemas.documents.blocks.case import Instrument
from valija_schemas.message import Header, MessageError, check_recipients

now = 1_795_500_000_000
SHEET = "x-vehicle-sheet/1"
REPORT = "x-vehicle-report/1"


@pytest.fixture(scope="module")
def book():
    def agreed(type_, one, other, schema):
        return Bilateral(type=type_, between=(one, other), schema=schema * 64)

    treaty = Treaty(state="MX", instrument="untoc", party=True, since="2003-09-29", source="UNTC", read="2026-11-02")
    return sample_exchange(
        suspended=(),
        now_ms=now,
        routes=(),
        treaties=(treaty,),
        bilateral=(
            agreed(REPORT, "ca.liaison", "mx.enlace", "1"),
            agreed(REPORT, "co.enlace", "mx.enlace", "1"),
            agreed(SHEET, "ca.liaison", "mx.enlace", "2"),
            agreed(SHEET, "co.enlace", "mx.enlace", "3"),
        ),
    ).phonebook


def checked(book, type_, sender, *to):
    header = Header(
        id="01a20b79-c7db-7c31-9d5e-2b1f6a0c4d87",
        sender=sender,
        to={id_: book.point(id_).seal_key.key_id for id_ in sorted(to)},
        type=type_,
        thread="01a20b79-c7db-7c31-9d5e-2b1f6a0c4d87",
        in_reply_to=None,
        sent=now,
        expires=now + 1,
        priority="routine",
        exercise=True,
        directory=book.reference,
        log=(0, "0" * 64),
        body="0" * 64,
        body_length=1,
        attachments=(),
    )
    check_recipients(header, book, now)


def test_what_the_officers_do_not_say_of_a_treaty_is_unknown(book):
    assert book.treaty("MX", "untoc").since == "2003-09-29"
    assert book.treaty("MX", "cifta") is None
    assert book.treaty("PE", "untoc") is None


def test_the_table_has_every_instrument_that_is_a_treaty():
    assert set(get_args(TreatyCode)) == set(get_args(Instrument)) - {"bilateral", "domestic-law", "reciprocity"}


def test_a_bilateral_type_goes_both_ways_between_the_two_who_agreed(book):
    assert {REPORT, SHEET} <= book.types
    checked(book, REPORT, "mx.enlace", "ca.liaison")
    checked(book, REPORT, "ca.liaison", "mx.enlace")
    checked(book, REPORT, "mx.enlace", "ca.liaison", "co.enlace")


@pytest.mark.parametrize(
    ("type_", "sender", "to"),
    [
        (REPORT, "ca.liaison", ["co.enlace"]),
        (REPORT, "mx.enlace", ["ca.liaison", "pe.enlace"]),
        (REPORT, "mx.enlace", ["mx.enlace"]),
        (SHEET, "mx.enlace", ["ca.liaison", "co.enlace"]),
    ],
    ids=["two of three pairs", "one outside", "to oneself", "two schemas"],
)
def test_a_bilateral_type_goes_nowhere_else(book, type_, sender, to):
    with pytest.raises(MessageError) as caught:
        checked(book, type_, sender, *to)
    assert caught.value.code == "route-not-allowed"
