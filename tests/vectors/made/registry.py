"""Roots, directory versions, freshness, and what a client may send under: SPEC.md sections 4.1 to 4.5."""

from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija_schemas import agreements, limits, wire
from valija_schemas import directory as directories
from valija_schemas import note as notes
from vectors import field, shape
from vectors.field import DAY, NOW, OFFICERS, ORIGIN
from vectors.made import Group

R1 = field.ROOT_1
SMALL = field.small_directory()
D1 = field.directory_note(SMALL)
NEW = ("officer.d", "officer.e")  #: Officers of a later root.


def groups(_: field.Recorded) -> list[shape.Group]:
    return [_first(), *_first_roots(), _roots(), _directories(), _entries(), _agreed(), _replaced(), _sending()]


def second(**changes: Any) -> directories.Directory:
    """Directory 2 after `D1`."""
    base = {"version": 2, "issued": NOW - 10 * DAY, "previous": field.digest(D1)}
    return field.small_directory(**{**base, **changes})


def officers(*ids: str, organisation: str = "") -> tuple[directories.Officer, ...]:
    return tuple(
        directories.Officer(id=id_, organisation=organisation or f"Organisation of {id_}", key=field.public(id_))
        for id_ in ids
    )


def root_2(**changes: Any) -> directories.Root:
    """Root 2, which replaces every officer."""
    return field.root(**{"version": 2, "officers": officers(*NEW), **changes})


def _first() -> shape.Group:
    group = Group("chain", "root-first", "4.1", origin=ORIGIN, anchor=field.ANCHOR, held=[])
    group.accept("good", data=R1)
    three = field.root_note(field.root(), *OFFICERS)
    group.accept("three-officers", "More signatures than needed change nothing of the digest.", data=three)
    stranger = notes.parse(R1, limits.directory_bytes_max)
    line = notes.signature_line(field.signer("officer.z"), stranger.text)
    group.accept("line-of-a-stranger", "Lines of unknown keys are ignored on a root.", spec="1.4", data=R1 + line)
    group.refuse(
        "one-officer", "One person must not change the registry.", data=field.root_note(field.root(), OFFICERS[0])
    )
    bad = notes.write_line(
        notes.Signature(
            f"{ORIGIN}/officer.c",
            field.notes.key_id(f"{ORIGIN}/officer.c", field.signer("officer.c").public),
            bytes(64),
        )
    )
    stops = "A line of a known key that does not hold spoils the note: damage must not be skipped."
    group.refuse("line-that-does-not-hold", stops, spec="1.4", data=R1 + bad)
    again = notes.Ed25519Signer(
        f"{ORIGIN}/officer.b", Ed25519PrivateKey.from_private_bytes(field.seed("officer.a sign"))
    )
    stops = "One key under two names must not meet a threshold."
    group.refuse("one-key-under-two-names", stops, spec="1.4", data=field.root_note(field.root(), OFFICERS[0], again))
    stops = "A root is believed by the digest that a person compared."
    group.refuse("other-digest", stops, data=field.root_note(field.root(quorum=0)))
    group.refuse("directory-first", "Nothing is believed before the root.", spec="4.5", data=D1)
    return group.made


