"""Records of every kind, as an `Observer` gives them: usual ones, hostile ones, and none."""

import contextlib
from types import SimpleNamespace

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sandbox import free_port

from valija_broker.connections import Connections
from valija_broker.console.guard import Guard, open_bytes_max
from valija_broker.console.pages.pages import Pages
from valija_broker.console.pages.view import View
from valija_broker.console.session import Session
from valija_broker.console.sight import EVERYBODY, Window
from valija_broker.errors import Refused
from valija_broker.problems import answering
from valija_broker.room import Room
from valija_schemas import admin
from valija_schemas.proposal import Offer, Preview, Proposal

NOW = 1_795_600_000_000
DIGEST = "ab" * 32
ID = "01a20b79-c7db-7c31-9d5e-2b1f6a0c4d87"
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}\u202e" + "x" * 60


def rows(reason="attempts", name="Sample office"):
    """Everything that pages show, with `reason` and `name` wherever somebody else writes."""
    share = admin.Share(recipient="ca.liaison", state="dead", since=NOW, attempts=10, reason=reason)
    row = admin.MessageRow(
        digest=DIGEST, id=ID, sender="mx.enlace", type="information-request/1", priority="urgent", exercise=True,
        thread=ID, in_reply_to=DIGEST, bytes=8_664, accepted=NOW - 90_000, expires=NOW + 86_400_000,
        shares=(share, admin.Share(recipient="co.enlace", state="delivered", since=NOW, attempts=None, reason=None)),
    )  # fmt: skip
    letter = admin.DeadLetter(
        mailbox="ca.liaison", digest=DIGEST, id=ID, sender="mx.enlace", since=NOW, attempts=10, reason=reason
    )
    box = admin.Mailbox(
        id="ca.liaison", state="CA", organisation=None, name=name, area="law-enforcement", status="active",
        held_until=NOW + 3_600_000, ready=12_345, leased=1, dead=2, oldest=NOW - 7_200_000, collect_p95=95_000,
        last_seen=NOW - 60_000, keys={"sign": (1, 1, 0), "seal": (1, 0, 0), "auth": (1, 0, 1)}, hours=tuple(range(24)),
    )  # fmt: skip
    checkpoint = admin.Checkpoint(
        size=41_000, root=DIGEST, time=NOW - 3_000, cosigned=("witness.example/w1",), quorum=1
    )
    return {
        "overview": admin.Overview(
            time=NOW, origin="exchange.example", version="0.1.0",
            attention=(
                admin.Attention(
                    code="of-a-kind-that-is-new", verdict="critical", words=f"Look: {reason}", values={},
                    place="/dead-letters", command="valija-broker dead groups",
                ),
            ),
            minutes=tuple(
                admin.Minute(time=NOW - (60 - n) * 60_000, accepted=n, handed_over=n, acknowledged=n, died=0)
                for n in range(60)
            ),
            ready=12_345, leased=1, dead=2, outbox=0, oldest=NOW - 7_200_000, oldest_in="ca.liaison",
            checkpoint=checkpoint, directory=3, directory_expires=NOW + 6 * 86_400_000, canary=NOW - 40_000,
        ),
        "mailboxes": (box, msgspec.structs.replace(box, id="mx.enlace", held_until=None, oldest=None, hours=())),
        "mailbox": box,
        "messages": admin.Messages(messages=(row,), next="7"),
        "story": admin.MessageStory(
            message=row,
            events=(
                admin.Happened(event="SubmissionAcceptance", time=NOW, by="broker", to=("ca.liaison", "co.enlace"),
                               reason=None, index=1, proof="proved"),
                admin.Happened(event="DeadLettered", time=NOW, by="broker", to=("ca.liaison",), reason=reason, index=2,
                               proof="waiting"),
            ),
        ),
        "dead": (
            admin.DeadGroup(reason=reason, words=f"Because of {reason}", count=2, mailboxes=("ca.liaison",), oldest=NOW,
                            letters=(letter, msgspec.structs.replace(letter, mailbox="co.enlace"))),
        ),
        "versions": (
            admin.DirectoryVersion(version=3, digest=DIGEST, root=1, issued=NOW, expires=NOW + 86_400_000,
                                   contact_points=3, changes=(f"+ ca.liaison, {name}", "- co.enlace", "~ x")),
        ),
        "log": admin.LogState(
            origin="exchange.example/log", checkpoint=checkpoint, note="exchange.example/log\n41000\n",
            witnesses=(admin.WitnessState(name="witness.example/w1", cosigned=True),), retained=(DIGEST, "ca.liaison"),
        ),
        "acts": (
            admin.Act(digest=DIGEST, act="replay", operators=("operator.a",), message=DIGEST,
                      contact_point="ca.liaison", reason=reason, time=NOW, index=9),
        ),
        "health": admin.Health(
            verdict="warning",
            checks=(
                admin.Check(
                    name="queue",
                    verdict="warning",
                    code="new",
                    words=reason,
                    said={},
                    values={"oldest_age_s": 7200.0},
                ),
                admin.Check(name="canary", verdict="unknown", code="canary-none", words="None.", said={}, values={}),
            ),
        ),
        "proposals": tuple(
            Proposal(
                id=id_, text=reason, act="discard", message=DIGEST, contact_point="ca.liaison", reason=reason,
                by="operator.a", time=NOW, ends=NOW + 900_000, needs=2, signed=signed, state=state, words=words,
                note=None, preview=Preview(letter=letter, concerned=("mx.enlace", "ca.liaison"), until=NOW),
            )
            for id_, signed, state, words in (
                (DIGEST, ("operator.a",), "open", None),
                ("cd" * 32, (), "open", None),
                ("ef" * 32, (), "refused", reason),
            )
        ),
        "offers": (
            Offer(
                digest="12" * 32, kind="directory", version=4, issued=NOW, expires=NOW, signed=("officer.a",),
                changes=(f"+ {name}", "- co.enlace"), by="operator.registrar", ends=NOW, state="offered",
            ),
        ),
        "report": admin.Report(
            month="2026-10", origin="exchange.example", messages=1_200, exercises=7, by_type={"response/1": 600},
            exchanged=(
                admin.Exchanged(sender="MX", recipient="CA", area="judicial", messages=3, answered=1,
                                answer_median=86_400_000, collect_median=None),
            ),
        ),
    }  # fmt: skip


