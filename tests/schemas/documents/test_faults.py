"""Everything that is wrong is told at once, and no document, whatever it holds, makes that long."""

import msgspec
import pytest

from valija_schemas import documents
from valija_schemas.documents import faults, rules

REQUEST, RESPONSE, WITHDRAWAL = "information-request/1", "response/1", "withdrawal/1"
TRAINING = "training-announcement/1"
MORE = faults.counted_max + faults.problems_max


def from_file(type_, value):
    return documents.from_builtins(type_, value)


def from_bytes(type_, value):
    return documents.decode(type_, msgspec.json.encode(value))


READERS = pytest.mark.parametrize("read", [from_file, from_bytes])


def told(read, type_, value):
    with pytest.raises(documents.DocumentError) as caught:
        read(type_, value)
    return caught.value.errors


def names(problems):
    return [(problem.rule, problem.path) for problem in problems]


WRONG = {
    "$.authority.country": "mexico",
    "$.authority.phone": ...,
    "$.authority.working_hours": 8,
    "$.case.titel": "x",
    "$.case.offences[0].code": "drugs",
    "$.handling.use": ["H2", "H1"],
    "$.questions": [],
    "$.respond_by.by": "2026-02-30T00:00:00Z",
    "$.subjects[1].entity.imo": "1234568",
    "$.subjects[1].entity.flag": "Panama",
    "$.subjects[2].entity.kind": "spaceship",
    "$.subjects[3].grading": None,
    "$.subjects[4].entity": {},
    "$.subjects[5].remarks": "Opera\u0301tion",
    "$.subjects[7].entity.unit": None,
}
FAULTS = (
    ("form-wrong", "$.authority.country"),
    ("kind-wrong", "$.authority.working_hours"),
    ("field-unknown", "$.case.titel"),
    ("code-unknown", "$.case.offences[0].code"),
    ("handling-codes", "$.handling.use"),
    ("size-wrong", "$.questions"),
    ("imo-check-digit", "$.subjects[1].entity.imo"),
    ("form-wrong", "$.subjects[1].entity.flag"),
    ("code-unknown", "$.subjects[2].entity.kind"),
    ("kind-wrong", "$.subjects[3].grading"),
    ("field-missing", "$.subjects[4].entity.kind"),
    ("substance-unit", "$.subjects[7].entity.unit"),
    ("calendar-date", "$.respond_by.by"),
)


@READERS
def test_all_that_is_wrong_is_told_at_once_and_no_fault_of_shape_hides_a_broken_rule(read, edited):
    found = names(told(read, REQUEST, edited(REQUEST, WRONG)))
    assert set(found) >= set(FAULTS)
    travelling = {("field-missing", "$.authority.phone"), ("text-characters", "$.subjects[5].remarks")}
    assert set(found) & travelling == (travelling if read is from_bytes else set())
    assert len(found) == len(set(found))


@READERS
def test_a_rule_is_asked_of_each_block_whose_own_shape_is_right(read, edited):
    # The authority lacks its name, so nothing is said about how to reach it; the handling beside it is judged.
    changes = {"$.authority": {}, "$.handling.use": ["H3"]}
    found = names(told(read, RESPONSE, edited(RESPONSE, changes)))
    assert ("field-missing", "$.authority.name") in found
    assert ("handling-text", "$.handling.text") in found
    assert "authority-contact" not in {rule for rule, _ in found}


def test_what_cannot_be_written_is_told_with_what_is_wrong_besides(examples):
    document = documents.from_builtins(RESPONSE, examples[RESPONSE])
    wrong = msgspec.structs.replace(document, outcome="yes", reasons="a\u202eb", expected="2026-02-30")
    assert names(told(lambda _, value: documents.encode(value), RESPONSE, wrong)) == [
        ("code-unknown", "$.outcome"),
        ("text-characters", "$.reasons"),
        ("calendar-date", "$.expected"),
    ]


def test_the_walk_without_words_and_the_walk_with_words_agree(examples):
    for type_, example in examples.items():
        struct = documents.types()[type_].struct
        document = msgspec.convert(example, struct)
        assert rules.kept(document)
        assert faults.found_in(struct, example, whole=True) == ()
        unkept = msgspec.structs.replace(
            document, handling=msgspec.structs.replace(document.handling, use=("H0", "H1"))
        )
        assert not rules.kept(unkept)
        found = names(faults.found_in(struct, msgspec.to_builtins(unkept), whole=True))
        assert found[0] == ("handling-codes", "$.handling.use")


MANY = (
    (WITHDRAWAL, {"$.questions": ["x"] * (MORE + 50)}),
    (WITHDRAWAL, {"$.questions": [1] * (MORE + 50)}),
    (TRAINING, {"$.languages": ["zz"] * (MORE + 50)}),
    (RESPONSE, {"$.answers": [{}] * (MORE // 3 + 50)}),
    (RESPONSE, {f"$.x{number}": 0 for number in range(MORE + 50)}),
)


@READERS
@pytest.mark.parametrize(("type_", "changes"), MANY)
def test_more_problems_than_anybody_reads_are_counted_and_the_counting_ends(read, type_, changes, edited):
    problems = told(read, type_, edited(type_, changes))
    assert len(problems) == faults.problems_max + 1
    assert problems[-1].rule == "more-problems"
    assert dict(problems[-1].values) == {"count": str(faults.counted_max)}


@READERS
def test_a_few_more_are_counted_exactly(read, edited):
    problems = told(read, WITHDRAWAL, edited(WITHDRAWAL, {"$.questions": ["x"] * (faults.problems_max + 7)}))
    assert problems[-1].text == "There are at least 7 more problems. Correct these first."


@READERS
@pytest.mark.parametrize("depth", [10, 100, 10_000])
def test_nesting_is_followed_only_as_deep_as_the_type_goes(read, depth, edited):
    deep = []
    for _ in range(depth):
        deep = [deep]
    document = edited(RESPONSE, {"$.answers": []})
    document["answers"] = deep
    if read is from_bytes:
        # As a stranger writes it: our encoder refuses it.
        text = msgspec.json.encode(document | {"answers": "@"}).replace(b'"@"', b"[" * depth + b"]" * depth)
        problems = told(documents.decode, RESPONSE, text)
    else:
        problems = told(read, RESPONSE, document)
    assert names(problems)[0] in {("kind-wrong", "$.answers[0]"), ("not-json", "$")}


@READERS
def test_the_name_of_an_unknown_field_cannot_steer_what_shows_it(read, edited):
    document = edited(RESPONSE, {})
    document["\u202e\x1b[2J" + "x" * 100_000] = 0
    [problem] = told(read, RESPONSE, document)
    assert problem.path == "$.??[2J" + "x" * 59 + "..."
    assert problem.text.isprintable()


def test_a_field_of_ten_megabytes_is_refused(edited):
    document = edited(RESPONSE, {"$.reasons": "x" * 10_000_000})
    assert names(told(from_file, RESPONSE, document)) == [("size-wrong", "$.reasons")]
    assert names(told(from_bytes, RESPONSE, document)) == [("document-size", "$")]