def _first_roots() -> list[shape.Group]:
    """Roots that no officer should sign, each with its own anchor: whoever compared it, it is refused."""
    fields: dict[str, tuple[str, dict[str, Any]]] = {
        "one-organisation": (
            "A threshold that can never be met ends the registry.",
            {"officers": officers("officer.a", "officer.b", organisation="One")},
        ),
        "threshold-of-4": (
            "A threshold that can never be met ends the registry.",
            {"threshold": directories.Threshold(keys=4, organisations=2)},
        ),
        "organisations-of-4": (
            "A threshold that can never be met ends the registry.",
            {"threshold": directories.Threshold(keys=2, organisations=4)},
        ),
        "officer-twice": (
            "Keys are counted, each once.",
            {"officers": (*field.root().officers, field.root().officers[0])},
        ),
        "officer-twice-with-two-keys": (
            "An officer is one person, whose line is looked up by name.",
            {"officers": (*field.root().officers, directories.Officer(id="officer.a", organisation="X", key="0" * 64))},
        ),
        "officer-without-prefix": (
            "An officer is no contact point.",
            {"officers": officers("officer.a", "officer.b", "ana.c")},
        ),
        "operator-without-prefix": (
            "An operator is no contact point.",
            {"operators": (directories.Operator(id="officer.x", roles=("operator",), key=field.public("x")),)},
        ),
        **{
            f"operator-with-roles-{'-'.join(roles) or 'none'}": (
                "Two readers must not differ about who may do what.",
                {"operators": (directories.Operator(id="operator.a", roles=roles, key=field.public("operator.a")),)},
            )
            for roles in ((), ("admin",), ("operator", "operator"), ("operator", "observer"))
        },
        "16-officers": (
            "A root has 15 officers at most.",
            {"officers": officers("officer.a", "officer.b", *(f"officer.p{n:02}" for n in range(14)))},
        ),
        "quorum-of-3": ("A quorum that can never be met makes no proof complete.", {"quorum": 3}),
        "key-for-two-uses": (
            "A key has one use.",
            {"operators": (directories.Operator(id="operator.a", roles=("operator",), key=field.public("officer.a")),)},
        ),
        "evidence-key-is-log-key": (
            "A key has one use.",
            {"broker": msgspec.structs.replace(field.root().broker, evidence=(field.public("log"),))},
        ),
        "no-evidence-key": (
            "A broker that cannot promise.",
            {"broker": msgspec.structs.replace(field.root().broker, evidence=())},
        ),
        "731-days": ("A root ends.", {"expires": field.root().issued + 730 * DAY + 1}),
        "ends-before-it-begins": ("A root ends after it begins.", {"expires": field.root().issued}),
        "version-2": ("The first root is version 1.", {"version": 2}),
        "version-0": ("Versions begin with 1.", {"version": 0}),
        "threshold-of-0": ("Somebody has to sign.", {"threshold": {"keys": 0, "organisations": 1}}),
    }
    found = [
        _anchored(name, "refused", stops, field.root_note(field.root(**changes)))
        for name, (stops, changes) in fields.items()
    ]
    of_one = officers("officer.a", "officer.b", organisation="One")
    shared = field.root_note(field.root(officers=(*of_one, *officers("officer.c"))))
    stops = "One organisation must not change the registry alone."
    found.append(_anchored("signed-by-one-organisation", "refused", stops, shared))
    any_two = field.root(threshold=directories.Threshold(keys=2, organisations=1))
    stops = "Both parts of a threshold are met."
    found.append(_anchored("signed-by-one-officer", "refused", stops, field.root_note(any_two, OFFICERS[0])))
    found.append(_anchored("signed-by-two-officers", "accept", stops, field.root_note(any_two)))
    longest = field.root_note(field.root(expires=field.root().issued + 730 * DAY))
    return [*found, _anchored("730-days", "accept", "A root lives 730 days at most.", longest)]


def _anchored(name: str, expect: str, stops: str, raw: bytes) -> shape.Group:
    """A root 1 whose digest a person compared."""
    digest = notes.parse(raw, limits.directory_bytes_max).digest
    group = Group("chain", "root", "4.1", origin=ORIGIN, anchor=digest, held=[])
    group.add(name, expect, stops, data=raw)
    return group.made


