"""What breaks the rules of each document type, and what its rules allow, for tests/schemas/documents.

A row of `BROKEN_BY_TYPE`: the rule, the path that is named, the type, what is changed in its example (`...` removes).
"""

SPONTANEOUS, MLA, WITHDRAWAL = "spontaneous-information/1", "mutual-legal-assistance-request/1", "withdrawal/1"
STATUS, CLARIFICATION = "status-update/1", "clarification/1"

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
)  # fmt: skip
