"""What breaks the rules of each document type, and what its rules allow, for tests/schemas/documents.

A row of `BROKEN_BY_TYPE`: the rule, the path that is named, the type, what is changed in its example (`...` removes).
"""

SPONTANEOUS, MLA, WITHDRAWAL = "spontaneous-information/1", "mutual-legal-assistance-request/1", "withdrawal/1"
STATUS, CLARIFICATION = "status-update/1", "clarification/1"

TRACE, TRACED = "firearms-trace-request/1", "firearms-trace-result/1"
EXPORT, EXPORT_REPLY = "pre-export-notification/1", "pre-export-reply/1"
FINANCIAL, CONSENT = "financial-intelligence-request/1", "dissemination-consent-request/1"
CONSENT_REPLY = "dissemination-consent-reply/1"
REFERRAL, DELIVERY, TRAINING = "trafficking-referral/1", "controlled-delivery/1", "training-announcement/1"
LAW, CONSULTATION = "legislation-notice/1", "consultation/1"

LIFE = {"danger": "life", "text": "A threat.", "grading": {"source": "A", "information": "1"}}
NO_CONSENT = {"$.consent": {"given": False, "by": "guardian"}}
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
    ("consultation-agenda", "$.agenda", CONSULTATION, {"$.agenda": []}),
    ("consultation-agenda", "$.meeting", CONSULTATION, {"$.meeting": None}),
    ("consultation-empty", "$", CONSULTATION, {"$.meeting": None, "$.agenda": [], "$.questions": []}),
    ("consultation-reply", "$.respond_by", CONSULTATION, {"$.respond_by": None}),
    ("delivery-authorisations", "$.authorisations", DELIVERY, {"$.authorisations[2]": ...}),
    ("delivery-authorisations", "$.authorisations[0].reference", DELIVERY, {"$.authorisations[0].reference": None}),
    ("delivery-duty-officers", "$.duty_officers", DELIVERY, {"$.duty_officers[1]": ...}),
    ("delivery-times", "$.route[1].expected", DELIVERY, {"$.route[1].expected": "2026-03-20T10:00:00Z"}),
    ("language-code", "$.languages[1]", TRAINING, {"$.languages": ["en", "xx"]}),
    ("legislation-instrument", "$.instrument", LAW, {"$.event": "ratified", "$.instrument": None}),
    ("legislation-text", "$.citation", LAW, {"$.citation": None}),
    ("legislation-text", "$.files", LAW, {"$.files": []}),
    ("meeting-place", "$.meeting", TRAINING, {"$.meeting.location": None, "$.meeting.online": None}),
    ("meeting-times", "$.meeting.ends", TRAINING, {"$.meeting.ends": "2026-09-07T12:59:59Z"}),
    ("referral-consent", "$.consent.given", REFERRAL, NO_CONSENT),
    ("referral-consent", "$.consent.date", REFERRAL, {"$.consent.date": None}),
    ("referral-consent", "$.consent.scope", REFERRAL, {"$.consent.scope": None}),
    ("referral-exception", "$.exception", REFERRAL, {"$.exception": "A threat."}),
    ("referral-exception", "$.risks", REFERRAL, NO_CONSENT | {"$.exception": "A threat."}),
    ("referral-guardian", "$.guardian", REFERRAL, {"$.guardian": None}),
    ("referral-guardian", "$.consent.by", REFERRAL, {"$.consent.by": "victim"}),
    ("referral-scope", "$.travel_documents", REFERRAL, {"$.consent.covers": []}),
    ("referral-scope", "$.means", REFERRAL, {"$.means": "By a false offer of work."}),
    ("topics-once", "$.topics", TRAINING, {"$.topics": ["collection-of-evidence"] * 2}),
    ("training-deadline", "$.deadline", TRAINING, {"$.deadline": "2026-09-08T00:00:00Z"}),
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
    (REFERRAL, NO_CONSENT | {"$.exception": "A threat was heard.", "$.risks": [LIFE]}),
    (REFERRAL, {"$.age": "adult", "$.guardian": None, "$.consent.by": "victim"}),
    (REFERRAL, {"$.travel_documents": [], "$.consent.covers": [], "$.arrival": None}),
    (DELIVERY, {"$.authorisations[0].status": "not-required", "$.authorisations[0].reference": None}),
    (DELIVERY, {"$.route[1].expected": "2026-03-20T11:00:00Z"}),
    (TRAINING, {"$.meeting.location": None, "$.seats": None}),
    (LAW, {"$.event": "ratified", "$.citation": None, "$.files": []}),
    (CONSULTATION, {"$.meeting": None, "$.agenda": []}),
    (CONSULTATION, {"$.questions": [], "$.respond_by": None}),
)  # fmt: skip
