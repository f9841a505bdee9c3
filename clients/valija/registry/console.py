"""The broker's console, from an operator's machine: sign in there, see what is proposed, sign it, and go.

The console is not believed. It says what somebody proposed; what is signed here is the text itself, read by the rules
that every broker reads orders by, of our own exchange, of now, and named by a digest that is computed here. A key that
signs orders signs two things through this room: orders, and the note that signs its holder in.

Before this room: `cli_console`. After it: `connect`, `orders`. Rules: schemas/SPEC.md sections 5.5 and 5.6.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp
import msgspec
from yarl import URL

from valija.connect import Endpoint
from valija.errors import AnswerInvalidError, RefusedError, RegistryError, UnavailableError
from valija.registry import core, orders
from valija_schemas import changes, hold, limits, order, problem, session
from valija_schemas import note as notes
from valija_schemas.proposal import Proposal, Proposals, SignatureLine, proposal_ms, proposals_max

T = TypeVar("T")

answer_timeout_s: Final = 20.0
answer_bytes_max: Final = 4 * 1024 * 1024  #: 200 proposals, each with its note and its words.
attempts_max: Final = 3  #: Of what may be repeated: a poll, or a signature.
backoff_s: Final = 1.0

_ALTERED: Final = "Do not sign it. Tell the other operators: somebody may have altered the console."
_JSON: Final = "application/json"
_NOTE: Final = "application/vnd.valija.note"


class Wanted(msgspec.Struct, frozen=True):
    """A proposal, as it was read here: nothing in it is the console's word but `text`, and that is what is signed."""

    id: str  #: Digest of `text`, computed here.
    text: bytes
    value: order.Action | hold.Hold

    @property
    def lines(self) -> list[str]:
        """What it says, for people."""
        return orders.said(self.value)