def _roots() -> shape.Group:
    group = Group("chain", "root-next", "4.1", origin=ORIGIN, anchor=field.ANCHOR, held=[R1])
    both = (*OFFICERS[:2], *NEW)
    group.accept("new-officers", data=field.root_note(root_2(), *both))
    stops = "Stolen keys of replaced officers must not make a root."
    group.refuse("old-officers-alone", stops, data=field.root_note(root_2(), *OFFICERS[:2]))
    group.refuse("new-officers-alone", "Nobody makes themselves an officer.", data=field.root_note(root_2(), *NEW))
    one_new = field.root_note(root_2(), *OFFICERS[:2], NEW[0])
    group.refuse("one-of-the-new", "The new threshold is met too.", data=one_new)
    group.refuse(
        "version-skipped",
        "A skipped version may have changed the officers.",
        data=field.root_note(root_2(version=3), *both),
    )
    group.accept("held-already", "The same root again changes nothing.", spec="4.5", data=R1)
    group.refuse(
        "another-first",
        "Two roots of one version are two registries.",
        spec="4.5",
        data=field.root_note(field.root(quorum=0)),
    )
    expired = field.root_note(root_2(issued=NOW - 400 * DAY, expires=NOW - 300 * DAY), *both)
    group.accept("expired", "An expired root is a good step: only the newest must live.", spec="4.5", data=expired)
    return group.made


def _directories() -> shape.Group:
    group = Group("chain", "directory", "4.2", origin=ORIGIN, anchor=field.ANCHOR, held=[R1, D1])
    group.accept("second", data=field.directory_note(second()))
    group.accept("held-already", "The same version again changes nothing.", spec="4.5", data=D1)
    stops = "No version is skipped: it may have revoked a key."
    group.refuse("version-skipped", stops, spec="4.5", data=field.directory_note(second(version=3)))
    stops = "Two histories must not grow from one."
    group.refuse("previous-other", stops, data=field.directory_note(second(previous="0" * 64)))
    group.refuse("previous-null", stops, data=field.directory_note(second(previous=None)))
    stops = "Two truths of one version are an incident."
    group.refuse(
        "another-of-the-same-version",
        stops,
        spec="4.5",
        data=field.directory_note(field.small_directory(issued=NOW - 19 * DAY)),
    )
    group.refuse("root-unknown", "Who may sign is known before.", data=field.directory_note(second(root=2)))
    group.refuse(
        "one-officer", "One person must not change the registry.", data=field.directory_note(second(), OFFICERS[0])
    )
    signed_twice = field.directory_note(second(), OFFICERS[0], OFFICERS[0])
    group.refuse("one-officer-twice", "Distinct keys are counted.", spec="1.1", data=signed_twice)
    group.refuse(
        "signed-by-the-broker",
        "A broker makes no directory.",
        data=field.directory_note(second(), field.signer("broker", "evidence"), field.signer("broker", "freshness")),
    )
    group.refuse(
        "other-exchange",
        "Another exchange's directory.",
        spec="1.1",
        data=field.signed(directories.DIRECTORY, second(), *OFFICERS[:2], origin="test.example"),
    )
    expired = second(issued=NOW - 60 * DAY, expires=NOW - 50 * DAY)
    group.accept("expired", "An expired version is a good step.", spec="4.5", data=field.directory_note(expired))
    group.accept(
        "30-days",
        "A directory lives 30 days at most.",
        data=field.directory_note(second(issued=NOW, expires=NOW + 30 * DAY)),
    )
    group.refuse(
        "longer-than-30-days",
        "An old directory must not be shown for ever.",
        data=field.directory_note(second(issued=NOW, expires=NOW + 30 * DAY + 1)),
    )
    group.refuse(
        "ends-before-it-begins",
        "A directory ends after it begins.",
        data=field.directory_note(second(expires=NOW - 10 * DAY)),
    )
    group.refuse(
        "version-older",
        "What was revoked must not come back.",
        spec="4.5",
        held=[R1, D1, field.directory_note(second())],
        data=D1,
    )
    same = field.root_note(field.root(version=2))
    under_2 = field.directory_note(second(root=2))
    third = second(version=3, previous=field.digest(under_2))
    stops = "Officers of an older root may have been replaced for cause."
    group.refuse("root-older", stops, held=[R1, D1, same, under_2], data=field.directory_note(third))
    following = msgspec.structs.replace(third, root=2)
    stops = "A version names the root that its officers signed under."
    group.accept("root-same", stops, held=[R1, D1, same, under_2], data=field.directory_note(following))
    return group.made


