"""Whom to write to: contact points that may be sent a type, groups as named recipients, and why somebody may not be.

Pure: a verified directory and a question in, names and words out. What it says holds for this version of the directory;
sending asks again.

Before this room: `client`, `order`, `cli`. After it: `valija_schemas.directory`. Rules: SPEC.md section 4.4.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final, get_args

import msgspec

from valija.errors import RecipientError, UsageError
from valija_schemas import limits
from valija_schemas.agreements import is_bilateral
from valija_schemas.directory import Area, ContactPoint, Phonebook
from valija_schemas.documents import labels

AREAS: Final[tuple[Area, ...]] = get_args(Area)
_GROUPS: Final = ("area", "state", "organisation")
_codes: Final = {name.casefold(): code for code, name in labels.STATES.items()}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A contact point, whether it can be sent a document of the type now, and why."""

    point: ContactPoint
    able: bool
    why: str


class Recipients(msgspec.Struct, frozen=True, kw_only=True):
    """What groups and ids came to, under one version of the directory."""

    ids: tuple[str, ...]  #: In order, each once: what `send` takes.
    left_out: tuple[Candidate, ...]  #: Of the groups: who cannot be sent this, and why; whom a route allows first.
    grouped: bool  #: Whether a group was among what was asked for.


def is_group(to: str) -> bool:
    """Whether this names a group and not a contact point: ids have no colon."""
    return ":" in to


def home(point: ContactPoint) -> str:
    """The State, or the organisation, that a contact point belongs to."""
    return point.state or point.organisation or ""


def newest_type(name: str, phonebook: Phonebook) -> str:
    """The type of this name that the directory has routes for, the newest version where none is said.

    Raises:
        UsageError: there is none; the text tells the nearest.
    """
    if name in phonebook.types:
        return name
    versions = [known for known in phonebook.types if known.partition("/")[0] == name]
    if versions:
        return max(versions, key=lambda known: int(known.partition("/")[2]))
    near = _nearest(name, phonebook.types)
    raise UsageError(f"no route of directory version {phonebook.version} is for {name}{near}")


def candidates(
    phonebook: Phonebook, me: str, type_: str, *, state: str | None = None, area: str | None = None
) -> list[Candidate]:
    """Contact points of `state` (or organisation) and `area`, whoever can be sent `type_` by `me` first, best first.

    Best is our own area; then the order of the five areas, then of ids. We ourselves are not among them.

    Raises:
        RecipientError: `me` is not in the directory.
        UsageError: there is no such State, organisation or area in it.
    """
    sender = _sender(phonebook, me)
    wanted = [f"area:{area}"] if area else []
    if state:
        kind = "organisation" if state in _organisations(phonebook) else "state"
        wanted.append(f"{kind}:{state}")
    found = [_judged(phonebook, sender, type_, point) for point in _members(phonebook, wanted)]
    return sorted(
        (each for each in found if each.point.id != me),
        key=lambda each: (
            not each.able,
            each.point.area != sender.area,
            AREAS.index(each.point.area),
            each.point.id,
        ),
    )


def expand(phonebook: Phonebook, me: str, type_: str, to: Iterable[str]) -> Recipients:
    """Ids and groups as the ids of recipients. A group never holds us, nor whom this cannot be sent to.

    A group is `area:judicial`, `state:PE`, `state:*`, `organisation:OAS`, or several that must all be so, joined by
    `+`: `state:PE+area:judicial`. An id that is named by itself stays, whatever it is: sending says what is wrong
    with it.

    Raises:
        RecipientError: a group comes to nobody, or all of it to more than a message may have; or we are not listed.
        UsageError: no such group, State, organisation or area.
    """
    sender = _sender(phonebook, me)
    asked = list(to)
    ids: set[str] = {each for each in asked if not is_group(each)}
    left_out: dict[str, Candidate] = {}
    for group in filter(is_group, asked):
        members = [point for point in _members(phonebook, group.split("+")) if point.id != me]
        judged = [_judged(phonebook, sender, type_, point) for point in members]
        able = [each.point.id for each in judged if each.able]
        if not able:
            reasons = "; ".join(each.why for each in judged[:3]) or "it holds nobody but you"
            raise RecipientError(f"nobody of {group} can be sent {type_} by {me}: {reasons}")
        ids.update(able)
        left_out |= {each.point.id: each for each in judged if not each.able}
    if len(ids) > limits.recipients_max:
        raise RecipientError(
            f"{', '.join(asked)} comes to {len(ids)} contact points; a message has at most {limits.recipients_max}",
            hint="Narrow the group, `state:PE+area:judicial`, or send to several smaller ones.",
        )
    kept = [each for id_, each in sorted(left_out.items()) if id_ not in ids]
    kept.sort(key=lambda each: not phonebook.allows(type_, sender, each.point))
    return Recipients(ids=tuple(sorted(ids)), left_out=tuple(kept), grouped=any(map(is_group, asked)))


