"""Sessions: who is signed in at the console, from a signed note to the end of it. In memory; a restart ends all.

A challenge costs the console nothing: it is random, dated, and sealed with a key of this process, so that strangers may
ask for as many as they like. Only one that was answered by a valid note is remembered, until it could not be answered
any more. Tokens and links are kept as digests: whoever reads this memory has none that works.

Who somebody is, and what they may do, is looked up in the newest root at every request. A key that it names no more
ends its sessions at the next one.

Before this room: `guard`, `door`. After it: `directory`. Rules: schemas/SPEC.md section 5.6.
"""

import collections
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final, get_args

import msgspec
import structlog

from valija_broker.directory import Known, now_ms
from valija_broker.errors import Refused
from valija_schemas import session as schema
from valija_schemas.directory import Operator, Role

_log: Final = structlog.get_logger("console")

sessions_of_one_max: Final = 8  #: Of one person; the one that has been idle for longest makes room.
links_of_one_max: Final = 8  #: That wait to be followed.
attempts_per_second_max: Final = 50  #: Notes that are looked at, of everybody: each costs a signature check.
_random_bytes: Final = 16
_seal_bytes: Final = 16


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as far as the newest root says, and until when."""

    operator: str
    roles: frozenset[Role]
    idle: int  #: When it ends unless something is asked before; milliseconds since 1970.
    expires: int  #: When it ends in any case.
    csrf: str  #: What every form of this session repeats; empty where a program asks.

    def shown(self) -> schema.SignedIn:
        """For the one whose it is."""
        return schema.SignedIn(
            operator=self.operator,
            roles=tuple(role for role in get_args(Role) if role in self.roles),
            idle=self.idle,
            expires=self.expires,
        )


class _Open:
    """A session. A browser's ends with that of the command which began it."""

    def __init__(self, operator: Operator, at_ms: int, begun_by: "_Open | None") -> None:
        self.operator: Final = operator.id
        self.key: Final = operator.key
        self.begun_by: Final = begun_by
        self.expires: Final[int] = begun_by.expires if begun_by else at_ms + schema.session_ms
        self.idle = at_ms + schema.idle_ms
        self.csrf: Final = secrets.token_urlsafe(32) if begun_by else ""
        self.ended = False

    def over(self, at_ms: int) -> bool:
        """Whether it has ended. With the one that began it only if a person ended that: a command may be gone."""
        return (
            self.ended or at_ms >= min(self.idle, self.expires) or (self.begun_by is not None and self.begun_by.ended)
        )