def _entries() -> shape.Group:
    group = Group("chain", "entry", "4.2", origin=ORIGIN, anchor=field.ANCHOR, held=[R1])
    mx, ca = field.point("mx.enlace"), field.point("ca.liaison", "CA")
    group.accept("good", data=D1)

    def add(name: str, stops: str, *points: Any, spec: str = "", **changes: Any) -> None:
        value = field.small_directory(**changes)
        note = field.directory_note(msgspec.structs.replace(value, contact_points=points or (mx,)))
        group.refuse(name, stops, spec=spec, data=note)

    add("not-in-order", "Entries have one order.", mx, ca)
    add("twice", "A name stands once.", mx, mx)
    for name in ("broker", "log", "officer.x", "witness.x", "operator.x", "broker.x"):
        add(f"reserved-{name}", "No contact point signs as the broker.", field.point(name), spec="1.4")
    replace = msgspec.structs.replace
    add("state-and-organisation", "An entry belongs to one of them.", replace(mx, organisation="OAS"))
    add("neither-state-nor-organisation", "An entry belongs to one of them.", replace(mx, state=None))
    add("state-lower-case", "A State has its two capitals.", replace(mx, state="mx"))
    add("name-of-201", "A name has 200 characters at most.", replace(mx, name="x" * 201))
    add("name-empty", "A name has a character.", replace(mx, name=""))
    add("area-unknown", "Five areas.", replace(mx, area="military"))
    add("status-unknown", "Three states.", replace(mx, status="retired"))
    add("no-sign-key", "An entry has a key for each use.", replace(mx, sign=()))
    add("active-and-ended", "A key that ended is not active.", replace(mx, sign=(replace(mx.sign[0], ended=NOW),)))
    add(
        "revoked-without-a-time",
        "When a key ended decides.",
        replace(mx, sign=(replace(mx.sign[0], status="revoked"),)),
    )
    add("one-key-for-two-uses", "A key has one use.", replace(mx, auth=mx.sign), spec="1.6")
    add("one-key-in-two-entries", "A key is one party's.", replace(ca, sign=mx.sign), mx, spec="1.6")
    add(
        "seal-key-of-1215-bytes",
        "A seal key has 1,216 bytes.",
        replace(mx, seal=(replace(mx.seal[0], key=mx.seal[0].key[4:]),)),
        spec="1.2",
    )
    add(
        "sign-key-in-capitals",
        "A key has one spelling.",
        replace(mx, sign=(replace(mx.sign[0], key=mx.sign[0].key.upper()),)),
        spec="1.2",
    )
    seal = mx.seal[0]
    again = replace(seal, key=seal.key[:-3] + chr(ord(seal.key[-3]) + 1) + "==")  # bits that a decoder drops
    ended = replace(seal, status="revoked", ended=NOW)
    add(
        "seal-key-in-a-second-spelling",
        "What was revoked does not come back.",
        replace(mx, seal=(again, ended)),
        spec="1.2",
    )
    routes = field.directory().routes
    add("routes-not-in-order", "Routes have one order.", routes=routes[::-1])
    add("route-twice", "A route stands once.", routes=(*routes, routes[-1]))
    name = wire.encode(SMALL).replace(b"Sample contact", b"Sample \xe2\x80\xaecontact")
    stops = "A name must not be shown in another order than it is signed."
    group.refuse(
        "name-that-turns-around", stops, spec="1.2", data=field.signed(directories.DIRECTORY, name, *OFFICERS[:2])
    )
    return group.made


