"""`valija case`: what an officer sees of a case, and what nobody may overlook."""

import importlib
import json
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
REQUEST = EXAMPLES / "information-request-1.json"
RESPONSE = json.loads((EXAMPLES / "response-1.json").read_text())
MX, CO = "mx.enlace", "co.enlace"
TYPE = "information-request/1"


def sent(desk: Any, *args: str) -> dict[str, Any]:
    done = desk.types("send", REQUEST, "--type", TYPE, "--to", CO, "--output", "ndjson", *args)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(desk: Any, folder: Path, digest: str, **changes: Any) -> None:
    path = folder / "answer.json"
    path.write_text(json.dumps(RESPONSE | changes))
    desk.types("send", path, "--type", "response/1", "--to", MX, "--in-reply-to", digest, as_=CO)
    desk.types("inbox", "--output", "json")


def test_a_case_is_listed_with_what_is_due_and_shown_with_what_was_said(desk, tmp_path):
    record = sent(desk)
    (line,) = json.loads(desk.types("case", "list", "--output", "json").stdout)
    assert (line["case"], line["state"], line["overdue"]) == (record["thread"], "theirs", True)
    table = desk.types("case", "list", "--overdue").stdout
    assert "OVERDUE\tEJEMPLO/0001/2026\tOperación Espécimen\tco.enlace" in table
    assert "waiting for theirs" in table

    desk.types("inbox", "--output", "json", as_=CO)
    answers(desk, tmp_path, record["digest"])
    shown = desk.types("case", "show", record["thread"]).stdout.splitlines()
    assert shown[:2] == [
        f"{TYPE} of {MX}, {record['digest'][:16]}",
        "    Handling: H1: not in judicial proceedings without the sender's consent",
    ]
    assert f"    Handling: Sent for: {json.loads(REQUEST.read_text())['handling']['purpose']}" in shown
    assert "    Handling: The receiver erases it after 2029-12-31." in shown
    assert any(line.endswith(f"{CO} -> {MX}  response/1  Partial") for line in shown)
    assert f"    Conditions: {RESPONSE['conditions_of_use']}" in shown
    asked = [line for line in shown if line.startswith("Question ")]
    assert [line.split(" in ")[1][16:] for line in asked] == ["", "", " OPEN"]
    assert "    El titular es la persona citada en la solicitud, desde 2024." in shown
    assert shown == desk.types("case", "show", record["digest"]).stdout.splitlines()


def test_an_officer_reads_a_case_in_his_language_whatever_is_written_in_it(desk):
    record = sent(desk)
    desk.types("inbox", "--output", "json", as_=CO)
    listed = desk.types("case", "list", "--language", "es", as_=CO).stdout
    assert listed.startswith("CASO\tMARCAS\tREFERENCIA\t")
    assert "\tVENCIDO\tEJEMPLO/0001/2026\t" in listed
    assert "\tespera nuestra respuesta\t" in listed
    shown = desk.types("case", "show", record["thread"], "--set", "language=pt", as_=CO).stdout
    assert "    Tratamento: H2: " in shown
    assert f"Pergunta 1 de {MX} em {record['digest'][:16]} ABERTA" in shown
    assert "2026-03-06 23:00:00 UTC" in shown
    papers = desk.folder / "papiers"
    done = desk.types("case", "export", record["thread"], papers, "--for", "internal", "--language", "fr", as_=CO)
    assert "en clair" in done.stderr
    assert "Traitement\u00a0: H1\u00a0: " in (papers / "INDEX.txt").read_text()


def test_partial_answers_are_joined_by_the_number_of_the_question(desk, tmp_path):
    record = sent(desk)
    desk.types("inbox", "--output", "json", as_=CO)
    answers(desk, tmp_path, record["digest"])
    third = RESPONSE["answers"][0] | {"question": 3, "text": "Ninguna (ejemplo).", "files": []}
    answers(
        desk, tmp_path, record["digest"], outcome="full", reasons=None, items_outstanding=[], answers=[third],
        items_provided=[],
    )  # fmt: skip
    found = json.loads(desk.types("case", "show", record["thread"], "--json").stdout)
    assert [(each["number"], len(each["answers"]), each["open"]) for each in found["questions"]] == [
        (1, 1, False), (2, 1, False), (3, 1, False),
    ]  # fmt: skip
    assert found["state"] == "answered"
    assert found["turns"][0]["document"] == json.loads(REQUEST.read_text())
    assert desk.types("case", "list").stdout.count("\n") == 1


