"""Every rule beyond shape: a document that breaks it is refused, with its name and the path of the field."""

import msgspec
import pytest
from broken_documents import BROKEN_BY_TYPE, KEPT_BY_TYPE

from valija_schemas import documents
from valija_schemas.documents import schema

REQUEST, RESPONSE, ALERT = "information-request/1", "response/1", "person-alert/1"
B2 = {"source": "B", "information": "2"}
FILE = {
    "name": "a.txt",
    "media_type": "text/plain",
    "size": 1,
    "sha256": "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd",
    "content": "QQ==",
}
NOBODY = {"kind": "person", "role": "missing"}
SUBJECT = "$.subjects[0].entity"
DOCUMENT = f"{SUBJECT}.documents[0]"
IBAN = "GB29NWBK60161331926819"
QUESTION = {"number": 9, "text": "Which?"}
BILATERAL = {"instrument": "bilateral", "article": "1"}
NOTHING = {"$.answers": [], "$.items_provided": []}


def subject(**entity):
    return {"$.subjects": [{"entity": entity, "grading": B2}]}


# The rule, the path that is named, the type, what is changed in its example.
BROKEN = (
    ("account-number", SUBJECT, REQUEST, subject(kind="bank-account", bank="Banco de Ejemplo")),
    ("account-number", f"{SUBJECT}.bank", REQUEST, subject(kind="bank-account", number="1")),
    ("aircraft-identifier", SUBJECT, REQUEST, subject(kind="aircraft", type_designator="C172")),
    ("alert-identifiers", "$.person.names", ALERT, {"$.person.names[0].family_name": None, "$.person.names[1]": ...}),
    ("alert-identifiers", "$.person.names", ALERT, {"$.person.names[0].forename": None, "$.person.names[1]": ...}),
    ("alert-identifiers", "$.person.sex", ALERT, {"$.person.sex": None}),
    ("alert-identifiers", "$.person.date_of_birth", ALERT, {"$.person.date_of_birth": None}),
    ("alert-identifiers", "$", ALERT, {"$.description": None, "$.photographs": []}),
    ("answers-once", "$.answers[1].question", RESPONSE, {"$.answers[1].question": 1}),
    ("authority-contact", "$.authority", RESPONSE, {"$.authority.email": None, "$.authority.duty_line": None}),
    ("authority-time-zone", "$.authority.time_zone", REQUEST, {"$.authority.time_zone": None}),
    ("birth-date-precision", f"{SUBJECT}.date_of_birth.date", REQUEST, {f"{SUBJECT}.date_of_birth.precision": "day"}),
    ("birth-place-empty", f"{SUBJECT}.place_of_birth", REQUEST, {f"{SUBJECT}.place_of_birth": {}}),
    ("calendar-date", "$.handling.retain_until", REQUEST, {"$.handling.retain_until": "2029-02-29"}),
    ("calendar-date", "$.respond_by.by", REQUEST, {"$.respond_by.by": "2026-02-30T00:00:00Z"}),
    ("calendar-date", "$.person.date_of_birth.date", ALERT, {"$.person.date_of_birth.date": "1999-02-29"}),
    ("cas-check-digit", "$.subjects[7].entity.cas", REQUEST, {"$.subjects[7].entity.cas": "299-42-4"}),
    ("communication-empty", SUBJECT, REQUEST, subject(kind="communication", service="Correo de ejemplo")),
    ("confidentiality-until", "$.confidentiality.until", REQUEST, {"$.confidentiality.until": None}),
    ("confidentiality-until", "$.confidentiality.until", REQUEST, {"$.confidentiality.level": "permanent"}),
    ("container-check-digit", f"{SUBJECT}.number", REQUEST, subject(kind="container", number="CSQU3054384")),
    ("country-code", "$.authority.country", REQUEST, {"$.authority.country": "XX"}),
    ("country-code", f"{SUBJECT}.nationalities[1]", REQUEST, {f"{SUBJECT}.nationalities": ["MX", "ZZ"]}),
    ("currency-code", f"{SUBJECT}.currency", REQUEST, subject(kind="bank-account", iban=IBAN, currency="ZZZ")),
    ("document-size", "$", REQUEST, {"$.information": [{"text": "x" * 20_000, "grading": B2}] * 53}),
    ("file-digest", "$.photographs[0].sha256", ALERT, {"$.photographs[0].sha256": "0" * 64}),
    ("file-size", "$.photographs[0].size", ALERT, {"$.photographs[0].size": 1}),
    ("firearm-identifier", SUBJECT, REQUEST, subject(kind="firearm", firearm_type="rifle")),
    ("further-questions-needed", "$.further_questions", RESPONSE, {"$.outcome": "more-information-needed"}),
    ("handle-service", f"{SUBJECT}.service", REQUEST, subject(kind="communication", handle="specimen")),
    ("handling-codes", "$.handling.use", REQUEST, {"$.handling.use": ["H2", "H1"]}),
    ("handling-codes", "$.handling.use", REQUEST, {"$.handling.use": ["H1", "H1"]}),
    ("handling-codes", "$.handling.use", REQUEST, {"$.handling.use": ["H0", "H1"]}),
    ("handling-text", "$.handling.text", REQUEST, {"$.handling.use": ["H3"]}),
    ("handling-text", "$.handling.text", REQUEST, {"$.handling.text": "Not before the hearing."}),
    ("iban-check-digits", f"{SUBJECT}.iban", REQUEST, subject(kind="bank-account", iban=IBAN.replace("29", "28"))),
    ("identity-document-dates", f"{DOCUMENT}.expires", REQUEST, {f"{DOCUMENT}.expires": "2020-01-01"}),
    ("identity-document-name", f"{DOCUMENT}.name", REQUEST, {f"{DOCUMENT}.kind": "other"}),
    ("imei-check-digit", f"{SUBJECT}.imei", REQUEST, subject(kind="communication", imei="490154203237519")),
    ("imo-check-digit", f"{SUBJECT}.imo", REQUEST, subject(kind="vessel", imo="1234568")),
    ("inquiry-once", "$.inquiry", REQUEST, {"$.inquiry": ["liaison", "liaison"]}),
    ("inquiry-subject", "$.subjects", REQUEST, {"$.subjects": []}),
    ("ip-address", "$.subjects[5].entity.ip", REQUEST, {"$.subjects[5].entity.ip": "192.0.2.256"}),
    ("ip-time", "$.subjects[5].entity.at", REQUEST, {"$.subjects[5].entity.at": None}),
    ("ip-time", f"{SUBJECT}.port", REQUEST, subject(kind="communication", phone="+12025550142", port=1)),
    ("legal-basis-citation", "$.legal_basis[0].article", REQUEST, {"$.legal_basis": [{"instrument": "untoc"}]}),
    ("legal-basis-citation", "$.legal_basis[0].title", REQUEST, {"$.legal_basis": [BILATERAL]}),
    ("legal-basis-citation", "$.legal_basis[0].title", REQUEST, {"$.legal_basis[0].title": "Convention"}),
    ("legal-basis-citation", "$.legal_basis[0]", REQUEST, {"$.legal_basis[0].instrument": "reciprocity"}),
    ("legal-basis-needed", "$.legal_basis", REQUEST, {"$.legal_basis": []}),
    ("location-empty", "$.last_seen.location", ALERT, {"$.last_seen.location.address": None}),
    ("name-empty", "$.person.names[2]", ALERT, {"$.person.names": [{"family_name": "A", "forename": "B"}] * 2 + [{}]}),
    ("name-transliteration", "$.person.names[1].transliteration", ALERT, {"$.person.names[1].transliteration": None}),
    ("offence-needed", "$.case.offences", REQUEST, {"$.case.offences": []}),
    ("outcome-answers", "$.answers", RESPONSE, NOTHING),
    ("outcome-answers", "$.outcome", RESPONSE, {"$.outcome": "not-held"}),
    ("outcome-outstanding", "$.items_outstanding", RESPONSE, {"$.outcome": "full"}),
    ("outcome-outstanding", "$.items_outstanding", RESPONSE, {"$.items_outstanding": []}),
    ("photograph-media-type", "$.photographs[0].media_type", ALERT, {"$.photographs": [FILE]}),
    ("postponement-date", "$.expected", RESPONSE, {"$.outcome": "postponed", "$.expected": None}),
    ("questions-numbered", "$.questions[1].number", REQUEST, {"$.questions[1].number": 1}),
    ("questions-numbered", "$.questions[0].number", REQUEST, {"$.questions[0].number": 2}),
    ("questions-numbered", "$.further_questions[0].number", RESPONSE, {"$.further_questions": [QUESTION]}),
    ("reasons-needed", "$.reasons", RESPONSE, {"$.reasons": None}),
    ("refusal-ground", "$.refusal_ground", RESPONSE, {"$.outcome": "refused"}),
    ("refusal-ground", "$.refusal_ground", RESPONSE, {"$.outcome": "full", "$.refusal_ground": "not-in-conformity"}),
    ("script-code", "$.person.names[1].script", ALERT, {"$.person.names[1].script": "Zzyx"}),
    ("substance-unit", "$.subjects[7].entity.unit", REQUEST, {"$.subjects[7].entity.unit": None}),
    ("substance-unit", "$.subjects[7].entity.quantity", REQUEST, {"$.subjects[7].entity.quantity": None}),
    ("text-characters", "$.case.title", REQUEST, {"$.case.title": "Oper\u202eación"}),
    ("time-zone", "$.authority.time_zone", REQUEST, {"$.authority.time_zone": "America/Bogata"}),
    ("unidentified-identifiers", "$.description", ALERT, {"$.kind": "unidentified-person", "$.description": None}),
    ("unidentified-identifiers", "$.person.sex", ALERT, {"$.kind": "unidentified-person", "$.person": NOBODY}),
    ("unidentified-identifiers", "$", ALERT, {"$.kind": "unidentified-person", "$.photographs": []}),
    ("vehicle-identifier", SUBJECT, REQUEST, subject(kind="vehicle", colour="gris")),
    ("vessel-identifier", SUBJECT, REQUEST, subject(kind="vessel", flag="PA")),
    *BROKEN_BY_TYPE,
)  # fmt: skip