def _agreed() -> shape.Group:
    """Treaties, and the types that two contact points agreed on."""
    group = Group("chain", "agreed", "4.2", origin=ORIGIN, anchor=field.ANCHOR, held=[R1])
    ca, mx = field.point("ca.liaison", "CA"), field.point("mx.enlace")
    replace = msgspec.structs.replace
    source = "https://treaties.example/untoc"
    base: tuple[agreements.Treaty, ...] = (
        agreements.Treaty(
            state="CA", instrument="untoc", party=True, since="2003-09-29", source=source, read="2026-11-02"
        ),
        agreements.Treaty(state="MX", instrument="cifta", party=True, since=None, source=source, read="2026-11-02"),
        agreements.Treaty(state="MX", instrument="untoc", party=False, since=None, source=source, read="2024-02-29"),
    )
    first, _, last = base
    pair = agreements.Bilateral(type="x-report/1", between=("ca.liaison", "mx.enlace"), schema="1" * 64)

    def note(**changes: Any) -> bytes:
        said = {"treaties": base, "bilateral": (pair,), **changes}
        return field.directory_note(replace(field.directory(contact_points=(ca, mx)), **said))

    group.accept("good", data=note())
    group.accept("nothing", data=note(treaties=(), bilateral=()))

    def refuse(name: str, stops: str, **changes: Any) -> None:
        group.refuse(name, stops, data=note(**changes))

    refuse("treaties-not-in-order", "Treaties have one order.", treaties=base[::-1])
    refuse("treaty-twice", "A cell says one thing.", treaties=(first, replace(first, since=None)))
    refuse("no-party-since", "Who is no party has no day of it.", treaties=(replace(last, since="2003-09-29"),))
    days = "A day is one of the calendar, in one spelling."
    for name, day in {
        "no-such-day": "2023-02-29",
        "month-13": "2003-13-01",
        "without-dashes": "20030929",
        "year-0": "0000-01-01",
        "with-a-time": "2003-09-29T00:00:00Z",
    }.items():
        refuse(f"since-{name}", days, treaties=(replace(first, since=day),))
        refuse(f"read-{name}", days, treaties=(replace(first, read=day),))
    refuse("read-never", "A cell says when it was read.", treaties=(replace(first, read=None),))
    refuse("source-empty", "A cell says where it was read.", treaties=(replace(first, source=""),))
    refuse("source-of-301", "A source is one short line.", treaties=(replace(first, source="x" * 301),))
    for code in ("bilateral", "domestic-law", "reciprocity", "unheard-of"):
        refuse(f"instrument-{code}", "The table is one of treaties.", treaties=(replace(first, instrument=code),))
    refuse("party-unknown", "What is unknown has no cell.", treaties=(replace(first, party=None),))
    refuse("state-lower-case", "A State has its two capitals.", treaties=(replace(first, state="ca"),))

    again = replace(pair, type="x-sheet/1")
    refuse("bilateral-not-in-order", "Bilateral types have one order.", bilateral=(again, pair))
    other = replace(pair, schema="2" * 64)
    refuse("bilateral-twice", "Two points agree on one schema of a type.", bilateral=(pair, other))
    turned = replace(pair, between=("mx.enlace", "ca.liaison"))
    refuse("bilateral-turned", "A pair has one spelling.", bilateral=(turned,))
    alone = replace(pair, between=("mx.enlace", "mx.enlace"))
    refuse("bilateral-of-one", "An agreement is of two.", bilateral=(alone,))
    away = replace(pair, between=("ca.liaison", "co.enlace"))
    refuse("bilateral-with-a-stranger", "Both are in the directory.", bilateral=(away,))
    three = replace(pair, between=("ca.liaison", "co.enlace", "mx.enlace"))
    refuse("bilateral-of-three", "An agreement is of two.", bilateral=(three,))
    names = "Only what begins with x- is theirs to name."
    for name in ("report/1", "x-/1", "x-report", "x-report/0", "X-report/1", "x--report/1"):
        refuse(f"bilateral-named-{name.replace('/', '-')}", names, bilateral=(replace(pair, type=name),))
    refuse("bilateral-schema-short", "A schema is named by its SHA-256.", bilateral=(replace(pair, schema="1" * 63),))
    routes = (directories.Route(type="x-report/1", sender="judicial", recipient="judicial"),)
    refuse("route-of-a-bilateral-type", "What two agreed on goes nowhere else.", routes=routes)
    return group.made