def test_a_withdrawal_ends_the_case_on_both_sides(desk, tmp_path):
    record = sent(desk)
    desk.types("inbox", "--output", "json", as_=CO)
    words = json.loads((EXAMPLES / "withdrawal-1.json").read_text())
    for questions, states in (([3], ["theirs", "ours"]), ([], ["withdrawn", "withdrawn"])):
        path = tmp_path / "withdrawal.json"
        path.write_text(json.dumps(words | {"regarding": {"message": record["digest"]}, "questions": questions}))
        desk.types("reply", record["digest"], path, "--type", "withdrawal/1")
        desk.types("inbox", "--output", "json", as_=CO)
        found = [
            json.loads(desk.types("case", "list", "--all", "--output", "json", as_=who).stdout) for who in (MX, CO)
        ]
        assert [case["state"] for (case,) in found] == states
        shown = desk.types("case", "show", record["thread"], as_=CO).stdout
        assert shown.count("WITHDRAWN") == (1 if questions else 3)


def test_an_exercise_is_marked_and_stands_apart_from_real_cases(desk):
    record = sent(desk, "--exercise")
    listed = desk.types("case", "list")
    assert listed.stdout.count("\n") == 1
    assert "Exercises that are not shown: 1 (--exercise)" in listed.stderr
    received = desk.types("inbox", "--save", desk.folder / "received", as_=CO).stdout
    assert f"{record['id']}\tEXERCISE\t{MX}" in received
    papers = desk.folder / "papers"
    desk.types("case", "export", record["thread"], papers, "--for", "internal", as_=CO)
    assert (papers / "INDEX.txt").read_text().startswith("EXERCISE: nobody acts on this.\n")
    assert f"{record['thread']}\tEXERCISE OVERDUE" in desk.types("case", "list", "--exercise").stdout
    assert desk.types("case", "show", record["thread"]).stdout.startswith("EXERCISE: nobody acts on this.\n")


def test_a_long_first_reading_is_told(desk, monkeypatch):
    monkeypatch.setattr(importlib.import_module("valija.cli.case"), "_told_above", 0)
    sent(desk)
    assert "Messages that are read for the first time, which takes a while: 1" in desk.types("case", "list").stderr
    assert desk.types("case", "list").stderr == ""


def test_a_case_that_is_not_here_is_said_to_be_unknown(desk):
    done = desk.types("case", "show", "0" * 64, status=11)
    assert "Next: See `valija case list --all`." in done.stderr


def test_a_document_is_passed_on_and_a_case_given_out_by_consent_alone(desk, tmp_path):
    record = sent(desk)
    desk.types("inbox", "--output", "json", as_=CO)
    letter, office, papers = tmp_path / "carta.txt", tmp_path / "office.json", tmp_path / "papers"
    letter.write_text("Autorizado.")
    office.write_text(json.dumps(RESPONSE["authority"]))
    forward = ("forward", record["digest"], "--to", "ca.liaison", "--why", "Puerto de ejemplo", "--authority", office)
    export = ("case", "export", record["thread"], papers, "--for", "judicial")
    for refused in (forward, (*forward, "--dry-run"), export):
        done = desk.types(*refused, as_=CO, status=20)
        assert "H2 forbids" in done.stderr
        assert "Next: Ask for consent" in done.stderr
    consent = (
        "case",
        "consent",
        record["digest"],
        "--file",
        letter,
        "--by",
        "Juzgado de ejemplo",
        "--to",
        "ca.liaison",
    )
    desk.types(*consent, "--until", "mañana", as_=CO, status=2)
    desk.types(*consent, "--in-proceedings", "--until", "2099-12-31", "--conditions", "Sin copias", as_=CO)
    shown = desk.types("case", "show", record["digest"], as_=CO).stdout
    assert (
        "(RECORDED BY HAND from carta.txt) for ca.liaison; also in judicial proceedings; conditions: Sin cop" in shown
    )
    desk.types(*forward, "--dry-run", as_=CO)
    assert len(desk.broker.accepted) == 1
    desk.types(*forward, as_=CO)
    assert len(desk.broker.accepted) == 2
    assert desk.types(*export, as_=CO).stdout.strip() == str(papers / "INDEX.txt")
    assert "RECORDED BY HAND" in (papers / "INDEX.txt").read_text()


def test_an_answer_wanted_where_no_calendar_reaches_leaves_the_list_of_cases_whole(desk, tmp_path):
    path = tmp_path / "request.json"
    request = json.loads(REQUEST.read_text())
    for by in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"):
        path.write_text(json.dumps(request | {"respond_by": request["respond_by"] | {"by": by}}))
        desk.types("send", path, "--type", TYPE, "--to", CO, "--dry-run")
        record = json.loads(desk.types("send", path, "--type", TYPE, "--to", CO, "--output", "ndjson").stdout)
        desk.types("inbox", "--output", "json", as_=CO)
        desk.types("case", "show", record["thread"], as_=CO)
    found = json.loads(desk.types("case", "list", "--output", "json", as_=CO).stdout)
    assert {line["due"] for line in found} == {"1970-01-01T00:00:00.000Z", "9999-12-30T00:00:00.000Z"}
    assert desk.types("case", "list", "--overdue", as_=CO).stdout.count("OVERDUE") == 1
