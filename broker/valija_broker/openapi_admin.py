"""What the operators' API says of itself beside its routes, for `openapi`: words, examples, how one signs in.

Before this room: `openapi`. After it: `console.api`. Rules: schemas/SPEC.md section 3.5.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from valija_broker.console import acting, api, door  # noqa: F401 - they declare their routes
from valija_broker.console.table import TABLE
from valija_broker.declared import Route
from valija_broker.described import Api
from valija_schemas import admin, order, proposal, session
from valija_schemas.wire import Digest, Identifier

_TIME_MS: Final = 1795488862026  #: Of every example.
_MESSAGE: Final = "5f" * 32

_ABOUT: Final = """\
What those who run a broker may see of it, for programs: the records that the console's pages and the commands of \
`valija-broker` show, in JSON. The rules are those of schemas/SPEC.md, section 3.5; this document is made from the \
same declarations that the console runs on.

None of it holds content, and none can: the broker has no key that opens any. Times are milliseconds since 1970, \
spans milliseconds. Every field is present. A parameter that is not named, that is there twice or that is not of its \
form is refused. Nothing is kept by anybody between: every answer is looked up anew.

Every refusal is a problem (RFC 9457). Beside those that an operation names, an address that does not exist answers \
404 `not-found`, and a method that an address does not take 405 `method-not-allowed` with `Allow`."""

_BEARER: Final = """\
The token that `valija-registry console` was given when it signed in with the key of a person whom the root names \
among the operators. It ends with its session: after 15 minutes without a request, after 8 hours, or within two \
seconds of a root that names its key no more."""
_COOKIE: Final = """\
The session of a browser, begun by the link that came with the token, which works once. The name is that of a \
console with TLS. A browser that sends it for another site's page is refused, and what is not a GET needs the token \
of the session's forms, too."""

_TAGS: Final = {
    "challenge": "Signing in",
    "sessions": "Signing in",
    "session": "Signing in",
    "overview": "How it stands",
    "health": "How it stands",
    "contact-points": "Mailboxes",
    "messages": "Messages",
    "dead-letters": "Messages",
    "proposals": "Acting",
    "directory": "The directory",
    "offers": "The directory",
    "log": "Evidence",
    "acts": "Evidence",
    "report": "Evidence",
}
_PATH_PARAMETERS: Final[Mapping[str, tuple[Any, str]]] = {
    "contact_point": (Identifier, "The name of a contact point."),
    "proposal": (Digest, "The digest of the text of a proposal."),
    "offer": (Digest, "The digest of a root or a directory that was offered."),
    "digest": (Digest, "The digest of a message: lower-case hex SHA-256 of the text of its note."),
}

_CHECKPOINT: Final = admin.Checkpoint(
    size=88_213, root="c4" * 32, time=_TIME_MS - 900, cosigned=("w.example/one",), quorum=1
)
_MAILBOX: Final = admin.Mailbox(
    id="ca.liaison",
    state="CA",
    organisation=None,
    name="National liaison",
    area="law-enforcement",
    status="active",
    held_until=None,
    ready=3,
    leased=1,
    dead=1,
    oldest=_TIME_MS - 480_000,
    collect_p95=41_000,
    last_seen=_TIME_MS - 2_000,
    keys={"sign": (1, 0, 0), "seal": (1, 2, 0), "auth": (1, 0, 1)},
    hours=(0,) * 20 + (2, 5, 1, 4),
)
_ID: Final = "0193d1c8-2b5a-7c11-8f0e-5a1f0c2d3e4f"
_LETTER: Final = admin.DeadLetter(
    mailbox="ca.liaison",
    digest=_MESSAGE,
    id=_ID,
    sender="mx.enlace",
    since=_TIME_MS - 60_000,
    attempts=10,
    reason="attempts",
)
_ROW: Final = admin.MessageRow(
    digest=_MESSAGE,
    id=_ID,
    sender="mx.enlace",
    type="information-request/1",
    priority="urgent",
    exercise=False,
    thread=_ID,
    in_reply_to=None,
    bytes=4_512,
    accepted=_TIME_MS - 3_600_000,
    expires=_TIME_MS + 600_000_000,
    shares=(
        admin.Share(recipient="ca.liaison", state="dead", since=_LETTER.since, attempts=10, reason="attempts"),
        admin.Share(recipient="co.enlace", state="delivered", since=_TIME_MS - 3_500_000, attempts=None, reason=None),
    ),
)
_WISH: Final = proposal.Wish(
    act="replay", message=_MESSAGE, contact_point="ca.liaison", reason="their program was repaired"
)
_ACTION: Final = order.Action(
    action="replay", message=_MESSAGE, contact_point="ca.liaison", time=_TIME_MS, reason=_WISH.reason
)
_TEXT: Final = order.text("exchange.example", _ACTION)
_LINE: Final = f"\N{EM DASH} exchange.example/operator.a {'Kx7Q' * 22}Kw==\n"
_PROPOSAL: Final = proposal.Proposal(
    id=hashlib.sha256(_TEXT).hexdigest(),
    text=_TEXT.decode(),
    act="replay",
    message=_MESSAGE,
    contact_point="ca.liaison",
    reason=_WISH.reason,
    by="operator.b",
    time=_TIME_MS,
    ends=_TIME_MS + proposal.proposal_ms,
    needs=1,
    signed=(),
    state="open",
    words=None,
    note=None,
    preview=proposal.Preview(letter=_LETTER, concerned=("mx.enlace", "ca.liaison"), until=None),
)
_OFFER: Final = proposal.Offer(
    digest="0c" * 32,
    kind="directory",
    version=119,
    issued=_TIME_MS - 60_000,
    expires=_TIME_MS + 2_000_000_000,
    signed=("exchange.example/officer.a", "exchange.example/officer.b"),
    changes=("~ ca.liaison: status 'active' becomes 'suspended'",),
    by="operator.registrar",
    ends=_TIME_MS + proposal.proposal_ms,
    state="offered",
)


def _answers() -> dict[str, Any]:
    """An example of what each operation gives."""
    signed_in = session.SignedIn(
        operator="operator.a",
        roles=("operator",),
        idle=_TIME_MS + session.idle_ms,
        expires=_TIME_MS + session.session_ms,
    )
    return {
        "challenge": session.Challenged(
            origin="exchange.example", challenge="q8T" * 18, expires=_TIME_MS + session.challenge_ms, time=_TIME_MS
        ),
        "sign_in": session.Begun(
            token="n0-" * 14 + "n",
            link=f"https://console.exchange.example/sign-in?link={'k4_' * 14}k",
            session=signed_in,
        ),
        "session": signed_in,
        "sign_out": signed_in,
        "overview": admin.Overview(
            time=_TIME_MS,
            origin="exchange.example",
            version="1.0.0",
            attention=(
                admin.Attention(
                    code="dead-letters",
                    verdict="warning",
                    words="1 message lies among the dead letters of ca.liaison.",
                    values={"count": "1", "contact_point": "ca.liaison"},
                    place="/dead-letters",
                    command="valija-broker dead groups",
                ),
            ),
            minutes=(
                admin.Minute(time=_TIME_MS - _TIME_MS % 60_000, accepted=4, handed_over=4, acknowledged=3, died=0),
            ),
            ready=3,
            leased=1,
            dead=1,
            outbox=0,
            oldest=_MAILBOX.oldest,
            oldest_in="ca.liaison",
            checkpoint=_CHECKPOINT,
            directory=118,
            directory_expires=_TIME_MS + 1_000_000_000,
            canary=_TIME_MS - 30_000,
        ),
        "contact_points": (_MAILBOX,),
        "contact_point": _MAILBOX,
        "messages": admin.Messages(messages=(_ROW,), next="88107"),
        "message": admin.MessageStory(
            message=_ROW,
            events=(
                admin.Happened(
                    event="SubmissionAcceptance",
                    time=_ROW.accepted,
                    by="broker",
                    to=("ca.liaison", "co.enlace"),
                    reason=None,
                    index=88_106,
                    proof="proved",
                ),
            ),
        ),
        "dead_letters": (
            admin.DeadGroup(
                reason="attempts",
                words="It was lent as often as the settings allow, and nobody acknowledged it.",
                count=1,
                mailboxes=("ca.liaison",),
                oldest=_LETTER.since,
                letters=(_LETTER,),
            ),
        ),
        "directory": (
            admin.DirectoryVersion(
                version=118,
                digest="0b" * 32,
                root=1,
                issued=_TIME_MS - 1_000_000_000,
                expires=_TIME_MS + 1_000_000_000,
                contact_points=41,
                changes=("~ ca.liaison: a new seal key",),
            ),
        ),
        "log": admin.LogState(
            origin="exchange.example/log",
            checkpoint=_CHECKPOINT,
            note="",
            witnesses=(admin.WitnessState(name="w.example/one", cosigned=True),),
            retained=("co.enlace",),
        ),
        "list_proposals": proposal.Proposals(proposals=(_PROPOSAL,)),
        "propose": _PROPOSAL,
        "show_proposal": _PROPOSAL,
        "withdraw": proposal.Proposals(proposals=()),
        "sign": msgspec.structs.replace(
            _PROPOSAL,
            signed=("operator.a",),
            state="handed-in",
            note=f"{_PROPOSAL.text}\n{_LINE}",
        ),
        "list_offers": proposal.Offers(offers=(_OFFER,)),
        "offer": _OFFER,
        "publish": msgspec.structs.replace(_OFFER, state="handed-in"),
        "acts": (
            admin.Act(
                digest="9d" * 32,
                act="replay",
                operators=("operator.a",),
                message=_MESSAGE,
                contact_point="ca.liaison",
                reason="their program was repaired",
                time=_TIME_MS,
                index=88_214,
            ),
        ),
        "health": admin.Health(
            verdict="ok",
            checks=(
                admin.Check(
                    name="queue",
                    verdict="ok",
                    code="queue-good",
                    words="Messages that wait: 3, lent: 1. Nothing is stuck.",
                    said={"ready": "3", "leased": "1"},
                    values={"oldest_age_s": 4},
                ),
            ),
        ),
        "report": admin.Report(
            month="2026-10",
            origin="exchange.example",
            messages=210,
            exercises=12,
            by_type={"information-request/1": 130, "information-reply/1": 80},
            exchanged=(
                admin.Exchanged(
                    sender="MX",
                    recipient="CA",
                    area="law-enforcement",
                    messages=130,
                    answered=80,
                    answer_median=86_400_000,
                    collect_median=41_000,
                ),
            ),
        ),
    }


def _who(route: Route) -> str:
    return f"For {', '.join(sorted(route.roles))}." if route.roles else "For anybody."


def described() -> Api:
    """The operators' API."""
    return Api(
        title="Valija: the API of the operators",
        about=_ABOUT,
        server="https://console.exchange.example",
        prefix="/admin/v1/",
        table=TABLE,
        shapes=(admin, proposal, session),
        tags=_TAGS,
        path_parameters=_PATH_PARAMETERS,
        headers={},
        security={
            "bearer": {"type": "http", "scheme": "bearer", "description": _BEARER},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-valija", "description": _COOKIE},
        },
        challenge="Bearer",
        who=_who,
        time_ms=_TIME_MS,
        requests={"propose": _WISH, "sign": proposal.SignatureLine(line=_LINE)},
        answers=_answers(),
        files={("offer", "takes"): "../vectors/example/directory.1.note"},
    )