def nothing():
    """What a broker says that just began."""
    full = rows()
    return full | {
        "overview": msgspec.structs.replace(
            full["overview"], attention=(), oldest=None, oldest_in=None, checkpoint=None, canary=None,
            directory_expires=None, minutes=(),
        ),
        "mailboxes": (), "mailbox": None, "messages": admin.Messages(messages=(), next=None), "story": None, "dead": (),
        "versions": (), "acts": (), "proposals": (), "offers": (),
        "log": msgspec.structs.replace(full["log"], checkpoint=None, note="", witnesses=(), retained=()),
        "report": msgspec.structs.replace(full["report"], by_type={}, exchanged=()),
    }  # fmt: skip


class Shown:
    """An `Observer` of records that are given."""

    def __init__(self, records):
        self.records = records

    def __getattr__(self, name):
        async def look(*_):
            return self.records[name]

        return look


TOKEN = "t" * 43
CSRF = "c" * 43


class Asked:
    """The proposals and offers that are given."""

    def __init__(self, records):
        self.proposals = Shown({"shown": records["proposals"]})
        self.offers = SimpleNamespace(shown=lambda: records["offers"])


class OneSession:
    """The session of one browser."""

    def __init__(self, roles):
        self.session = Session(operator="operator.b", roles=frozenset(roles), idle=NOW, expires=NOW, csrf=CSRF)

    def of(self, token, *, by_hand=True):
        if token != TOKEN:
            raise Refused("not-signed-in", "no such session")
        return self.session


@contextlib.asynccontextmanager
async def served(records, roles=EVERYBODY):
    """A browser's client at the pages of `records`, signed in with `roles`: the real guard, view and handlers."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    guard = Guard(OneSession(roles), Room(open_bytes_max, Connections(64, 64)), address)
    view = View("exchange.example", address)
    app = web.Application(middlewares=[answering(view.refusal), guard.admitted])
    app.on_response_prepare.append(guard.say_headers)
    Pages(view, Window(Shown(records)), Asked(records), guard).add(app)
    guard.require_all_declared(app)
    async with TestClient(TestServer(app, port=port), headers={"Origin": address}) as client:
        client.session.cookie_jar.update_cookies({guard.cookie: TOKEN}, client.make_url("/"))
        yield client
