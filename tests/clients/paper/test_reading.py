"""What a reader is shown of a document of each type: all of it, once, in order, in the reader's language."""

import datetime as dt
import gettext
import json
import re
from pathlib import Path

import msgspec
import pytest

from valija.paper import letter, reading, text
from valija.paper.catalog import LANGUAGES
from valija.paper.language import Words, words
from valija.paper.letter import Content, Letter, Party
from valija.paper.outline import Attached, Group, Row, Table
from valija_schemas import documents, limits
from valija_schemas.documents import fields
from valija_schemas.documents.blocks import File, Information

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
DOCUMENTS = {
    type_: documents.decode(type_, (EXAMPLES / f"{known.name}-{known.version}.json").read_bytes().rstrip())
    for type_, known in documents.types().items()
}
NOW_MS = 1_795_000_000_000  # 2026-11-18
LETTER = Letter(
    id="0193", digest="ab" * 32, type_="information-request/1", sender=Party(id="mx.enlace", name="Oficina", state="MX",
    area="judicial"), to=(Party(id="oas.desk", name="Desk", organisation="OAS", area="political"), Party(id="gone")),
    thread="0193", in_reply_to="cd" * 32, sent=NOW_MS, expires=NOW_MS + limits.DAY_MS, priority="urgent",
    exercise=False, directory=7, mine=False, accepted=NOW_MS + 10, accepted_fault="", received=NOW_MS + 20,
    state="delivered",
)  # fmt: skip
UTC = dt.UTC
ENGLISH = words("en")


class Marking(gettext.NullTranslations):
    """A catalog that marks everything that it translates."""

    def gettext(self, message):
        return f"«{message}»"

    def pgettext(self, context, message):
        return f"«{message}»"


def outlined(content, known=LETTER, standing="verified", detail="", said=ENGLISH, now_ms=NOW_MS, zone=UTC):
    return letter.outline(content, known, standing, detail, said, now_ms=now_ms, zone=zone)


def shown(outline, width=100):
    return "\n".join(text.render(outline, width))


def flat(outline):
    return " ".join(shown(outline).split())


def leaves(block):
    """Every value that somebody filled in, with its field."""
    for field in fields.fields_of(type(block)):
        value = getattr(block, field.name)
        if value in (None, ()) or (value == field.default and not field.required):
            continue
        for each in value if field.many else (value,):
            if isinstance(each, documents.Block):
                yield from leaves(each)
            elif not isinstance(each, bytes):
                yield block, field, each


def spelled(said, block, field, value):
    """What must stand on the page for a value, said with nothing of what `reading` uses."""
    if isinstance(value, bool):
        return said.say("Yes") if value else said.say("No")
    if field.codes:
        # Whether a date of birth is a day, a month or a year is seen in it.
        return "" if field.name == "precision" and value != "estimated" else said.code(field.name, value)
    if re.match(r"\d{4}-\d\d-\d\dT", str(value)):
        return f"{value[:10]} {value[11:19]} UTC{value[19:].removesuffix('+00:00')}"
    return str(value)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("type_", DOCUMENTS)
def test_every_value_of_a_document_is_on_the_page_in_every_language(type_, language):
    said, document = words(language), DOCUMENTS[type_]
    page = " ".join(shown(outlined(Content(type_=type_, document=document), said=said), 10_000).split())
    found = list(leaves(document))
    assert len(found) > 10
    for block, field, value in found:
        assert " ".join(spelled(said, block, field, value).split()) in page, (field.name, value)


@pytest.mark.parametrize("type_", DOCUMENTS)
def test_every_field_that_was_filled_in_stands_once_and_in_the_order_of_the_form(type_):
    document = DOCUMENTS[type_]
    outline = outlined(Content(type_=type_, document=document))
    first, message, rest = outline.groups
    assert (first.title, message.title, rest.title) == ("Read this first", "Message", "Document")
    filled = [
        field
        for field in fields.fields_of(type(document))
        if getattr(document, field.name) not in (None, ()) or field.name == "respond_by"
    ]
    above = [field.label for field in filled if field.name in letter._FIRST]
    assert [label(item) for item in first.items] == above
    assert [label(item) for item in rest.items] == [each.label for each in filled if each.label not in above]
    for group in groups(outline.groups):
        labels = [label(item) for item in group.items]
        assert len(set(labels)) == len(labels), group.title


def label(item):
    if isinstance(item, Row):
        return item.label
    return item.name if isinstance(item, Attached) else item.title.partition(": ")[0]


def groups(items):
    for item in items:
        if isinstance(item, Group):
            yield item
            yield from groups(item.items)


@pytest.mark.parametrize("type_", DOCUMENTS)
def test_nothing_of_ours_slips_through_untranslated(type_):
    known = msgspec.structs.replace(LETTER, exercise=True)
    outline = outlined(Content(type_=type_, document=DOCUMENTS[type_]), known, said=Words("es", Marking()))
    assert outline.exercise
    assert all(translated(each) for each in (outline.title, outline.exercise, *outline.running))
    assert all(translated(notice.text) for notice in outline.notices)
    walk(outline.groups)


def walk(items):
    for item in items:
        match item:
            case Row():
                assert item.label.isdigit() or translated(item.label), item
                assert not item.own or all(map(translated, item.values)), item
            case Table():
                assert translated(item.title)
                assert all(map(translated, item.columns))
                walk([cell for row in item.rows for cell in row])
            case Attached():
                walk(item.rows)
            case Group():
                assert re.fullmatch(r"\d+\.", item.title) or translated(item.title), item
                walk(item.items)


