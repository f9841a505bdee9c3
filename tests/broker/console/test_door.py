"""Coming in at a console that runs, by its command, a browser, and hostile hands. SPEC.md sections 3.5 and 5.6."""

import asyncio
import os
import signal

import msgspec
import pytest
from at_console import FORM, Clerk, wait_for_console
from conftest import large_exchange
from declared_answers import ADMIN, FOLDER
from harness import refused
from sandbox import Sandbox

from valija_broker.console.guard import HEADERS, form_bytes_max
from valija_schemas import session as schema


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
    assert "Set-Cookie" not in again.headers


async def test_a_link_that_is_only_looked_at_is_not_used_up(clerk):
    await clerk.sign_in()
    target = clerk.link.removeprefix(clerk.sandbox.console)
    for _ in range(3):
        page = await clerk.send("GET", target)
        assert page.status == 200
        assert b'method="post"' in page.body
    assert (await clerk.follow(clerk.link)).status == 303


async def test_the_page_of_a_link_shows_what_it_is_given_as_text(clerk):
    page = await clerk.send("GET", "/sign-in?link=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script>" not in page.body


async def test_the_cookie_of_a_browser_is_for_this_site_and_for_no_script(clerk):
    await clerk.sign_in()
    cookie = (await clerk.follow(clerk.link)).headers["Set-Cookie"]
    assert {part.strip() for part in cookie.split(";")} >= {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert "Domain" not in cookie


async def test_no_answer_comes_without_the_headers_that_protect_a_browser(clerk):
    await clerk.browse()
    for answer in (
        await clerk.get("/"),
        await clerk.send("GET", "/"),
        await clerk.send("GET", "/nowhere"),
        await clerk.send("PUT", "/sign-in"),
        await clerk.send("GET", "/admin/v1/overview"),
        await clerk.follow(clerk.link),
        await clerk.send("POST", "/sign-in", b"x" * 20_000, {"Content-Type": FORM}),
    ):
        assert answer.headers["Cache-Control"] == "no-store", answer
        assert HEADERS.items() <= dict(answer.headers).items(), answer


async def test_a_stolen_cookie_of_another_kind_or_two_at_once_open_nothing(clerk, sandbox):
    await clerk.browse()
    async with Clerk(sandbox, "operator.b") as other:
        await other.browse()
        both = f"{clerk.cookie}; {other.cookie}"
        assert (await clerk.send("GET", "/", None, {"Cookie": both})).status == 401
        named = {"Cookie": clerk.cookie, "Authorization": f"Bearer {other.token}"}
        assert (await clerk.send("GET", "/", None, named)).status == 401
        # A form of one session, sent with the cookie of another.
        assert (await clerk.post("/sign-out", f"csrf={await other.csrf()}".encode())).status == 403
        assert (await other.get("/")).status == 200
    for cookie in (
        f"valija={clerk.token}", "valija=", "valija=" + "x" * 43, clerk.cookie.upper(), f"__Host-{clerk.cookie}",
        clerk.cookie + "x", clerk.cookie[:-1], "valija=\u00e9" * 9,
    ):  # fmt: skip
        assert (await clerk.send("GET", "/", None, {"Cookie": cookie})).status == 401, cookie
    for token in (clerk.cookie.partition("=")[2], "", "x" * 43, clerk.token + "x"):
        assert (await clerk.send("GET", "/", None, {"Authorization": f"Bearer {token}"})).status == 401, token
    assert (await clerk.get("/")).status == 200


async def test_a_form_of_another_site_or_of_no_session_does_nothing(clerk):
    await clerk.browse()
    good = f"csrf={await clerk.csrf()}".encode()
    for origin in ("https://evil.example", "null", clerk.sandbox.console.replace("127.0.0.1", "localhost"), ""):
        assert (await clerk.post("/sign-out", good, Origin=origin)).status == 403, origin
    no_origin = {"Content-Type": FORM, "Cookie": clerk.cookie}
    assert (await clerk.send("POST", "/sign-out", good, no_origin)).status == 403
    for body in (b"", b"csrf=", b"csrf=x", good + b"x", good + b"&" + good):
        assert (await clerk.post("/sign-out", body)).status in {400, 403}, body
    assert (await clerk.post("/sign-out", good, Content_Type="text/plain")).status == 415
    assert (await clerk.get("/")).status == 200
    assert (await clerk.post("/sign-out", good)).status == 303
    assert (await clerk.get("/")).status == 401


async def test_nobody_is_signed_in_as_somebody_else_by_a_form_of_another_site(clerk):
    await clerk.sign_in()
    assert (await clerk.follow(clerk.link, origin="https://evil.example")).status == 403
    assert (await clerk.follow(clerk.link, origin="null")).status == 403
    assert (await clerk.follow(clerk.link)).status == 303


async def test_a_session_that_has_ended_is_said_and_not_shown_as_empty(clerk):
    await clerk.browse()
    await clerk.ask("/admin/v1/session", method="DELETE")
    page = await clerk.get("/")
    assert page.status == 401
    assert b"Your session has ended" in page.body
    for cookie in ("", "language=es", "valija=", clerk.cookie + "x"):
        assert b"Your session has ended" not in (await clerk.send("GET", "/", None, {"Cookie": cookie})).body, cookie
    refused(await clerk.ask("/admin/v1/overview"), "not-signed-in")


async def test_a_method_that_a_page_does_not_take_is_said(clerk):
    answer = await clerk.send("PUT", "/sign-in")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,POST")


async def test_strangers_are_told_one_thing_whatever_they_try(clerk):
    first = refused(await clerk.hand_in(b"x"), "not-signed-in")
    used = clerk.note((await clerk.challenge()).challenge)
    assert (await clerk.hand_in(used)).status == 201
    others = [
        used,
        clerk.note("A" * 54),
        clerk.note((await clerk.challenge()).challenge, address="https://evil.example"),
    ]
    for note in others:
        found = refused(await clerk.hand_in(note), "not-signed-in")
        assert msgspec.structs.replace(found, time=0) == msgspec.structs.replace(first, time=0)


async def test_a_request_for_another_host_is_answered_nothing(clerk):
    await clerk.sign_in()
    port = clerk.sandbox.console_port
    for host in ("evil.example", "localhost", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}."):
        fields = {"Host": host, "Authorization": f"Bearer {clerk.token}"}
        answer = await clerk.send("GET", "/admin/v1/overview", None, fields)
        refused(answer, "not-found")


async def test_a_request_that_two_readers_could_read_differently_is_refused(clerk):
    """Whatever stands in front of the console and it agree on where a request ends."""
    await clerk.sign_in()
    host = f"Host: 127.0.0.1:{clerk.sandbox.console_port}\r\n"
    good = f"GET /admin/v1/session HTTP/1.1\r\n{host}Authorization: Bearer {clerk.token}\r\n\r\n"
    for head in (
        f"POST /sign-in HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"POST /sign-in HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        f"POST /sign-in HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        f"GET /sign-in HTTP/1.1\r\n{host}{host}\r\n",
        f"GET /sign-in HTTP/1.1\r\n{host}X: a\nAuthorization: Bearer {clerk.token}\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", clerk.sandbox.console_port)
        writer.write((head + good).encode())
        async with asyncio.timeout(20):
            answered = await reader.read()
        writer.close()
        assert answered.split(b" ")[1] in {b"400", b"404"}, (head, answered)
        assert clerk.who.encode() not in answered, head


async def test_a_form_of_ten_megabytes_is_refused_before_it_is_here(clerk):
    await clerk.browse()
    for target in ("/sign-in", "/sign-out"):
        answer = await clerk.post(target, b"csrf=" + b"x" * 10_000_000)
        assert answer.status == 413
    assert (await clerk.post("/sign-out", b"x" * (form_bytes_max + 1))).status == 413
    assert (await clerk.hand_in(b"x" * 20_000)).status == 413


async def test_whose_key_a_new_root_drops_is_out_within_two_seconds_and_mail_needs_no_console(tmp_path):
    exchange = large_exchange(2)
    sandbox = Sandbox(tmp_path / "x", exchange, workers=1, console=True)
    sandbox.start()
    try:
        async with Clerk(sandbox) as gone, Clerk(sandbox, "operator.b") as stays:
            await gone.browse()
            await stays.browse()
            exchange.next_root(
                lambda root: msgspec.structs.replace(
                    root, operators=tuple(one for one in root.operators if one.id != "operator.a")
                )
            )
            exchange.next_directory()
            sandbox.publish()
            for _ in range(300):
                answers = [await gone.get("/"), await gone.ask("/admin/v1/session")]
                if {answer.status for answer in answers} == {401}:
                    break
                await asyncio.sleep(0.1)
            assert {answer.status for answer in answers} == {401}
            assert (await gone.hand_in(gone.note((await gone.challenge()).challenge))).status == 401
            assert (await stays.get("/")).status == 200
            (console,) = sandbox.processes()["console"]
            os.kill(console, signal.SIGKILL)
            assert sandbox.get("/readyz") == (200, "ready\n")
            await asyncio.to_thread(wait_for_another, sandbox, console)
            assert (await stays.get("/")).status == 401, "sessions end with the process"
            assert (await stays.browse()).cookie
    finally:
        sandbox.stop()


def wait_for_another(sandbox, pid):
    for _ in range(600):
        if sandbox.processes()["console"] not in ([], [pid]):
            break
    wait_for_console(sandbox)


async def test_the_document_of_the_api_and_its_page_are_served_under_the_policy_of_the_console(clerk):
    for address, name in (
        ("/admin/v1/openapi.json", "admin.json"),
        ("/reference/admin.html", "admin.html"),
        ("/reference/reference.css", "reference.css"),
    ):
        answer = await clerk.send("GET", address)
        assert answer.status == 200
        assert answer.body == (FOLDER / name).read_bytes()


async def test_who_is_signed_in_is_said_to_them(clerk):
    await clerk.sign_in()
    answer = await clerk.ask("/admin/v1/session")
    found = msgspec.json.decode(answer.body, type=schema.SignedIn)
    assert (found.operator, found.roles) == ("operator.a", ("operator",))
    assert found.idle < found.expires
    ADMIN.check("GET", "/admin/v1/session", answer.status, answer.headers, answer.body)
