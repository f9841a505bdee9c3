"""Proposed in a browser, signed on another machine, done by the broker: with a real console and real commands."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from urllib.parse import urlencode

import msgspec
import pytest
from at_console import Clerk
from harness import change_point, digest_of, now_ms
from msgspec.structs import replace

from valija import age, keyring
from valija.connect import Endpoint
from valija.errors import RefusedError
from valija.registry.console import Console
from valija_schemas import api, limits, order
from valija_schemas.proposal import Offer, Offers, Proposal, Proposals, Wish

JSON = "application/json"
A, B = "operator.a", "operator.b"


@contextlib.asynccontextmanager
async def at_console(sandbox, who):
    """What `valija-registry console` does for one person."""
    signer = sandbox.exchange.operator_keyrings[who].operator
    async with Console(Endpoint(sandbox.console), sandbox.exchange.origin, signer) as found:
        await found.sign_in()
        yield found


async def post(clerk, path, value):
    headers = {"Authorization": f"Bearer {clerk.token}", "Content-Type": JSON}
    return await clerk.send("POST", f"/admin/v1/{path}", msgspec.json.encode(value), headers)


async def settled(console, id_):
    """The proposal once the broker has answered it."""
    for _ in range(600):
        (found,) = [each for each in await console.proposals() if each.id == id_]
        if found.state != "handed-in":
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def dead_letter(fresh):
    sender, recipient = fresh(), fresh()
    data = sender.message(recipient)
    await sender.accepted(data)
    (lent,) = await recipient.lease()
    assert await recipient.release(lent.token, dead=True) == ["done"]
    return recipient, digest_of(data)


async def form(clerk, path, **fields):
    return await clerk.post(path, urlencode({"csrf": await clerk.csrf(), **fields}).encode())


async def test_a_dead_letter_is_proposed_in_a_browser_signed_by_the_command_and_lent_again(sandbox, fresh, tmp_path):
    recipient, digest = await dead_letter(fresh)
    key, passphrase = tmp_path / "key", tmp_path / "passphrase"
    keyring.save(key, sandbox.exchange.operator_keyrings[A], age.Passphrase("correct horse", 1))
    passphrase.write_text("correct horse\n")
    line = [sys.executable, "-c", "from valija.registry.cli import main; main()", "console", sandbox.console]
    line += ["--key", str(key), "--as", A, "--passphrase-file", str(passphrase), "--no-browser"]
    async with Clerk(sandbox) as clerk:  # once the console is ready: a broker that just began has no root for a moment
        command = await asyncio.create_subprocess_exec(
            *line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        clerk.link = (await command.stdout.readline()).decode().strip()
        answer = await clerk.follow(clerk.link)
        clerk.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        fields = {
            "act": "replay",
            "message": digest,
            "contact_point": recipient.id,
            "reason": " se reparo\N{COMBINING ACUTE ACCENT} ",  # as some systems type it
        }
        answer = await form(clerk, "/proposals", **fields, hours="")
        assert answer.status == 303, answer
        id_ = answer.headers["Location"].partition("#")[2]
        said = await command.stderr.readuntil(b"Sign this as operator.a?")
        assert f"message: {digest}" in said.decode()
        assert f"digest: {id_}" in said.decode()
        assert "reason: se repar\N{LATIN SMALL LETTER O WITH ACUTE}\n" in said.decode()
        assert await recipient.lease() == (), "what is proposed is not done"
        command.stdin.write(b"y\n")
        await command.stderr.readuntil(b"by order of operator.a\n")
        command.send_signal(signal.SIGINT)
        assert (await command.stderr.read()).decode() == "\nSigned out.\n"
        assert await command.wait() == 0
        assert (await clerk.get("/")).status == 401, "the browser's session ended with the command's"
    (again,) = await recipient.lease()
    assert digest_of(again.message) == digest
    assert any(event.event.startswith(order.ACTION.encode()) for event in await recipient.evidence(digest))


async def test_a_hold_takes_two_operators_each_from_their_own_machine(sandbox, fresh):
    peer = fresh()
    wish = Wish(act="hold", contact_point=peer.id, hours=2, reason="a laptop was stolen")
    async with Clerk(sandbox) as clerk, at_console(sandbox, A) as a, at_console(sandbox, B) as b:
        await clerk.sign_in()
        answer = await post(clerk, "proposals", wish)
        assert answer.status == 201, answer
        made = msgspec.json.decode(answer.body, type=Proposal)
        assert (await a.sign(a.wanted(made))).signed == (A,)
        assert (await post(clerk, "proposals", wish)).status == 409
        with pytest.raises(RefusedError, match="not a signature of who hands it in"):
            stranger = replace(made, text=made.text.replace("stolen", "lost"))
            await b.sign(replace(b.wanted(made), text=stranger.text.encode()))
        assert (await b.sign(b.wanted(made))).state == "handed-in"
        found = await settled(b, made.id)
        assert (found.state, found.signed) == ("done", (A, B))
        assert "is held until" in found.words
        with pytest.raises(RefusedError, match="Somebody was first"):
            await a.sign(a.wanted(made))
        lift = await post(clerk, "proposals", replace(wish, act="lift", hours=None))
        lifted = msgspec.json.decode(lift.body, type=Proposal)
        for console in (a, b):
            await console.sign(console.wanted(lifted))
        assert "is lifted" in (await settled(a, lifted.id)).words


async def test_only_who_has_the_role_acts_and_a_browser_only_by_forms_of_its_own_session(sandbox, fresh):
    peer = fresh()
    wish = Wish(act="retain", contact_point=peer.id, reason="r")
    for role in ("observer", "registrar", "auditor"):
        async with Clerk(sandbox, f"operator.{role}") as clerk:
            await clerk.browse()
            assert (await post(clerk, "proposals", wish)).status == 403
            answer = await form(clerk, "/proposals", act="retain", contact_point=peer.id, reason="r")
            assert answer.status == 403
            assert "this is for operator" in answer.body.decode()
            expected = 200 if role == "auditor" else 403
            assert (await clerk.ask("/admin/v1/proposals")).status == expected
            expected = 403 if role != "registrar" else 422
            assert (await offer(clerk, b"no note")).status == expected
    async with Clerk(sandbox) as clerk:
        await clerk.browse()
        good = {"act": "retain", "contact_point": peer.id, "reason": "r"}
        for bad in (good, {**good, "csrf": "x" * 43}, {**good, "csrf": ""}):
            assert (await clerk.post("/proposals", urlencode(bad).encode())).status == 403
        own = {**good, "csrf": await clerk.csrf()}
        body = urlencode(own).encode()
        assert (await clerk.post("/proposals", body, Origin="https://evil.example")).status == 403
        in_json = {"Cookie": clerk.cookie, "Origin": sandbox.console, "Content-Type": JSON}
        assert (await clerk.send("POST", "/admin/v1/proposals", msgspec.json.encode(wish), in_json)).status in {
            401,
            403,
        }
        for hostile in ({"hours": "-1"}, {"hours": "x"}, {"act": "obey"}, {"message": "../.."}, {"unknown": "x"},
                        {"reason": ""}, {"reason": "x" * 501}, {"contact_point": "<script>"}):  # fmt: skip
            assert (await clerk.post("/proposals", urlencode(own | hostile).encode())).status == 400, hostile
        shown = msgspec.json.decode((await clerk.ask("/admin/v1/proposals")).body, type=Proposals)
        assert peer.id not in {each.contact_point for each in shown.proposals}


async def offer(clerk, raw):
    headers = {"Authorization": f"Bearer {clerk.token}", "Content-Type": api.NOTE_TYPE}
    return await clerk.send("POST", "/admin/v1/directory", raw, headers)


async def upload(clerk, raw, **changes):
    """The form with a file, as a browser sends it."""
    given = {"csrf": await clerk.csrf()} | changes
    parts = [f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in given.items()]  # fmt: skip
    head = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="../../x"\r\n\r\n'
    body = b"".join(parts) + head + raw + b"\r\n--xx--\r\n"
    return await clerk.post("/directory", body, Content_Type="multipart/form-data; boundary=xx")


async def test_a_registrar_publishes_a_directory_from_a_browser_after_seeing_what_it_changes(sandbox, fresh):
    peer = fresh()
    raw = sandbox.exchange.next_directory(change_point(peer.id, status="suspended"), now_ms=now_ms())
    version = sandbox.exchange.phonebook.version
    async with Clerk(sandbox, "operator.registrar") as clerk:
        await clerk.browse()
        for bad, status in (({"csrf": "x"}, 403), ({"csrf": ""}, 403), ({"other": "x"}, 400)):
            assert (await upload(clerk, raw, **bad)).status == status, bad
        for media, body, status in (
            ("multipart/form-data", b"--xx--", 415),
            ("multipart/form-data; boundary=", b"----", 415),
            ("multipart/form-data; boundary=xx", b"--xx--", 400),
            ("multipart/form-data; boundary=xx", b"--xx\r\n\r\n--xx--", 400),
            ("multipart/form-data; boundary=xx", b"", 400),
            ("multipart/form-data; boundary=xx", b"--xx\r\n" * 1_000, 400),
            ("multipart/form-data; boundary=xx", b"--xx\r\n\xff: x\r\n\r\nx\r\n--xx--", 400),
            (
                "multipart/form-data; boundary=xx",
                b"--xx\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--",
                400,
            ),
            ("multipart/form-data; boundary=xx", b"--xx\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n", 400),
            ("multipart/mixed; boundary=xx", b"--xx--", 415),
            ("application/x-www-form-urlencoded", b"csrf=x&file=y", 415),
        ):
            assert (await clerk.post("/directory", body, Content_Type=media)).status == status, (media, body[:80])
        assert (await upload(clerk, b"x" * (limits.directory_bytes_max + 1))).status == 413
        answer = await upload(clerk, raw)
        assert answer.status == 303, answer
        digest = answer.headers["Location"].partition("#")[2]
        shown = msgspec.json.decode((await clerk.ask("/admin/v1/offers")).body, type=Offers)
        (found,) = [each for each in shown.offers if each.digest == digest]
        assert found.changes == (f"~ {peer.id}: status 'active' becomes 'suspended'",)
        assert (await form(clerk, f"/directory/{digest}/publication")).status == 303
        for _ in range(600):
            answer = await clerk.ask(f"/admin/v1/offers/{digest}/publication", method="POST")
            if msgspec.json.decode(answer.body, type=Offer).state == "in-force":
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError(answer)
        assert (await offer(clerk, raw)).status == 422
    assert (sandbox.data / "directory" / f"directory.{version}.note").read_bytes() == raw