AS_IT_IS = r"\([a-z-]+\)|[a-z0-9]+([-./][a-z0-9]+)+|[0-9a-f]{64}|Oficina|Desk|gone|quc"


def translated(text):
    """Whether no English word is left outside of what went through the catalog."""
    left = text
    while "«" in left:  # the innermost first
        left = re.sub(r"«[^«»]*»", "", left)
    # What stands as it is in every language: codes, identifiers and names of the sender.
    return not re.search(r"[a-z]{3}", re.sub(AS_IT_IS, "", left))


def test_a_document_that_is_not_trustworthy_is_never_shown_without_saying_so():
    content = Content(type_="future/1", data=b'{"a":[{"b":1,"c":[true]},"x"],"d":null}', unread="no such type")
    for standing in ("false", "unchecked"):
        page = flat(outlined(content, standing=standing, detail="why it is so"))
        assert "do not rely on it (why it is so)." in page
        assert "It is no valid document: do not rely on it." in page
        assert "Verified:" not in page
    assert "Its content cannot be shown (no key)." in shown(outlined(Content(type_="future/1", unread="no key")))


@pytest.mark.parametrize("data", [b"[" * 5_000, b"\xff\xfe", b"", b'{"a":' * 40 + b"1" + b"}" * 40, b"[1e999]", b'"x"'])
def test_what_is_no_document_at_all_is_shown_as_far_as_it_goes(data):
    assert reading.plain(data, words("en"))


def test_what_is_longer_than_any_text_is_cut():
    data = msgspec.json.encode({"a": "x" * 1_000_000, "b": ["y" * 1_000_000]})
    page = shown(outlined(Content(type_="future/1", data=data)))
    assert page.count("(980000 more characters)") == 2
    assert len(page) < 60_000


def respond_by(by):
    found = json.loads((EXAMPLES / "information-request-1.json").read_text())
    found["respond_by"] = by and {"by": by, "reasons": "A hearing."}
    return Content(type_="information-request/1", document=documents.from_builtins("information-request/1", found))


def test_a_deadline_is_shown_where_the_reader_is_and_in_utc_and_whether_it_has_passed():
    zone = dt.timezone(dt.timedelta(hours=-3))
    late = shown(outlined(respond_by("2026-03-06T17:00:00-06:00"), zone=zone))
    assert "2026-03-06 17:00:00 UTC-06:00" in late
    assert "2026-03-06 20:00:00 UTC-03:00 (here)" in late
    assert "2026-03-06 23:00:00 UTC" in late
    assert "OVERDUE" in late
    assert shown(outlined(respond_by("2026-03-06T23:00:00+00:00"))).count("2026-03-06 23:00:00") == 1
    assert "OVERDUE" not in shown(outlined(respond_by("2027-03-06T17:00:00-06:00")))
    mine = msgspec.structs.replace(LETTER, mine=True)
    assert "OVERDUE" not in shown(outlined(respond_by("2026-03-06T17:00:00-06:00"), mine))


def test_without_a_deadline_the_priority_decides_from_the_receipt():
    page = shown(outlined(respond_by(None)))
    assert "No time is named. By its priority, from its receipt:" in page
    due = dt.datetime.fromtimestamp((NOW_MS + 20 + 3 * limits.DAY_MS) / 1000, UTC)
    assert f"{due:%Y-%m-%d %H:%M:%S} UTC" in page
    assert "Respond by" not in shown(outlined(respond_by(None), None, "no-message"))


@pytest.mark.parametrize("by", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_deadline_at_the_ends_of_the_calendar_is_shown_as_it_stands(by):
    assert by[:10] in shown(outlined(respond_by(by)))


def test_times_that_no_calendar_reaches_are_shown_as_numbers():
    far = msgspec.structs.replace(LETTER, sent=2**53 - 1, expires=2**53 - 1, accepted=None, received=None)
    assert str(2**53 - 1) in shown(outlined(respond_by(None), far))


def test_information_that_should_have_been_erased_is_said_to_be():
    page = shown(outlined(respond_by(None), now_ms=1_900_000_000_000))  # 2030; it was to be kept until 2029-12-31
    assert "It was to be kept until 2029-12-31" in page
    assert "It was to be kept" not in shown(outlined(respond_by(None)))


def test_files_are_numbered_through_the_whole_document():
    found = json.loads((EXAMPLES / "information-request-1.json").read_text())
    file = msgspec.to_builtins(File.of("a.txt", "text/plain", b"x"))
    item = {"text": "A statement.", "grading": {"source": "A", "information": "1"}, "files": [file, file]}
    found |= {"information": [item, item], "files": [file]}
    document = documents.from_builtins("information-request/1", found)
    outline = outlined(Content(type_="information-request/1", document=document))
    assert [each.number for each in outline.attached()] == [1, 2, 3, 4, 5]
    assert isinstance(document.information[0], Information)


def test_five_thousand_items_are_all_shown():
    found = json.loads((EXAMPLES / "information-request-1.json").read_text())
    found["questions"] = [{"number": number, "text": f"Question {number}?"} for number in range(1, 5_001)]
    page = shown(outlined(Content(type_="", document=documents.from_builtins("information-request/1", found))))
    assert "5000  Question 5000?" in page
