"""A form that is asked for is filled in as the person meant, and nothing typed is lost."""

from pathlib import Path

import pytest
from answering import ENGLISH, TYPES, Person, StoppedError, example

from valija.paper import ask, file, toml
from valija_schemas import documents


def valid(type_: str, values: dict, folder: Path) -> documents.Document:
    found, flaws = file.validate(type_, values, folder, ENGLISH)
    assert flaws == ()
    assert found is not None
    return found


def test_a_draft_goes_on_where_it_was_left_wherever_that_was(tmp_path):
    type_ = "firearms-trace-request/1"
    expected = documents.from_builtins(type_, example(type_))
    person = Person(type_, example(type_), tmp_path)
    assert person.run()
    full = len(person.asked)
    stops, ended = 1, False
    while not ended:
        person = Person(type_, example(type_), tmp_path, stops_at=stops)
        try:
            ended = person.run()
        except StoppedError:
            text = toml.write({"document": type_, "draft": person.path} | person.values)
            written = file.read("draft.toml", text.encode(), tmp_path)
            answered = len(person.asked)
            person = Person(type_, example(type_), tmp_path)
            person.values = dict(written.document)
            assert person.run(written.draft, begun=True)
            assert len(person.asked) + answered <= full + 8, "what was answered is not asked again"
        assert valid(type_, person.values, tmp_path) == expected
        stops += 5
    assert stops > 60


def test_lines_of_a_text_that_was_interrupted_are_in_the_draft(tmp_path):
    knows = example("withdrawal/1") | {"reason": "first\nsecond\nthird"}
    person = Person("withdrawal/1", knows, tmp_path)
    person.run()
    stop = next(index for index, (path, _) in enumerate(person.asked) if path == "$.reason") + 2
    person = Person("withdrawal/1", knows, tmp_path, stops_at=stop)
    with pytest.raises(StoppedError):
        person.run()
    assert person.values["reason"] == "first\nsecond"


@pytest.mark.parametrize(
    ("path", "wrong", "said"),
    [
        ("$.authority.country", "ZZ", "ISO 3166-1 gives this code to no State"),
        ("$.authority.country", "Mexico", "two capital letters"),
        ("$.authority.phone", "555 0107", "telephone number"),
        ("$.authority.time_zone", "Mexico City", "IANA"),
        ("$.authority.name", "\u202etxt.exe", "invisible character"),
        ("$.authority.name", "\x1b[2J", "invisible character"),
        ("$.authority.name", "\udcff", "invisible character"),
        ("$.authority.name", "x" * 1_000_000, "at most 200 characters"),
        ("$.authority.name", "", "may not be left out"),
        ("$.authority.name", ".", "may not be left out"),
        ("$.language", "quechua", "none of the codes"),
        ("$.language", "9" * 5_000, "none of the codes"),
        ("$.handling.retain_until", "2026-02-30", "not in the calendar"),
        ("$.subjects[1].entity.imo", "1234568", "check digit"),
        ("$.subjects[5].entity.port", "70000", "up to 65535"),
        ("$.subjects[5].entity.port", "0", "from 1"),
        ("$.subjects[5].entity.port", "-1", "whole number"),
        ("$.subjects[6].entity.obliterated", "perhaps", "y or n"),
        ("$.subjects[0].entity.nationalities", "M", "two capital letters"),
        ("$.confidentiality", "maybe", "y or n"),
        ("$.questions", "x", "y or n"),
    ],
)
def test_a_wrong_answer_is_told_at_once_and_asked_again(path, wrong, said, tmp_path):
    type_ = "information-request/1"
    person = Person(type_, example(type_), tmp_path, tries={path: wrong})
    assert person.run()
    assert any(said in told for told in person.told)
    assert valid(type_, person.values, tmp_path) == documents.from_builtins(type_, example(type_))


