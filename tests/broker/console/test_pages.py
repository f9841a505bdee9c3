"""The console's pages over sample records: each in every language, with hostile values, with none, for each role."""

import hashlib
import itertools

import pytest
from console_sample import CSRF, DIGEST, HOSTILE, nothing, rows, served
from read_page import Page

from valija_broker.console.pages import language, shape
from valija_broker.console.pages.view import STATIC
from valija_broker.console.sight import EVERYBODY, OF_MESSAGES

PAGES = (
    "/", "/contact-points", "/contact-points?by=oldest", "/contact-points/ca.liaison", "/messages",
    "/messages?state=waiting&since=2026-11-01", f"/messages/{DIGEST}", "/dead-letters", "/proposals", "/acts",
    "/directory", "/log", "/report", "/report?month=2026-10", "/health",
)  # fmt: skip
OF_ONE_MESSAGE = tuple(page for page in PAGES if page.startswith(("/messages", "/acts", "/report", "/proposals")))


async def read(client, path, status=200, **headers):
    async with client.get(path, headers=headers) as answer:
        assert answer.status == status, (path, answer.status)
        page = Page(await answer.text())
        assert page.faults == [], path
        return page


@pytest.mark.parametrize("records", [rows(), rows(HOSTILE, HOSTILE), nothing()], ids=["usual", "hostile", "none"])
async def test_every_page_is_whole_in_every_language(records):
    absent = {"/contact-points/ca.liaison", f"/messages/{DIGEST}"} if records["mailbox"] is None else set()
    async with served(records) as client:
        for path, code in itertools.product(PAGES, language.LANGUAGES):
            page = await read(client, path, 404 if path in absent else 200, **{"Accept-Language": code})
            assert page.tags[0] == ("html", {"lang": code})
            assert "\u202e" not in page.text
            assert all("alert" not in str(attributes) for tag, attributes in page.tags if tag == "script")


async def test_what_others_wrote_stays_text():
    async with served(rows(HOSTILE, HOSTILE)) as client:
        for path in PAGES:
            async with client.get(path) as answer:
                text = await answer.text()
                assert "<script>" not in text
                assert "\"'&" not in text
        assert "<script>alert(1)</script>" in (await read(client, "/acts")).text


async def test_a_role_sees_its_pages_alone_and_is_refused_the_others():
    for role in EVERYBODY:
        async with served(rows(), {role}) as client:
            seen = {attributes.get("href") for tag, attributes in (await read(client, "/")).tags if tag == "a"}
            for path in PAGES:
                hidden = path in OF_ONE_MESSAGE and role not in OF_MESSAGES
                page = await read(client, path, 403 if hidden else 200)
                assert not hidden or path not in seen
                forms = [action for action, _ in page.forms if action.startswith(("/proposals", "/directory"))]
                allowed = {"operator": "/proposals", "registrar": "/directory"}.get(role, "none")
                assert all(action.startswith(allowed) for action in forms), (role, path)


async def test_a_form_holds_what_a_proposal_needs():
    for path, acts in (
        ("/dead-letters", {"replay", "discard"}),
        (f"/messages/{DIGEST}", {"replay", "discard", "retain", "release"}),
        ("/contact-points/ca.liaison", {"lift"}),
    ):
        async with served(rows()) as client:
            page = await read(client, path)
        forms = [fields for action, fields in page.forms if action == "/proposals"]
        assert {fields["act"] for fields in forms} == acts
        assert all(fields["csrf"] == CSRF and fields["reason"] == "" for fields in forms)


