"""What arrives of a request: within a limit, by a deadline of the whole, and the note of a message before its body.

Before this room: `caller`, `routes`. After it: nothing. Rules: schemas/SPEC.md sections 1.8 and 3.1.
"""

import asyncio
from typing import Final

from aiohttp import web

from valija_broker.errors import Refused
from valija_schemas import limits, message
from valija_schemas import note as notes

body_deadline_s: Final = 25.0  #: A whole body of 4 MiB over a slow line; a peer that sends nothing is cut off.
_deadline: Final = web.RequestKey("deadline", float)


def body_deadline(request: web.Request) -> float:
    """Until when the whole body must be here, on the clock of the event loop: counted from the first wait for it."""
    if _deadline not in request:
        request[_deadline] = asyncio.get_running_loop().time() + body_deadline_s
    return request[_deadline]


async def read_body(request: web.Request, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        Refused: it is longer than `bytes_max`, does not arrive in time, or breaks off.
    """
    if request.content_length is not None and request.content_length > bytes_max:
        raise Refused("too-large", f"{request.content_length} bytes announced, {bytes_max} allowed")
    return await read_rest(request, bytes_max)


async def read_rest(request: web.Request, bytes_max: int) -> bytes:
    """What was not read of the body yet.

    Raises:
        Refused: it is longer than `bytes_max`, does not arrive in time, or breaks off.
    """
    parts: list[bytes] = []
    length = 0
    try:
        if request.content.at_eof():
            return b""
        async with asyncio.timeout_at(body_deadline(request)):
            async for part in request.content.iter_any():
                length += len(part)
                if length > bytes_max:
                    raise Refused("too-large", f"more than {bytes_max} bytes")
                parts.append(part)
    except TimeoutError:
        raise Refused("too-slow", "the body did not arrive in time") from None
    except (ConnectionError, web.HTTPException, ValueError) as error:
        raise Refused("malformed", f"the body broke off: {type(error).__name__}") from None
    return b"".join(parts)


async def read_note(request: web.Request) -> tuple[notes.Note, bytes]:
    """The note at the front of a message, and what came of its body with it.

    Reads no more than a note may have and one chunk, so that a stranger costs us 16 KiB and one verification.
    """
    if request.content_length is not None and request.content_length > limits.message_bytes_max:
        raise Refused("too-large", f"{request.content_length} bytes announced")
    enough = limits.note_bytes_max + len(notes.BODY_BEGINS)
    try:
        data = request.content.read_nowait(enough)  # what came with the head, mostly all of it, needs no deadline
        if len(data) < enough and not request.content.at_eof():
            async with asyncio.timeout_at(body_deadline(request)):
                while len(data) < enough:
                    part = await request.content.read(enough - len(data))
                    if not part:
                        break
                    data += part
    except TimeoutError:
        raise Refused("too-slow", "the note did not arrive in time") from None
    except (ConnectionError, web.HTTPException, ValueError) as error:
        raise Refused("malformed", f"the note broke off: {type(error).__name__}") from None
    return notes.split(data)


async def read_body_rest(request: web.Request, length: int) -> bytes:
    """The `length` bytes that a message's body has beyond what came with its note.

    Raises:
        Refused: they do not arrive in time, or break off.
        MessageError: there are more, or fewer.
    """
    if length < 0:
        raise message.MessageError("body-mismatch", "the body is longer than the note says")
    rest = await read_rest(request, max(0, length))
    if len(rest) != length:
        raise message.MessageError("body-mismatch", "the body is shorter than the note says")
    return rest