def why_not(phonebook: Phonebook, sender: ContactPoint, type_: str, point: ContactPoint) -> str | None:
    """Why `point` cannot be sent `type_` by `sender`, and who can; None where it can."""
    if point.status != "active":
        return f"{point.id} is {point.status}"
    if point.seal_key is None:
        return f"{point.id} has no seal key in force"
    if not phonebook.allows(type_, sender, point):
        return _no_route(phonebook, sender, type_, point)
    return None


def _no_route(phonebook: Phonebook, sender: ContactPoint, type_: str, point: ContactPoint) -> str:
    if is_bilateral(type_):
        own = phonebook.partners(type_, sender.id)
        others = f"; it goes to {', '.join(own)} alone" if own else ""
        return f"{sender.id} and {point.id} did not agree on {type_}{others}"
    routes = {(route.sender, route.recipient) for route in phonebook.directory.routes if route.type == type_}
    if not routes:
        return f"no route takes {type_}, from anybody to anybody"
    mine = [recipient for from_, recipient in routes if from_ == sender.area]
    receivers = [to for _, to in routes]
    if mine:
        text = f"{type_} goes from {sender.area} to {_either(mine)}; {point.id} is {point.area}"
        return text + _named(_of(phonebook, home(point), mine), home(point), "receive")
    text = f"{type_} goes from {_either(from_ for from_, _ in routes)} to {_either(receivers)}"
    text += f"; your area is {sender.area}"
    text += _named(_of(phonebook, home(sender), [from_ for from_, _ in routes]), home(sender), "send")
    if point.area not in receivers:
        text += _named(_of(phonebook, home(point), receivers), home(point), "receive")
    return text


def _named(points: Sequence[ContactPoint], where: str, what: str) -> str:
    names = ", ".join(f"{each.id} ({each.area})" for each in points)
    return f"; in {where} {names or 'nobody'} can {what} it"


def _of(phonebook: Phonebook, owner: str, areas: Sequence[Area]) -> list[ContactPoint]:
    """The contact points of a State or organisation, in one of `areas`, that are in use."""
    return [
        each
        for each in phonebook.directory.contact_points
        if home(each) == owner and each.area in areas and each.status == "active" and each.seal_key is not None
    ]


def _judged(phonebook: Phonebook, sender: ContactPoint, type_: str, point: ContactPoint) -> Candidate:
    fault = why_not(phonebook, sender, type_, point)
    if is_bilateral(type_):
        own = "you two agreed on it"
    elif point.area == sender.area:
        own = "your own area"
    else:
        own = f"from {sender.area} to {point.area} there is a route"
    return Candidate(point=point, able=fault is None, why=fault or f"receives {type_}: {own}")


def _members(phonebook: Phonebook, terms: Iterable[str]) -> list[ContactPoint]:
    points = list(phonebook.directory.contact_points)
    for term in terms:
        kind, _, value = term.partition(":")
        if kind not in _GROUPS or not value:
            raise UsageError(
                f"{term} is no group",
                hint="A group is area:NAME, state:CODE, state:* or organisation:NAME; join several by `+`.",
            )
        known: set[str]
        if kind == "area":
            known = set(AREAS)
        elif kind == "state":
            value = _codes.get(value.casefold(), value.upper())
            known = {point.state for point in phonebook.directory.contact_points if point.state}
        else:
            known = _organisations(phonebook)
        if value == "*":
            points = [point for point in points if kind == "area" or getattr(point, kind)]
        elif value not in known:
            near = _nearest(value, known) if kind != "state" else _nearest_state(value, known)
            raise UsageError(f"directory version {phonebook.version} has no {kind} {value}{near}")
        else:
            points = [point for point in points if getattr(point, kind) == value]
    return points


def _organisations(phonebook: Phonebook) -> set[str]:
    return {point.organisation for point in phonebook.directory.contact_points if point.organisation}


def _sender(phonebook: Phonebook, me: str) -> ContactPoint:
    sender = phonebook.point(me)
    if sender is None:
        raise RecipientError(f"{me}, which this client sends for, is not in directory version {phonebook.version}")
    return sender


def _either(names: Iterable[str]) -> str:
    """Areas as a person lists them: `judicial, administrative or political`, in the order of the five."""
    given = set(names)
    found = [area for area in AREAS if area in given]
    return " or ".join(filter(None, [", ".join(found[:-1]), found[-1]]))


def _nearest(name: str, known: Iterable[str]) -> str:
    """The known names that are nearest to `name`; all of them where none is near."""
    there = sorted(known)
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    return f"; nearest: {', '.join(near)}" if near else f"; it has {', '.join(there) or 'none'}"


def _nearest_state(name: str, known: Iterable[str]) -> str:
    """The same for a State, by its name in English or by its code."""
    named = {f"{labels.STATES[code]} ({code})" if code in labels.STATES else code: code for code in known}
    if len(name) == 2:
        codes = difflib.get_close_matches(name, named.values(), n=3, cutoff=0.5)
        near = [each for each, code in sorted(named.items()) if code in codes]
    else:
        names = {each.casefold(): each for each in named}
        near = [names[each] for each in difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.4)]
    return f"; nearest: {', '.join(near)}" if near else f"; it has {', '.join(sorted(named)) or 'none'}"
