"""Who calls: the contact point whose key signed the request, and the body that it signed.

The order is that of http_signature: shape, time, key and signature before a byte of the body is read; then the body,
within a limit and a deadline; then the nonce, recorded before anything is done. Whoever fails is told one vague thing.

Before this room: `routes`. After it: `reading`, then the handlers. Rules: schemas/SPEC.md section 3.2.
"""

from collections.abc import Collection
from typing import Final

import msgspec
import structlog
from aiohttp import web

from valija_broker import metrics
from valija_broker.directory import Known, now_ms
from valija_broker.errors import Refused, StoreUnavailable
from valija_broker.reading import read_body
from valija_broker.room import Room
from valija_broker.seen import Seen
from valija_broker.shelves import Nonces
from valija_schemas import api, http_signature, limits
from valija_schemas.directory import ContactPoint

_log: Final = structlog.get_logger("caller")

#: A signature of before a loss counts for this long after it: the longest window and the skew.
replay_horizon_ms: Final = limits.signature_window_max_ms + limits.signature_skew_max_ms


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A contact point that signed this request, just now, for the first time."""

    point: ContactPoint
    body: bytes

    @property
    def id(self) -> str:
        """The contact point."""
        return self.point.id


class Gate:
    """Lets signed requests in."""

    def __init__(
        self, known: Known, nonces: Nonces, authorities: Collection[str], epoch_ms: int, room: Room, seen: Seen
    ) -> None:
        self._known = known
        self._seen = seen
        self._room = room
        self._nonces = nonces
        self._authorities = authorities
        # After the store was lost, what was signed before is refused until no signature from before can count.
        self._not_before_ms = epoch_ms + replay_horizon_ms if epoch_ms else 0

    async def admit(
        self,
        request: web.Request,
        *,
        bytes_max: int = api.request_bytes_max,
        answer_bytes_max: int = 0,
        active: bool = True,
    ) -> Caller:
        """The caller of `request`, with its body of `bytes_max` at most.

        `answer_bytes_max` is reserved for the answer. `active` refuses a suspended or held contact point; it may
        still read the directory and its own evidence.

        Raises:
            Refused: not signed as it must be (one vague code for everything), too large, too slow, suspended, held, or
                too much of this contact point is open already.
            StoreUnavailable: the nonce could not be recorded; nothing was done.
        """
        try:
            parsed = http_signature.parse(request.method, request.raw_path, request.raw_headers, self._authorities)
            parsed.check_time(now_ms())
            if parsed.created * 1000 < self._not_before_ms:
                raise StoreUnavailable("the nonces of before this moment were lost with the store")
            found = self._known.caller(parsed.keyid)
            if found is None:
                raise http_signature.SignatureError("the key is not an active key of the directory")
            point, key = found
            parsed.check_signature(bytes.fromhex(key.key))
            metrics.clock_skew.observe(now_ms() / 1000 - parsed.created)
            announced = request.content_length if request.content_length is not None else bytes_max
            self._room.take(request, point.id, min(announced, bytes_max) + answer_bytes_max)
            body = await read_body(request, bytes_max)
            parsed.check_body(body)
            parsed.check_time(now_ms())
            # Half a minute may have gone by: whose key this is, and whether it may act, is read again.
            found = self._known.caller(parsed.keyid)
            if found is None:
                raise http_signature.SignatureError("the key is not an active key of the directory any more")
            point = found[0]
            if not await self._nonces.record(parsed.keyid, parsed.nonce, parsed.nonce_kept_until_ms - now_ms()):
                raise http_signature.SignatureError("the nonce was used before")
        except http_signature.UnsignedError as error:
            _log.info("request_unsigned", path=request.path[:80])  # anybody's, and no failure of a contact point
            raise Refused("not-signed", str(error)) from None
        except http_signature.SignatureError as error:
            metrics.signature_failures.inc()
            _log.info("request_not_signed", path=request.path[:80], error=str(error))
            raise Refused("not-signed", str(error)) from None
        self._seen.note(point.id, now_ms())
        why = self._known.why_not_active(point.id) if active else None
        if why is not None:
            raise Refused(*why)
        return Caller(point=point, body=body)
