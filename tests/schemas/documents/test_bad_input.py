"""What people and strangers write wrongly, in every kind of field, from a file and from the wire."""

import unicodedata

import msgspec
import pytest

from valija_schemas import documents

REQUEST, ALERT = "information-request/1", "person-alert/1"
TIME, DAY = "$.respond_by.by", "$.handling.retain_until"
NAME, TITLE = "$.subjects[0].entity.names[0].family_name", "$.case.title"

NOT_IN_FORM = (
    (TIME, "2026-03-06T17:00:00"),  # no zone
    (TIME, "2026-03-06 17:00:00Z"),
    (TIME, "2026-03-06T17:00Z"),
    (TIME, "2026-03-06T17:00:00-0600"),
    (TIME, "2026-03-06T17:00:00 CST"),
    (TIME, "2026-03-06T17:00:00+15:00"),
    (TIME, "2026-03-06T24:00:00Z"),
    (TIME, "2026-03-06T17:60:00Z"),
    (TIME, "2026-03-06T17:00:60Z"),
    (TIME, "2026-03-06t17:00:00z"),
    (TIME, "2026-W10-5T17:00:00Z"),
    (DAY, "2026-13-01"),
    (DAY, "2026-00-10"),
    (DAY, "2026-03-32"),
    (DAY, "26-03-01"),
    (DAY, "31/12/2026"),
    (DAY, "20261231"),
    (DAY, "2026-3-1"),
    (DAY, "\u0662\u0660\u0662\u0666-03-01"),  # Arabic digits
    ("$.authority.phone", "+52 555 012 3456"),
    ("$.authority.phone", "005255501234"),
    ("$.authority.country", "mx"),
    ("$.authority.country", "MEX"),
    ("$.authority.country", "M\u0425"),  # a Cyrillic letter
    (TITLE, " "),  # blank
    (TITLE, "\u00a0Operation"),
    (TITLE, "Operation\nof two lines"),
)
NOT_IN_THE_CALENDAR = (
    (TIME, "2026-02-30T00:00:00Z"),
    (TIME, "2100-02-29T00:00:00Z"),
    (DAY, "2027-02-29"),
    (DAY, "2026-04-31"),
    (DAY, "0000-01-01"),
)
UNSEEN = ("\u202e", "\u202d", "\u2066", "\u200f", "\u061c", "\ufeff", "\u2028", "\x00", "\x1b", "\x7f", "\x9b")


def read_both(type_, document):
    """What is wrong with a document in a file, and with the same as it travels, by rule and path."""
    for read in (documents.from_builtins, lambda type_, value: documents.decode(type_, msgspec.json.encode(value))):
        with pytest.raises(documents.DocumentError) as caught:
            read(type_, document)
        yield {(problem.rule, problem.path) for problem in caught.value.errors}


@pytest.mark.parametrize(("path", "value"), NOT_IN_FORM)
def test_a_text_that_is_not_in_its_form_is_refused(path, value, edited):
    from_file, from_bytes = read_both(REQUEST, edited(REQUEST, {path: value}))
    assert from_bytes == {("form-wrong", path)}
    assert from_file == from_bytes


@pytest.mark.parametrize(("path", "value"), NOT_IN_THE_CALENDAR)
def test_a_day_that_no_calendar_has_is_refused(path, value, edited):
    for found in read_both(REQUEST, edited(REQUEST, {path: value})):
        assert found == {("calendar-date", path)}


@pytest.mark.parametrize("sign", UNSEEN, ids=lambda sign: f"U+{ord(sign):04X}")
@pytest.mark.parametrize("path", [NAME, TITLE])
def test_what_nobody_sees_is_in_no_text(path, sign, edited):
    for found in read_both(REQUEST, edited(REQUEST, {path: f"Mu{sign}ster"})):
        assert found == {("text-characters", path)}


@pytest.mark.parametrize("name", ["Núñez", "Đặng", "Ångström", "İnönü", "Tōkyō", "Şoltan"])
def test_a_name_has_one_spelling_whoever_wrote_it(name, edited):
    composed = documents.from_builtins(REQUEST, edited(REQUEST, {NAME: name}))
    pieces = edited(REQUEST, {NAME: unicodedata.normalize("NFD", name)})
    assert documents.from_builtins(REQUEST, pieces) == composed
    with pytest.raises(documents.DocumentError) as caught:
        documents.decode(REQUEST, msgspec.json.encode(pieces))
    assert [(problem.rule, problem.path) for problem in caught.value.errors] == [("text-characters", NAME)]


@pytest.mark.parametrize(
    "name",
    ["محمد", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u062f", "Иванов", "O\u2019Higgins", "山田", "𞤀𞤣𞤤𞤢𞤥", "Việt"],
)
def test_names_in_every_script_are_read_as_they_are_written(name, edited):
    name = unicodedata.normalize("NFC", name)
    document = documents.from_builtins(REQUEST, edited(REQUEST, {NAME: name}))
    assert documents.decode(REQUEST, documents.encode(document)).subjects[0].entity.names[0].family_name == name


def test_no_type_is_read_as_another(examples):
    types = list(examples)
    for type_, *others in zip(types, *(types[shift:] + types[:shift] for shift in (1, 5, 11)), strict=True):
        for other in others:
            with pytest.raises(documents.DocumentError):
                documents.from_builtins(type_, examples[other])


def test_a_text_that_is_no_unicode_is_refused(examples):
    data = msgspec.json.encode(examples[REQUEST]).replace(b'"title":"', b'"title":"\\ud800', 1)
    with pytest.raises(documents.DocumentError) as caught:
        documents.decode(REQUEST, data)
    assert [problem.rule for problem in caught.value.errors] == ["not-json"]