class Sessions:
    """The sessions of one console. One event loop uses it."""

    def __init__(self, known: Known, address: str, clock: Callable[[], int] = now_ms) -> None:
        """`address` is that of the console, as operators reach it."""
        self._known = known
        self._address = address
        self._clock = clock
        self._seal = secrets.token_bytes(32)
        self._answered: dict[bytes, int] = {}  # challenges, and when each could not be answered any more
        self._attempts: collections.deque[int] = collections.deque(maxlen=attempts_per_second_max)
        self._open: dict[bytes, _Open] = {}  # by the digest of the token; the longest idle first
        self._links: dict[bytes, tuple[_Open, int]] = {}  # by the digest of the link, and until when each works

    def challenge(self) -> schema.Challenged:
        """A challenge for whoever asks."""
        now = self._clock()
        dated = secrets.token_bytes(_random_bytes) + now.to_bytes(8)
        return schema.Challenged(
            origin=self._known.origin,
            challenge=urlsafe_b64encode(dated + self._sealed(dated)).rstrip(b"=").decode(),
            expires=now + schema.challenge_ms,
            time=now,
        )

    def begin(self, raw: bytes) -> tuple[str, str, Session]:
        """Sign somebody in: the token, the secret of a link for a browser, and the session.

        Raises:
            Refused: `not-signed-in`, one vague code for everything; `rate`, too many attempts of everybody.
        """
        now = self._clock()
        if len(self._attempts) == attempts_per_second_max and now - self._attempts[0] < 1_000:
            raise Refused("rate", "too many attempts to sign in")
        self._attempts.append(now)
        self._forget(now)
        if not self._known.has_root:
            raise Refused("unavailable", "no root has been published")
        try:
            operator, value = schema.read_sign_in(raw, self._known.origin, self._known.roots.newest, self._address, now)
            dated = self._drawn_here(value.challenge, now)
        except schema.SessionError as error:
            _log.info("not_signed_in", error=str(error))
            raise Refused("not-signed-in", str(error)) from None
        self._answered[dated] = now + schema.challenge_ms
        opened = _Open(operator, now, None)
        token = self._keep(opened)
        link = secrets.token_urlsafe(32)
        waiting = [digest for digest, (other, _) in self._links.items() if other.operator == operator.id]
        if len(waiting) >= links_of_one_max:
            del self._links[waiting[0]]
        self._links[_digest(link)] = opened, now + schema.link_ms
        _log.info("signed_in", operator=operator.id)
        return token, link, self._shown(opened, operator)

    def follow(self, link: str) -> tuple[str, Session]:
        """Begin the session of a browser by a link: its token. The link works no more.

        Raises:
            Refused: `not-signed-in`; it was used, is too old, or never was one.
        """
        now = self._clock()
        found, until = self._links.pop(_digest(link), (None, 0))
        self._forget(now)
        operator = self._operator(found) if found is not None else None
        if found is None or operator is None or now >= until or found.over(now):
            _log.info("link_refused", operator=found.operator if found else None)
            raise Refused("not-signed-in", "this link does not work, or not any more")
        opened = _Open(operator, now, found)
        _log.info("browser_signed_in", operator=operator.id)
        return self._keep(opened), self._shown(opened, operator)

    def of(self, token: str, *, by_hand: bool = True) -> Session:
        """The session of a token; a request that is made `by_hand`, and not by a page, keeps it from being idle.

        Raises:
            Refused: `not-signed-in`; there is none, or it has ended.
        """
        now, digest = self._clock(), _digest(token)
        found = self._open.get(digest)
        operator = self._operator(found) if found is not None else None
        if found is None or operator is None or found.over(now):
            self._open.pop(digest, None)
            raise Refused("not-signed-in", "no such session, or not any more")
        if by_hand:
            found.idle = now + schema.idle_ms
            self._open[digest] = self._open.pop(digest)
        return self._shown(found, operator)

    def end(self, token: str) -> None:
        """End a session, and those of the browsers that it began."""
        found = self._open.pop(_digest(token), None)
        if found is not None:
            found.ended = True
            _log.info("signed_out", operator=found.operator)

    def _keep(self, opened: _Open) -> str:
        its = [digest for digest, other in self._open.items() if other.operator == opened.operator]
        if len(its) >= sessions_of_one_max:
            del self._open[its[0]]
        token = secrets.token_urlsafe(32)
        self._open[_digest(token)] = opened
        return token

    def _operator(self, opened: _Open) -> Operator | None:
        """Who has this session, if the newest root names them with the same key."""
        named = self._known.roots.newest.operators
        return next((one for one in named if (one.id, one.key) == (opened.operator, opened.key)), None)

    def _shown(self, opened: _Open, operator: Operator) -> Session:
        return Session(
            operator=operator.id,
            roles=frozenset(operator.roles),
            idle=min(opened.idle, opened.expires),
            expires=opened.expires,
            csrf=opened.csrf,
        )

    def _sealed(self, dated: bytes) -> bytes:
        return hmac.digest(self._seal, dated, "sha256")[:_seal_bytes]

    def _drawn_here(self, challenge: str, now: int) -> bytes:
        """What a challenge holds that this console drew, lately, and that was not answered.

        Raises:
            SessionError: it is none.
        """
        try:
            raw = urlsafe_b64decode(challenge + "=" * (-len(challenge) % 4))
        except ValueError:
            raw = b""
        dated, seal = raw[:-_seal_bytes], raw[-_seal_bytes:]
        if len(dated) != _random_bytes + 8 or not hmac.compare_digest(seal, self._sealed(dated)):
            raise schema.SessionError("this console did not draw this challenge")
        if not 0 <= now - int.from_bytes(dated[_random_bytes:]) < schema.challenge_ms:
            raise schema.SessionError("the challenge is too old")
        if dated in self._answered:
            raise schema.SessionError("the challenge was answered before")
        return dated

    def _forget(self, now: int) -> None:
        """What has ended, is too old to be answered, or too old to be followed."""
        self._answered = {challenge: until for challenge, until in self._answered.items() if now < until}
        self._links = {digest: kept for digest, kept in self._links.items() if now < kept[1]}
        self._open = {digest: kept for digest, kept in self._open.items() if not kept.over(now)}


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
