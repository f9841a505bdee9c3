"""Somebody who works at the broker, with a command and a browser at its console; neither need behave."""

import asyncio
import io
import re
import time
from collections.abc import Mapping
from typing import Any, Self

import aiohttp
import msgspec
from harness import Answer, now_ms
from multidict import CIMultiDict
from sandbox import Sandbox
from yarl import URL

from valija_schemas import api
from valija_schemas import note as notes
from valija_schemas import session as schema

FORM = "application/x-www-form-urlencoded"


class Clerk:
    """One person. `sign_in` gives a token; `browse` follows the link, for `get` and `post`. An `async with`."""

    def __init__(self, sandbox: Sandbox, who: str = "operator.a") -> None:
        self.sandbox, self.who = sandbox, who
        self.signer: notes.Signer = sandbox.exchange.operator_keyrings[who].operator
        self.token = ""
        self.link = ""
        self.cookie = ""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No jar: each request has the cookies that it is given.
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        await asyncio.to_thread(wait_for_console, self.sandbox)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session
        await self._session.close()

    async def send(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        """Send exactly this."""
        assert self._session
        async with self._session.request(
            method,
            URL(f"{self.sandbox.console}{target}", encoded=True),
            data=io.BytesIO(body) if body else body,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept-Encoding"),
        ) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read())

    # As the command

    async def challenge(self) -> schema.Challenged:
        answer = await self.send("GET", "/admin/v1/challenge")
        assert answer.status == 200, answer
        return msgspec.json.decode(answer.body, type=schema.Challenged)

    def note(self, challenge: str, *, signer: notes.Signer | None = None, **changes: Any) -> bytes:
        """A good note that answers `challenge`, with `changes`."""
        origin = changes.pop("origin", self.sandbox.exchange.origin)
        values = {
            "operator": self.who,
            "address": self.sandbox.console,
            "challenge": challenge,
            "time": now_ms(),
        }
        text = schema.text(origin, schema.SignIn(**(values | changes)))
        return notes.sign(text, [signer or self.signer])

    async def hand_in(self, note: bytes) -> Answer:
        return await self.send("POST", "/admin/v1/sessions", note, {"Content-Type": api.NOTE_TYPE})

    async def sign_in(self) -> Self:
        """As `valija-registry console` does."""
        answer = await self.hand_in(self.note((await self.challenge()).challenge))
        assert answer.status == 201, answer
        begun = msgspec.json.decode(answer.body, type=schema.Begun)
        self.token, self.link = begun.token, begun.link
        return self

    async def ask(self, target: str, *, method: str = "GET", token: str = "") -> Answer:
        """A request of the command."""
        return await self.send(method, target, None, {"Authorization": f"Bearer {token or self.token}"})

    # As the browser

    async def browse(self) -> Self:
        """Sign in, open the link and press its button."""
        await self.sign_in()
        answer = await self.follow(self.link)
        assert (answer.status, answer.headers["Location"]) == (303, "/"), answer
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return self

    async def follow(self, link: str, *, origin: str | None = None) -> Answer:
        secret = URL(link).query["link"]
        return await self.send(
            "POST",
            "/sign-in",
            f"link={secret}".encode(),
            {"Content-Type": FORM, "Origin": self.sandbox.console if origin is None else origin},
        )

    async def get(self, target: str, headers: Mapping[str, str] = {}) -> Answer:
        return await self.send("GET", target, None, {"Cookie": self.cookie, **headers})

    async def post(self, target: str, body: bytes, **headers: str) -> Answer:
        """A form, from a page of the console."""
        own = {"Content-Type": FORM, "Origin": self.sandbox.console, "Cookie": self.cookie}
        return await self.send("POST", target, body, own | {k.replace("_", "-"): v for k, v in headers.items()})

    async def csrf(self) -> str:
        """What the forms of this session repeat, as a page has it."""
        found = re.search(rb'name="csrf" value="([^"]+)"', (await self.get("/")).body)
        assert found
        return found[1].decode()


def wait_for_console(sandbox: Sandbox) -> None:
    """Return when the console is ready."""
    for _ in range(600):
        if sandbox.get("/readyz/console")[0] == 200:
            return
        time.sleep(0.05)
    raise AssertionError(f"the console did not get ready:\n{sandbox.log_path.read_text()[-4000:]}")