async def test_a_field_that_cannot_be_looked_for_is_marked_and_the_rest_is_kept():
    async with served(rows()) as client:
        for field in ("sender", "recipient", "type", "state", "exercise", "prefix", "since", "until"):
            for value in ("<x>", "\u202e", "9" * 300, "' OR 1=1 --", "../..", "2026-13-4x"):
                page = await read(client, f"/messages?{field}={value.replace('<', '%3C')}&count=5")
                assert "This cannot be looked for" in page.text, (field, value)
        marked = [a for tag, a in page.tags if a.get("aria-invalid")]
        assert [a["name"] for a in marked] == ["until"]
        kept = await read(client, "/messages?sender=mx.enlace&exercise=false&until=2026-11-24")
        assert "valija-broker messages --sender mx.enlace --no-exercise --until 2026-11-24" in kept.text
        assert "/admin/v1/messages?sender=mx.enlace&exercise=false&until=1795478400000" in kept.text


async def test_who_is_not_signed_in_is_told_how_and_an_ended_session_is_said():
    async with served(rows()) as client:
        client.session.cookie_jar.clear()
        assert "There is no password here" in (await read(client, "/messages", 401)).text
        ended = await read(client, "/messages", 401, Cookie=f"valija={'e' * 43}")
        assert "Your session has ended" in ended.text
        assert "mx.enlace" not in ended.text


async def test_a_language_is_chosen_by_a_link_that_leads_nowhere_else():
    async with served(rows()) as client:
        for back in (
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/x\r\nSet-Cookie: a=b",
            "javascript:1",
        ):
            async with client.get("/language", params={"to": "fr", "back": back}, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/")
        async with client.get("/language", params={"to": "pt", "back": "/messages?state=failed"}) as answer:
            assert answer.url.path_qs == "/messages?state=failed"
            assert 'lang="pt"' in await answer.text()
        async with client.get("/language", params={"to": HOSTILE}, allow_redirects=False) as answer:
            assert "Set-Cookie" not in answer.headers


def test_the_reader_is_answered_in_a_language_that_there_is():
    for accepted, expected in (
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"), ("de, fr;q=0.5, es;q=0.7", "es"), ("", "en"), ("*", "en"), ("fr;q=0", "en"),
        ("fr;q=x", "en"), (";;;,,,=", "en"), ("es-419", "es"), ("a" * 100_000, "en"),
    ):  # fmt: skip
        assert language.wanted(None, accepted) == expected
    assert language.wanted("fr", "es") == "fr"
    assert language.wanted("xx", "es") == "es"


def test_what_lies_with_the_pages_is_what_was_published_under_that_name():
    kept = dict(reversed(line.split()) for line in (STATIC / "SHA256SUMS").read_text().splitlines())
    others = {path.name for path in STATIC.iterdir()} - {"SHA256SUMS", "console.css", "console.js"}
    assert kept.keys() == others
    for name, digest in kept.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name
    licensed = {name.partition(".")[0] for name in kept if name.endswith(".LICENSE")}
    assert {name.partition(".")[0] for name in kept} == licensed


def test_the_pages_fetch_nothing_from_elsewhere_and_evaluate_nothing():
    ours = (STATIC / "console.js").read_text() + (STATIC / "console.css").read_text()
    for forbidden in ("http:", "https:", "url(", "@import", "eval(", "innerHTML", "document.write"):
        assert forbidden not in ours


def test_times_spans_and_numbers_have_one_form():
    english = language.words("en")
    assert shape.time(1_795_600_000_000) == "2026-11-25 09:46:40 UTC"
    assert shape.time(None) == "—"
    assert shape.time(1 << 60).endswith(" ms")
    assert [shape.span(english, ms) for ms in (None, 5, 5_000, 65_000, 7_260_000, 90_000_000)] == [
        "—", "5 ms", "5 s", "1 min", "2 h 1 min", "1 d 1 h",
    ]  # fmt: skip
    assert shape.count(1_234_567) == "1\u202f234\u202f567"
    assert [shape.size(n) for n in (None, 0, 1_023, 8_664, 1 << 20)] == ["—", "0 B", "1023 B", "8.5 KiB", "1.0 MiB"]
    assert shape.spark([]) == shape.spark([1]) == ""
    assert shape.spark([0, 0]) == "0.0,19.0 96.0,19.0"