class Console:
    """A session at one console, in the name of one person."""

    def __init__(
        self, endpoint: Endpoint, origin: str, signer: notes.Signer, clock: Callable[[], int] = core.now
    ) -> None:
        """`signer` is of the exchange `origin`."""
        self._endpoint = endpoint
        self._origin = origin
        self._signer = signer
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        # As the console knows itself, and as a browser says it: no port where it is the scheme's own.
        self.address: Final = f"{endpoint.base.scheme}://{endpoint.base.host_port_subcomponent}"

    async def __aenter__(self) -> Self:
        self._session = self._endpoint.session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def __repr__(self) -> str:
        return f"Console({self.address!r})"

    async def sign_in(self) -> session.Begun:
        """Begin a session, and get a link that begins one in a browser, once.

        Raises:
            RefusedError: the root does not name this key, or the console is known by another address.
            AnswerInvalidError: it is a console of another exchange, or none.
            UnavailableError: it cannot be reached.
        """
        drawn = await self._ask("GET", "/admin/v1/challenge", session.Challenged)
        if drawn.origin != self._origin:
            raise AnswerInvalidError(
                f"{self.address} is the console of another exchange, not of {self._origin}",
                hint="Compare the address, and the keyring.",
            )
        value = session.SignIn(
            operator=self._signer.name.removeprefix(f"{self._origin}/"),
            address=self.address,
            challenge=drawn.challenge,
            time=self._clock(),
        )
        note = notes.sign(session.text(self._origin, value), [self._signer])
        begun = await self._ask("POST", "/admin/v1/sessions", session.Begun, note, _NOTE)
        if not re.fullmatch(rf"{re.escape(self.address)}/sign-in\?link=[A-Za-z0-9_-]{{43}}", begun.link):
            raise AnswerInvalidError(f"{self.address} gave a link to somewhere else; it was not opened")
        self._token = begun.token
        return begun

    async def sign_out(self) -> None:
        """End the session, and those of browsers that it began.

        Raises:
            RefusedError, UnavailableError: as `sign_in`; it ends by itself after a while.
        """
        await self._request("DELETE", "/admin/v1/session", b"", _JSON)

    async def check(self) -> session.SignedIn:
        """The session, as it stands; it is kept from being idle.

        Raises:
            RefusedError: it has ended.
            UnavailableError: the console cannot be reached now.
        """
        return await self._ask("GET", "/admin/v1/session", session.SignedIn)

    async def proposals(self) -> tuple[Proposal, ...]:
        """What the console says is proposed. Before anything is signed, `wanted` reads each text.

        Raises:
            RefusedError: the session has ended.
            AnswerInvalidError: it cannot be read, or is more than a console keeps.
            UnavailableError: it cannot be reached now.
        """
        found = (await self._ask("GET", "/admin/v1/proposals", Proposals)).proposals
        if len(found) > proposals_max:
            raise AnswerInvalidError(f"{self.address} shows more than {proposals_max} proposals")
        return found

    def wanted(self, given: Proposal) -> Wanted:
        """What a proposal asks for, by its text.

        Raises:
            RegistryError: it may not be signed: no order, of another exchange, under another name, or not of now.
        """
        return read(given.id, given.text, self._origin, self._clock())

    async def sign(self, wanted: Wanted) -> Proposal:
        """Sign what was shown, and hand the signature in. What became of it, as the console says.

        Raises:
            RefusedError: the console did not take it; its words say why.
            UnavailableError: whether it was taken is not known; the same again does no harm.
        """
        line = notes.signature_line(self._signer, wanted.text).decode()
        body = msgspec.json.encode(SignatureLine(line=line))
        return await self._ask("POST", f"/admin/v1/proposals/{wanted.id}/signature", Proposal, body, _JSON)

    async def _ask(self, method: str, path: str, type_: type[T], body: bytes = b"", media: str = _JSON) -> T:
        answer = await self._request(method, path, body, media)
        try:
            return msgspec.json.decode(answer, type=type_)
        except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError) as error:
            raise AnswerInvalidError(f"the answer of {self.address} cannot be read: {error}") from None

    async def _request(self, method: str, path: str, body: bytes, media: str) -> bytes:
        """Send a request, and again while nobody answers. What may be asked here may be asked twice, but a sign-in.

        A challenge that was answered is refused the second time; then one signs in anew.
        """
        for attempt in range(1, attempts_max + 1):
            try:
                status, answer = await self._once(method, path, body, media)
                break
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if (final := self._endpoint.failure(error)) is not None:
                    raise final from None
                if attempt == attempts_max:
                    words = str(error) or type(error).__name__
                    raise UnavailableError(f"{self._endpoint} did not answer: {words}") from None
                await asyncio.sleep(backoff_s)
        if 200 <= status < 300:
            return answer
        try:
            raise RefusedError(problem.decode(answer))
        except problem.ProblemError:
            raise AnswerInvalidError(
                f"{self.address} answered with status {status}, and not as a console does"
            ) from None

    async def _once(self, method: str, path: str, body: bytes, media: str) -> tuple[int, bytes]:
        if self._session is None:
            raise UnavailableError("this console is not open", hint="Use it inside `async with`.")
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with (
            asyncio.timeout(answer_timeout_s),
            self._session.request(
                method,
                URL(f"{self.address}{path}", encoded=True),
                data=body or None,
                headers=headers | ({"Content-Type": media} if body else {}),
                proxy_headers=self._endpoint.proxy_headers,
                allow_redirects=False,
            ) as response,
        ):
            parts: list[bytes] = []
            async for part in response.content.iter_any():
                parts.append(part)
                if sum(map(len, parts)) > answer_bytes_max:
                    raise AnswerInvalidError(f"the answer of {self.address} is longer than {answer_bytes_max} bytes")
            return response.status, b"".join(parts)


def read(id_: str, text: str, origin: str, now_ms: int) -> Wanted:
    """What a text asks for, if it may be signed.

    Raises:
        RegistryError: it is no order of `origin`, has another name than `id_`, or is not of now.
    """
    try:
        raw = text.encode()
        if hashlib.sha256(raw).hexdigest() != id_:
            raise RegistryError("the console gave a proposal another name than its text has", hint=_ALTERED)
        note = notes.sign(raw, [core.nobody])
        parse = hold.parse_hold if raw.startswith(hold.HOLD.encode()) else order.parse_order
        found: tuple[notes.Note, order.Action | hold.Hold] = parse(note, origin)
        parsed, value = found
        if parsed.text != raw:
            raise RegistryError("the console proposed more than one text", hint=_ALTERED)
    except ValueError as error:
        raise RegistryError(f"the console proposed what is no order of {origin}: {error}", hint=_ALTERED) from None
    early = now_ms - proposal_ms - limits.signature_skew_max_ms
    if not early <= value.time <= now_ms + limits.sent_ahead_max_ms:
        raise RegistryError(
            f"the console proposed an order of another time: {changes.when(value.time)}",
            hint="Compare this machine's clock with the broker's. If they agree, do not sign it.",
        )
    return Wanted(id_, raw, value)