def test_what_a_person_sees_of_a_question_is_its_meaning_and_its_codes(tmp_path):
    person = Person("information-request/1", example("information-request/1"), tmp_path, tries={"$.handling": "?"})
    person.run()
    told = "\n".join(person.told)
    for text in (
        "Handling > Use (required). In rising order.",
        "    2  H1: not in judicial proceedings without the sender's consent",
        "    1  drug-trafficking: Drug trafficking",
        "Case > Offences > Citation (required).",
        "A State or territory by its two capital letters",
    ):
        assert text in told


class Script:
    """Types lines, whatever is asked."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.told = list(lines), []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, prompt: str) -> str:
        return self.lines.pop(0)


def typed(type_: str, values: dict, *lines: str, at: str | None = None) -> Script:
    script = Script(*lines)
    dialogue = ask.Dialogue(TYPES[type_], values, folder=Path(), words=ENGLISH, terminal=script, keep=lambda path: None)
    dialogue.run(at, begun=True)
    assert script.lines == []
    return script


def test_a_fault_over_several_fields_is_told_at_the_end_and_can_be_corrected():
    values = example("response/1")
    values |= {"outcome": "refused", "answers": [], "items_provided": [], "items_outstanding": []}
    values["reasons"] = values["refusal_ground"] = None
    script = typed("response/1", values, "refusal_ground", "1", "1", "No.", ".", "")
    told = "\n".join(script.told)
    assert "1  refusal_ground: A refusal names one of the four grounds" in told
    assert "2  reasons: Say why the request is not answered in full" in told
    assert "Nothing is wrong" in script.told[-1]
    assert (values["refusal_ground"], values["reasons"]) == ("not-in-conformity", "No.")


def test_anything_can_be_changed_at_the_end_by_its_path():
    values = example("information-request/1")
    typed(
        "information-request/1", values,
        "case.title", "Another title",
        "subjects[1].entity.name", "-", "",
        "subjects[1].entity.name", "",
        "case.offences", "-2", "",
        "questions", "y", "", "How many?", ".", "",
        "nowhere.at.all",
        "$",
        "",
    )  # fmt: skip
    assert values["case"]["title"] == "Another title"
    assert "name" not in values["subjects"][1]["entity"]
    assert [each["code"] for each in values["case"]["offences"]] == ["drug-trafficking"]
    assert values["questions"][3] == {"number": 4, "text": "How many?"}


def test_one_can_go_back_and_out_of_a_group_before_it_is_filled(tmp_path):
    values: dict = {}
    script = Script(
        "en", "<", "fr",                                     # back to the field before
        "<", "Office", "PE", "Police", ".",                  # nothing before the first of a group but the group's own
    )  # fmt: skip
    dialogue = ask.Dialogue(
        TYPES["withdrawal/1"], values, folder=tmp_path, words=ENGLISH, terminal=script, keep=lambda path: None
    )
    with pytest.raises(IndexError):  # the script is over, as a person's patience may be
        dialogue.run(None, begun=False)
    assert values["language"] == "fr"


def test_leaving_out_the_rest_of_a_group_asks_nothing_more_of_it(tmp_path):
    values = example("status-update/1")
    del values["authority"]
    typed("status-update/1", values, "authority", "Office", "PE", "Police", ".", "authority.phone", "+12025550141", "")
    assert values["authority"] == {"name": "Office", "country": "PE", "functions": "Police", "phone": "+12025550141"}


def test_what_is_wrong_within_a_group_is_told_when_it_is_left():
    values = example("status-update/1")
    del values["authority"]
    script = typed(
        "status-update/1", values, "authority", "Office", "PE", "Police", ".", "authority.phone", "+12025550141", ""
    )
    assert any(told.startswith("! Nobody can reach this authority") for told in script.told)


def test_another_kind_takes_the_place_of_what_was_filled_in():
    values = example("information-request/1")
    typed(
        "information-request/1", values, "subjects[2].entity", "y", "vehicle", "TEST-9", ".", "",
    )  # fmt: skip
    assert values["subjects"][2]["entity"] == {"kind": "vehicle", "plate": "TEST-9"}