@pytest.mark.parametrize(("rule", "path", "type_", "changes"), BROKEN, ids=[f"{case[0]}-{case[1]}" for case in BROKEN])
def test_breaking_a_rule_is_refused_by_its_name_and_path(rule, path, type_, changes, edited):
    with pytest.raises(documents.DocumentError) as caught:
        documents.from_builtins(type_, edited(type_, changes))
    assert (rule, path) in {(problem.rule, problem.path) for problem in caught.value.errors}
    for problem in caught.value.errors:
        assert problem.text[0].isupper()
        assert problem.text.endswith((".", "?"))
        assert str(problem) in str(caught.value)


def test_every_listed_rule_is_tried():
    listed = frozenset().union(*(schema.rules_beyond(type_) for type_ in documents.types().values()))
    assert {case[0] for case in BROKEN} == listed - {"one-form"}


FOUND = {
    "$.kind": "unidentified-person",
    "$.person": {"kind": "person", "sex": "M", "role": "other"},
    "$.demands": None,
}
KEPT = (
    (ALERT, {"$.legal_basis": []}),
    (ALERT, {"$.legal_basis": [], "$.case.offences": [], "$.kind": "disappearance"}),
    (ALERT, {"$.legal_basis": [{"instrument": "bilateral"}]}),
    (REQUEST, {"$.legal_basis": [{"instrument": "reciprocity"}]}),
    (REQUEST, {"$.legal_basis": [{"instrument": "bilateral"}], "$.risk_to_life": "The witness was threatened."}),
    (REQUEST, {"$.case.offences": [], "$.risk_to_life": "The witness was threatened."}),
    (ALERT, {"$.person.date_of_birth": {"date": "1999", "precision": "year"}}),
    (ALERT, {"$.person.date_of_birth": {"date": "1999", "precision": "estimated"}}),
    (ALERT, {"$.description": None}),
    (ALERT, {"$.photographs": []}),
    (ALERT, {"$.photographs": [], "$.description": None, "$.dna": [FILE]}),
    (ALERT, FOUND),
    (ALERT, FOUND | {"$.photographs": [], "$.fingerprints": [FILE]}),
    (REQUEST, {"$.legal_basis": [], "$.risk_to_life": "The witness was threatened."}),
    (REQUEST, {"$.legal_basis": [], "$.case.offences[0].code": "kidnapping"}),
    (REQUEST, {"$.legal_basis": [{"instrument": "domestic-law", "article": "5", "title": "Ley de ejemplo"}]}),
    (REQUEST, {"$.respond_by": None, "$.confidentiality": None}),
    (REQUEST, {"$.inquiry": ["liaison"], "$.subjects": []}),
    (REQUEST, subject(kind="communication", ip="2001:db8::7", at="2026-01-01T00:00:00Z")),
    (REQUEST, subject(kind="firearm", firearm_type="pistol", obliterated=True)),
    (RESPONSE, {"$.outcome": "full", "$.reasons": None, "$.items_outstanding": []}),
    (RESPONSE, NOTHING | {"$.outcome": "not-held"}),
    (RESPONSE, NOTHING | {"$.outcome": "refused", "$.refusal_ground": "contrary-to-legal-system"}),
    (RESPONSE, NOTHING | {"$.outcome": "postponed"}),
    (RESPONSE, {"$.outcome": "more-information-needed", "$.further_questions": [{"number": 1, "text": "Which?"}]}),
    (RESPONSE, {"$.refusal_ground": "prohibited-by-domestic-law"}),
    *KEPT_BY_TYPE,
)  # fmt: skip


