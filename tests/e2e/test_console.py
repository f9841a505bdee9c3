"""What operators do at the console, in a real browser and real terminals."""

import os
import re
import signal
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e.at_desk import CA, CO, HOSTILE, console_pid, said
from playwright.sync_api import expect

PAGES = (
    "/", "/contact-points", f"/contact-points/{CO}", "/messages", "/dead-letters", "/proposals", "/acts", "/directory",
    "/log", "/report", "/report?month=2026-11", "/health",
)  # fmt: skip
LANGUAGES = {"es": "Español", "fr": "Français", "pt": "Português"}
SHOTS = Path(__file__).parents[2] / "deploy" / "screenshots"


def grave(page) -> list[str]:
    """What axe finds that is serious or critical."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in {"serious", "critical"}]


def test_a_link_signs_in_once(desk, chromium, sandbox):
    at = desk()
    expect(at.page.get_by_role("heading", level=1)).to_be_visible()
    expect(at.page.get_by_text("operator.a")).to_be_visible()
    other = chromium.new_page()
    other.goto(f"{sandbox.console}/messages")
    expect(other.get_by_text(re.compile("valija-registry console"))).to_be_visible()
    other.close()


def test_the_mailbox_where_mail_waits_longest_is_found_from_the_first_page(desk, mail):
    at = desk("operator.observer")
    at.page.locator("dl.tiles").get_by_role("link", name=re.compile(r"enlace|liaison")).first.click()
    expect(at.page.get_by_role("heading", level=1)).to_have_text(CO)
    assert HOSTILE in said(at.page), "a hostile name is text"
    at.open("/contact-points?by=oldest")
    expect(at.page.locator("tbody tr").first).to_contain_text(CO)


def test_a_dead_letter_is_proposed_in_the_browser_signed_in_the_terminal_and_sent_back(desk, mail):
    at, digest = desk(), mail.dead[0]
    page = at.open("/dead-letters")
    row = page.locator("tr", has=page.get_by_role("link", name=digest[:12]))
    row.locator("summary").click()
    form = row.locator("form", has=page.locator('input[value="replay"]'))
    form.get_by_role("textbox").fill("the program of the office was mended")
    form.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Proposals")
    at.terminal.signs("replay", digest, CA, "the program of the office was mended")
    at.terminal.until("done: ")
    expect(page.locator("article").first).to_contain_text("done")
    at.open("/acts")
    expect(page.locator("tbody tr").first).to_contain_text("the program of the office was mended")
    at.open(f"/messages/{digest}")
    expect(page.locator("tbody").last).to_contain_text("ordered by operators")


def test_the_pictures_of_the_docs_are_of_these_pages(desk, mail):
    at, page = desk(), None
    for name, path in (
        ("overview", "/"), ("contact-points", "/contact-points?by=oldest"), ("dead-letters", "/dead-letters"),
        ("message", f"/messages/{mail.waiting}"),
    ):  # fmt: skip
        page = at.open(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if os.environ.get("VALIJA_SCREENSHOTS"):
            page.set_viewport_size({"width": 1000, "height": 620})
            page.wait_for_timeout(500)  # the charts
            page.screenshot(path=SHOTS / f"{name}.png")
        shown = SHOTS / f"{name}.png"
        assert shown.stat().st_size < 150_000
        assert f"screenshots/{shown.name}" in (SHOTS.parent / "RUNBOOK.md").read_text()


def test_two_people_hold_a_contact_point_and_one_cannot(desk):
    one, two = desk("operator.a"), desk("operator.b")
    page = one.open(f"/contact-points/{CO}")
    page.locator("details.propose summary").click()
    page.get_by_role("textbox").fill("a laptop was stolen")
    page.get_by_role("button", name="Propose the hold").click()
    one.terminal.signs("hold", CO, "a laptop was stolen")
    one.terminal.until("1 more must sign")
    expect(page.locator("article").first).to_contain_text("1 of 2")
    two.terminal.signs("hold", CO, "a laptop was stolen")
    two.terminal.until("done: ")
    expect(page.locator("article").first).to_contain_text("done")
    expect(two.open(f"/contact-points/{CO}").locator("dl.facts")).to_contain_text("held")


def test_an_observer_finds_no_act_and_is_refused_one(desk, mail):
    at = desk("operator.observer")
    assert at.open("/dead-letters").locator("form.act").count() == 0
    assert mail.dead[1][:12] not in said(at.page)
    token = at.page.locator('input[name="csrf"]').first.input_value()
    form = {"csrf": token, "act": "replay", "message": mail.dead[1], "contact_point": CA, "reason": "x"}
    answer = at.context.request.post(
        f"{at.sandbox.console}/proposals", form=form, headers={"Origin": at.sandbox.console}
    )
    assert answer.status == 403
    answer = at.context.request.get(f"{at.sandbox.console}/messages")
    assert answer.status == 403


def test_the_keyboard_alone_is_enough(desk, mail):
    at, digest = desk(), mail.dead[2]
    page = at.open("/dead-letters")

    def tab_to(wanted, most=120):
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate(wanted):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", "focus is seen"
                return
        raise AssertionError(f"not reached: {wanted}")

    tab_to("document.activeElement.classList.contains('skip')", 1)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    row = f"document.activeElement.closest('tr')?.innerText.includes('{digest[:12]}')"
    tab_to(f"{row} && document.activeElement.tagName === 'SUMMARY'")
    page.keyboard.press("Enter")
    tab_to("document.activeElement.name === 'reason'", 3)
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    at.terminal.signs("replay", digest, "by keyboard")
    expect(page.locator("article").first).to_contain_text("done")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(desk, mail, scheme):
    at = desk(color_scheme=scheme)
    for path in (*PAGES, f"/messages/{mail.waiting}"):
        page = at.open(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert grave(page) == [], path
    page.set_viewport_size({"width": 320, "height": 640})
    for path in PAGES:
        page = at.open(path)
        assert grave(page) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, f"{path} is {wide} wide at 320"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_spoken_on_every_page(desk, language):
    at = desk()
    page = at.open("/")
    page.get_by_role("link", name=LANGUAGES[language]).click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    for path in PAGES:
        page = at.open(path)
        assert page.locator("html").get_attribute("lang") == language
        assert "The same in a terminal" not in page.locator("body").inner_text(), path
    assert grave(page) == []


def test_without_javascript_everything_is_there(desk, mail):
    at = desk(java_script_enabled=False)
    for path in (*PAGES, f"/messages/{mail.waiting}"):
        expect(at.open(path).get_by_role("heading", level=1)).to_be_visible()
    page = at.open("/dead-letters")
    assert page.locator("form.act").count() >= 2


def test_numbers_look_again_by_themselves_and_are_said_to_be_old_when_they_are(desk, sandbox):
    at = desk()
    first = at.page.locator("#as-of").get_attribute("data-ms")
    expect(at.page.locator("#as-of")).not_to_have_attribute("data-ms", first, timeout=20_000)
    expect(at.page.locator("#stale")).to_be_hidden()
    at.context.set_offline(True)
    expect(at.page.locator("#stale")).to_be_visible(timeout=40_000)
    at.context.set_offline(False)
    expect(at.page.locator("#stale")).to_be_hidden(timeout=40_000)
    at.complaints.clear()  # what the browser said of being offline


def test_a_session_that_ended_is_said_and_is_no_empty_page(desk, sandbox):
    at = desk()
    os.kill(console_pid(sandbox), signal.SIGKILL)  # it forgets every session, and is started again
    expect(at.page.locator("#stale")).to_contain_text("session has ended", timeout=40_000)
    at.complaints.clear()
    expect(at.open("/messages").locator("main")).to_contain_text("valija-registry console")
    at.complaints.clear()