def _replaced() -> shape.Group:
    """Officers were replaced, and what the old ones signed since may give way."""
    new_root = field.root_note(root_2(), *OFFICERS[:2], *NEW)
    old = field.directory_note(second())
    group = Group("chain", "replaced", "4.5", origin=ORIGIN, anchor=field.ANCHOR, held=[R1, D1, old, new_root])
    cure = second(issued=NOW - DAY, root=2)
    group.accept("by-the-new-officers", data=field.directory_note(cure, *NEW))
    stops = "Stolen keys of replaced officers must not replace a version."
    group.refuse("by-the-old-officers", stops, data=field.directory_note(second(issued=NOW - DAY)))
    group.refuse("by-the-old-officers-under-the-new-root", stops, data=field.directory_note(cure))
    third = second(version=3, previous=field.digest(old), issued=NOW - DAY, root=2)
    group.accept(
        "next-by-the-new-officers", "Or they take up what the old ones left.", data=field.directory_note(third, *NEW)
    )
    return group.made


def _sending() -> shape.Group:
    held = [R1, D1]
    group = Group("sending", "sending", "4.5", origin=ORIGIN, anchor=field.ANCHOR, held=held)
    base = directories.Freshness(version=1, digest=field.digest(D1), root=1, issued=NOW - 1, expires=NOW - 1 + DAY)

    def fresh(*who: notes.Ed25519Signer, **changes: Any) -> bytes:
        value = msgspec.structs.replace(base, **changes)
        return field.signed(directories.FRESHNESS, value, *(who or (field.signer("broker", "freshness"),)))

    group.accept("fresh", data=fresh(), now=NOW)
    stops = "A frozen directory may hide a revocation."
    group.refuse("freshness-expired", stops, data=fresh(), now=base.expires)
    group.accept("freshness-not-yet-expired", stops, data=fresh(), now=base.expires - 1)
    group.refuse("freshness-longer-than-a-day", stops, spec="4.3", data=fresh(expires=NOW + DAY), now=NOW)
    stops = "Only the root's freshness key says what is newest."
    for name, who in {
        "evidence-key": field.signer("broker", "evidence"),
        "officer": field.signer("officer.a"),
        "contact-point": field.signer("mx.enlace"),
    }.items():
        group.refuse(f"signed-by-{name}", stops, spec="1.4", data=fresh(who), now=NOW)
    both = (field.signer("broker", "freshness"), field.signer("broker", "evidence"))
    group.refuse("signed-twice", "Exactly one line.", spec="1.4", data=fresh(*both), now=NOW)
    group.refuse("names-a-newer-version", stops, data=fresh(version=2, digest="0" * 64), now=NOW)
    group.refuse("names-a-newer-root", stops, data=fresh(root=2), now=NOW)
    group.refuse("names-another-digest", "Two truths.", data=fresh(digest="0" * 64), now=NOW)
    after = field.directory_note(second())
    stops = "What is newest does not become older."
    group.refuse("names-an-older-version", stops, held=[*held, after], data=fresh(), now=NOW)
    late = NOW + 10 * DAY
    later = fresh(issued=late - 1, expires=late)
    stops = "An expired directory stops sending."
    group.refuse("directory-expired", stops, data=fresh(issued=late, expires=late + 1), now=late)
    group.accept("directory-not-yet-expired", stops, data=later, now=late - 1)
    new_root = field.root_note(root_2(), *OFFICERS[:2], *NEW)
    stops = "The newest officers stand behind what is used."
    group.refuse("officers-replaced", stops, held=[*held, new_root], data=fresh(root=2), now=NOW)
    short = field.root_note(root_2(officers=field.root().officers, issued=NOW - 10 * DAY, expires=NOW))
    group.accept(
        "root-not-yet-expired", "An expired root stops sending.", held=[*held, short], data=fresh(root=2), now=NOW - 1
    )
    group.refuse("root-expired", "An expired root stops sending.", held=[*held, short], data=fresh(root=2), now=NOW)
    return group.made
