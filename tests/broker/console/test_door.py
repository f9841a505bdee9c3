"""Signing in at the console, over HTTP and from hostile hands. SPEC.md section 5.6."""

import pytest
from at_console import Clerk
from declared_answers import FOLDER


@pytest.fixture
async def clerk(sandbox):
    async with Clerk(sandbox) as found:
        yield found


async def test_a_note_gives_a_token_and_a_link_that_opens_a_browser_once(clerk):
    await clerk.browse()
    page = await clerk.get("/")
    assert page.status == 200
    assert b"operator.a" in page.body
    again = await clerk.follow(clerk.link)
    assert again.status == 401
    assert b"Sign in" in again.body


async def test_the_document_of_the_api_and_its_page_are_served_under_the_policy_of_the_console(clerk):
    for address, name in (
        ("/admin/v1/openapi.json", "admin.json"),
        ("/reference/admin.html", "admin.html"),
        ("/reference/reference.css", "reference.css"),
    ):
        answer = await clerk.send("GET", address)
        assert answer.status == 200
        assert answer.body == (FOLDER / name).read_bytes()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
