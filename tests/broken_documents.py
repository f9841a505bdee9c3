"""What breaks the rules of each document type, and what its rules allow, for tests/schemas/documents.

A row of `BROKEN_BY_TYPE`: the rule, the path that is named, the type, what is changed in its example (`...` removes).
"""

SPONTANEOUS, MLA, WITHDRAWAL = "spontaneous-information/1", "mutual-legal-assistance-request/1", "withdrawal/1"
STATUS, CLARIFICATION = "status-update/1", "clarification/1"

TRACE, TRACED = "firearms-trace-request/1", "firearms-trace-result/1"
EXPORT, EXPORT_REPLY = "pre-export-notification/1", "pre-export-reply/1"
FINANCIAL, CONSENT = "financial-intelligence-request/1", "dissemination-consent-request/1"
CONSENT_REPLY = "dissemination-consent-reply/1"

NOTHING_CLEAR = {"$.text": None, "$.questions": [], "$.answers": []}
YES = {"question": 2, "text": "Yes.", "grading": {"source": "A", "information": "1"}}
SERVICE = [{"number": 1, "kind": "service-of-documents", "text": "Serve the summons."}]

BROKEN_BY_TYPE = (
    ("answers-once", "$.answers[1].question", CLARIFICATION, {"$.answers": [YES, YES]}),
    ("assistance-numbered", "$.assistance[2].number", MLA, {"$.assistance[2].number": 1}),
    ("clarification-empty", "$", CLARIFICATION, NOTHING_CLEAR),
    ("legal-basis-needed", "$.legal_basis", MLA, {"$.legal_basis": []}),
    ("mla-facts", "$.facts", MLA, {"$.facts": None}),
    ("mla-papers", "$.assistance[2]", MLA, {"$.files": []}),
    ("mla-persons", "$.persons", MLA, {"$.persons[0]": ...}),
    ("offence-needed", "$.case.offences", MLA, {"$.case.offences": []}),
    ("questions-numbered", "$.questions[0].number", CLARIFICATION, {"$.questions[0].number": 2}),
    ("regarding-empty", "$.regarding", WITHDRAWAL, {"$.regarding": {}}),
    ("restrictions-handling", "$.handling.use", SPONTANEOUS, {"$.handling.use": ["H0"]}),
    ("status-awaiting", "$.awaiting", STATUS, {"$.state": "awaiting", "$.forwarded_to": None}),
    ("status-awaiting", "$.awaiting", STATUS, {"$.awaiting": "An order."}),
    ("status-forwarded", "$.forwarded_to", STATUS, {"$.forwarded_to": None}),
    ("status-forwarded", "$.forwarded_to", STATUS, {"$.state": "done"}),
    ("withdrawn-once", "$.questions[1]", WITHDRAWAL, {"$.questions": [2, 2]}),
    ("consent-conditions", "$.conditions", CONSENT_REPLY, {"$.conditions": None}),
    ("consent-conditions", "$.conditions", CONSENT_REPLY, {"$.answer": "granted"}),
    ("consent-parts", "$.parts", CONSENT, {"$.parts": None}),
    ("consent-parts", "$.parts", CONSENT, {"$.scope": "whole"}),
    ("consent-reasons", "$.reasons", CONSENT_REPLY, {"$.answer": "refused", "$.conditions": None}),
    ("consent-reasons", "$.valid_until", CONSENT_REPLY, {"$.answer": "refused", "$.conditions": None}),
    ("dissemination-authorities", "$.dissemination_to", FINANCIAL, {"$.dissemination_to": []}),
    ("dissemination-authorities", "$.dissemination_to", FINANCIAL, {"$.dissemination": "none"}),
    ("fiu-subject", "$.subjects", FINANCIAL, {"$.subjects": [], "$.transactions": []}),
    ("needs-time-until", "$.until", EXPORT_REPLY, {"$.until": None}),
    ("needs-time-until", "$.until", EXPORT_REPLY, {"$.answer": "no-objection"}),
    ("objection-reasons", "$.reasons", EXPORT_REPLY, {"$.answer": "objection", "$.until": None, "$.reasons": None}),
    ("pre-export-border", "$.importer.address.country", EXPORT, {"$.importer.address.country": "CL"}),
    ("pre-export-dates", "$.expected_arrival", EXPORT, {"$.expected_arrival": "2026-04-01"}),
    ("pre-export-quantity", "$.substances[0].substance.quantity", EXPORT, {"$.substances[0].substance.quantity": None}),
    ("trace-holder", "$.holder", TRACED, {"$.holder": None}),
    ("trace-markings", "$.firearm.make", TRACE, {"$.firearm.make": None}),
    ("trace-markings", "$.firearm.country_of_origin", TRACE, {"$.firearm.country_of_origin": None}),
    ("trace-reasons", "$.reasons", TRACED, {"$.outcome": "not-traceable"}),
    ("trace-reasons", "$.holder", TRACED, {"$.outcome": "not-traceable"}),
    ("trace-reasons", "$.reasons", TRACED, {"$.reasons": "No records."}),
    ("trace-serial", "$.firearm.serial_number", TRACE, {"$.firearm.serial_number": None}),
    ("trace-urgency", "$.urgency_justification", TRACE, {"$.urgency_justification": None}),
    ("trace-urgency", "$.urgency_justification", TRACE, {"$.urgency": "routine"}),
    ("transaction-amount", "$.transactions[0]", FINANCIAL, {"$.transactions[0].money": None}),
)  # fmt: skip

KEPT_BY_TYPE = (
    (SPONTANEOUS, {"$.handling.use": ["H0"], "$.restrictions": None, "$.case": None}),
    (MLA, {"$.facts": None, "$.assistance": SERVICE}),
    (MLA, {"$.persons": [], "$.persons_not_known": "The holder of the account is what we ask for."}),
    (MLA, {"$.legal_basis": [], "$.case.offences": [], "$.risk_to_life": "The witness was threatened."}),
    (WITHDRAWAL, {"$.questions": [], "$.regarding.message": None}),
    (STATUS, {"$.state": "awaiting", "$.forwarded_to": None, "$.awaiting": "An order of the court."}),
    (STATUS, {"$.state": "done", "$.forwarded_to": None, "$.text": None}),
    (CLARIFICATION, NOTHING_CLEAR | {"$.text": "The year is 2025."}),
    (TRACE, {"$.firearm.serial_number": None, "$.firearm.obliterated": True}),
    (TRACE, {"$.firearm.model": None, "$.not_marked": "Made by hand."}),
    (TRACE, {"$.urgency": "routine", "$.urgency_justification": None}),
    (TRACED, {"$.outcome": "not-traceable", "$.holder": None, "$.reasons": "No records before 1970.", "$.chain": []}),
    (EXPORT, {"$.expected_arrival": None, "$.consignee": None}),
    (EXPORT_REPLY, {"$.answer": "objection", "$.until": None}),
    (EXPORT_REPLY, {"$.answer": "no-objection", "$.until": None, "$.reasons": None}),
    (FINANCIAL, {"$.dissemination": "none", "$.dissemination_to": [], "$.transactions": []}),
    (CONSENT, {"$.scope": "whole", "$.parts": None}),
    (CONSENT_REPLY, {"$.answer": "refused", "$.conditions": None, "$.valid_until": None, "$.reasons": "A source."}),
)  # fmt: skip
