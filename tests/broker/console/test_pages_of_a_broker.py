"""The console's pages over a broker that runs: what is there is shown, and a form that is filled in is a proposal."""

import urllib.parse

from at_console import Clerk
from read_page import Page

PAGES = (
    "/",
    "/contact-points",
    "/messages",
    "/dead-letters",
    "/proposals",
    "/acts",
    "/directory",
    "/log",
    "/report",
    "/health",
)


async def read(clerk, path, status=200):
    answer = await clerk.get(path)
    assert answer.status == status, (path, answer)
    page = Page(answer.body.decode())
    assert page.faults == [], path
    return page


async def test_every_page_of_a_running_broker_is_whole(sandbox):
    async with Clerk(sandbox) as clerk:
        await clerk.browse()
        for path in PAGES:
            await read(clerk, path)
        for path in ("/nothing", "/messages/x", f"/messages/{'0' * 64}", "/contact-points/nobody"):
            assert "There is no such page" in (await read(clerk, path, 404)).text


async def test_a_dead_letter_is_found_and_its_replay_proposed_by_the_form_beside_it(sandbox, fresh):
    sender, recipient = fresh(), fresh()
    digest = (await sender.accepted(sender.message(recipient))).message
    await recipient.release(*[lent.token for lent in await recipient.lease()], dead=True)
    async with Clerk(sandbox) as clerk:
        await clerk.browse()
        assert recipient.id in (await read(clerk, "/dead-letters")).text
        page = await read(clerk, f"/messages/{digest}")
        (form,) = [fields for action, fields in page.forms if action == "/proposals" and fields["act"] == "replay"]
        body = urllib.parse.urlencode(form | {"reason": "its program runs again <b>&"}).encode()
        answer = await clerk.post("/proposals", body)
        assert answer.status == 303
        shown = await read(clerk, "/proposals")
        assert "its program runs again <b>&" in shown.text
        assert "0 of 1 signatures" in shown.text
        again = await clerk.post("/proposals", body)
        assert again.status == 409
        assert "Somebody was faster" in Page(again.body.decode()).text
        (withdrawal,) = [
            (action, fields)
            for action, fields in shown.forms
            if action.endswith("/withdrawal") and action.split("/")[2] in answer.headers["Location"]
        ]
        await clerk.post(withdrawal[0], urllib.parse.urlencode(withdrawal[1]).encode())
        assert "its program runs again" not in (await read(clerk, "/proposals")).text
