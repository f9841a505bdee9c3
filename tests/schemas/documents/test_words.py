"""An officer is told which field is wrong and how to write it; no input leads to another exception."""

import contextlib
import datetime as dt

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valija_schemas import documents, limits
from valija_schemas.documents.blocks import File
from valija_schemas.documents.forms.response import Response

REQUEST, RESPONSE = "information-request/1", "response/1"

TOLD = (
    ("field-missing", "$.case.title", {"$.case.title": ...}, "title is missing"),
    ("field-unknown", "$.case.titel", {"$.case.titel": "x"}, "Did you mean title?"),
    ("field-unknown", "$.respond_by.zzz", {"$.respond_by.zzz": "x"}, "by, reasons"),
    ("code-unknown", "$.case.offences[0].code", {"$.case.offences[0].code": "drugs"}, "drug-trafficking"),
    ("code-unknown", "$.subjects[0].entity.kind", {"$.subjects[0].entity.kind": "people"}, "bank-account"),
    ("code-unknown", "$.case.organised_group", {"$.case.organised_group": "yes"}, "suspected"),
    ("form-wrong", "$.authority.phone", {"$.authority.phone": "0202 555 0107"}, "+525550123456"),
    ("form-wrong", "$.subjects[1].entity.imo", {"$.subjects[1].entity.imo": "IMO1234567"}, "seven digits"),
    ("form-wrong", "$.respond_by.by", {"$.respond_by.by": "2026-03-06T17:00:00"}, "offset"),
    ("form-wrong", "$.case.title", {"$.case.title": ""}, "not blank"),
    ("kind-wrong", "$.questions[0].number", {"$.questions[0].number": "1"}, "whole number"),
    ("kind-wrong", "$.subjects[7].entity.quantity", {"$.subjects[7].entity.quantity": 12.5}, '"12.5"'),
    ("kind-wrong", "$.case", {"$.case": None}, "nothing"),
    ("size-wrong", "$.questions", {"$.questions": []}, "at least 1"),
    ("size-wrong", "$.case.reference", {"$.case.reference": "x" * 65}, "at most 64"),
    ("size-wrong", "$.questions[0].number", {"$.questions[0].number": 0}, "from 1"),
)


@pytest.mark.parametrize(("rule", "path", "changes", "words"), TOLD)
def test_a_wrong_shape_is_told_with_path_and_advice(rule, path, changes, words, edited):
    document = edited(REQUEST, changes)
    for read in (documents.from_builtins, lambda type_, value: documents.decode(type_, msgspec.json.encode(value))):
        with pytest.raises(documents.DocumentError) as caught:
            read(REQUEST, document)
        [problem] = caught.value.errors
        assert (problem.rule, problem.path) == (rule, path)
        assert words in problem.text


def test_a_received_document_must_have_every_field_and_all_missing_ones_are_told(edited):
    with pytest.raises(documents.DocumentError) as caught:
        documents.decode(
            RESPONSE, msgspec.json.encode(edited(RESPONSE, {"$.reference": ..., "$.answers[0].as_of": ...}))
        )
    assert [(problem.rule, problem.path) for problem in caught.value.errors] == [
        ("field-missing", "$.reference"),
        ("field-missing", "$.answers[0].as_of"),
    ]


def test_a_persons_file_may_leave_out_what_is_empty_and_use_toml_dates(edited):
    document = documents.from_builtins(
        REQUEST,
        edited(
            REQUEST,
            {
                "$.files": ...,
                "$.risk_to_life": ...,
                "$.handling.retain_until": dt.date(2029, 12, 31),
                "$.respond_by.by": dt.datetime(2026, 3, 6, 23, 0, 0, 5, tzinfo=dt.UTC),
                "$.questions[0].text": "\tWho?\r\nSince when? \n",
                "$.case.title": "Operacio\u0301n",
            },
        ),
    )
    assert document.files == ()
    assert document.handling.retain_until == "2029-12-31"
    assert document.respond_by.by == "2026-03-06T23:00:00+00:00"
    assert document.questions[0].text == "Who?\nSince when?"
    assert document.case.title == "Operación"


def test_a_time_without_offset_is_not_guessed(edited):
    with pytest.raises(documents.DocumentError, match="offset"):
        documents.from_builtins(REQUEST, edited(REQUEST, {"$.respond_by.by": dt.datetime(2026, 3, 6, 17)}))  # noqa: DTZ001


def test_unknown_types_and_versions_are_told_apart():
    with pytest.raises(documents.UnknownType, match="no such document type; known are"):
        documents.decode("letter/1", b"{}")
    with pytest.raises(documents.UnknownType, match="only version 1 is known here"):
        documents.decode("response/2", b"{}")
    for type_ in ("response", "response/01", "", "/", "response/1/"):
        with pytest.raises(documents.UnknownType):
            documents.from_builtins(type_, {})


def test_a_class_that_is_no_registered_type_is_not_encoded():
    with pytest.raises(documents.UnknownType):
        documents.encode(documents.Document(language="en"))


def test_a_document_built_with_wrong_values_is_not_encoded(examples):
    document = documents.from_builtins(RESPONSE, examples[RESPONSE])
    for wrong in (
        {"outcome": "yes"},
        {"reasons": "a\x00b"},
        {"reasons": "\ud800"},
        {"expected": 7},
        {"answers": {1.5}},
    ):
        with pytest.raises(documents.DocumentError):
            documents.encode(msgspec.structs.replace(document, **wrong))


def test_lists_may_be_given_where_tuples_are_kept(examples):
    document = documents.from_builtins(RESPONSE, examples[RESPONSE])
    assert documents.encode(msgspec.structs.replace(document, answers=list(document.answers))) == documents.encode(
        document
    )


def test_optional_fields_may_be_left_out_in_python(examples):
    full = documents.from_builtins(RESPONSE, examples[RESPONSE])
    document = Response(
        language="es",
        authority=full.authority,
        handling=full.handling,
        outcome="refused",
        refusal_ground="not-in-conformity",
        reasons="El pedido no nombra el hecho.",
    )
    assert b'"answers":[]' in documents.encode(document)


def test_a_file_measures_itself(examples):
    file = File.of("order.pdf", "application/pdf", b"%PDF-")
    assert file.size == 5
    full = documents.from_builtins(RESPONSE, examples[RESPONSE])
    answer = msgspec.structs.replace(full.answers[0], files=(file,))
    assert documents.decode(RESPONSE, documents.encode(msgspec.structs.replace(full, answers=(answer,))))


def test_no_more_than_a_message_holds_is_read():
    with pytest.raises(documents.DocumentError) as caught:
        documents.decode(RESPONSE, b" " * (limits.body_bytes_max + 1))
    assert [problem.rule for problem in caught.value.errors] == ["document-size"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("language"), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_no_value_leads_to_another_exception(value):
    for type_ in documents.types():
        with pytest.raises(documents.DocumentError):
            documents.from_builtins(type_, value)


@given(data=st.binary(max_size=200))
def test_no_bytes_lead_to_another_exception(data):
    for type_ in documents.types():
        with pytest.raises(documents.DocumentError):
            documents.decode(type_, data)


@given(path=st.sampled_from(sorted({case[1] for case in TOLD if case[0] != "field-unknown"})), value=JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_in_any_field_leads_to_another_exception(path, value, edited):
    with contextlib.suppress(documents.DocumentError):
        documents.from_builtins(REQUEST, edited(REQUEST, {path: value}))


def test_nesting_without_end_is_refused():
    value = {}
    value["language"] = value
    with pytest.raises(documents.DocumentError):
        documents.from_builtins(RESPONSE, value)