@pytest.mark.parametrize(("type_", "changes"), KEPT)
def test_what_the_rules_allow_is_accepted(type_, changes, edited):
    document = documents.from_builtins(type_, edited(type_, changes))
    assert documents.decode(type_, documents.encode(document)) == document


def test_all_problems_are_told_at_once(edited):
    changes = {
        "$.handling.use": ["H3"],
        "$.legal_basis": [],
        "$.questions[2].number": 7,
        "$.subjects[1].entity.imo": "1234568",
    }
    with pytest.raises(documents.DocumentError) as caught:
        documents.from_builtins(REQUEST, edited(REQUEST, changes))
    assert {problem.rule for problem in caught.value.errors} == {
        "handling-text",
        "legal-basis-needed",
        "questions-numbered",
        "imo-check-digit",
    }


def test_a_received_document_that_breaks_a_rule_is_refused_too(edited):
    with pytest.raises(documents.DocumentError) as caught:
        documents.decode(RESPONSE, msgspec.json.encode(edited(RESPONSE, {"$.reasons": None})))
    assert [problem.rule for problem in caught.value.errors] == ["reasons-needed"]


@pytest.mark.parametrize(("priority", "hours"), [("flash", 8), ("urgent", 3 * 24), ("routine", 7 * 24)])
def test_default_deadline_runs_from_receipt(priority, hours):
    assert documents.respond_by_default_ms(priority, 1_795_488_860_123) == 1_795_488_860_123 + hours * 3_600_000
