"""The commands of officers about contact points and routes: each drafts the next directory.

Several may follow one another before anybody signs: they all change the one draft.

Before this room: `cli`. After it: `requests`, `folder`, `entries`. Rules: schemas/SPEC.md sections 1.6, 4.2 and 4.6.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from valija.errors import RegistryError
from valija.registry import core, entries, requests, show
from valija.registry.cli_common import FILE, F, days_option, drafted, exit_waiting, say
from valija.registry.folder import Registry
from valija_schemas import changes, documents, keys, limits
from valija_schemas.agreements import is_bilateral
from valija_schemas.directory import Area, ContactPoint, TypeName

_AREAS = click.Choice(core.areas)


def _overlap_option(function: F) -> F:
    return click.option(
        "--overlap",
        type=click.IntRange(1, core.directory_days_max),
        default=entries.overlap_days_default,
        show_default=True,
        help="For how many days from now the old keys still sign: at least until this is published.",
    )(function)


@click.command()
@click.argument("request", type=FILE)
@click.option("--answer", type=FILE, help="What the contact point made of the challenge.")
@days_option
@click.pass_obj
def admit(folder: Path, request: Path, answer: Path | None, days: int) -> None:
    """Check REQUEST; without --answer write a challenge, with it add the contact point to the next directory."""
    _enter(folder, request, answer, days, new=True)


@click.command()
@click.argument("request", type=FILE)
@click.option("--answer", type=FILE, help="What the contact point made of the challenge.")
@click.option("--lost", is_flag=True, help="Its last request is lost, by it or by the officers: do not ask for it.")
@_overlap_option
@days_option
@click.pass_obj
def rotate(folder: Path, request: Path, answer: Path | None, lost: bool, overlap: int, days: int) -> None:
    """Check REQUEST of a contact point for other keys; without --answer write a challenge, with it retire the old keys.

    Keys that may be in other hands are not rotated but revoked.
    """
    _enter(folder, request, answer, days, new=False, lost=lost, overlap=overlap)


@click.command()
@click.argument("id_", metavar="ID")
@days_option
@click.pass_obj
def suspend(folder: Path, id_: str, days: int) -> None:
    """Suspend a contact point: it can no longer send, fetch or sign receipts; what was accepted waits."""
    _set_status(folder, id_, "suspended", days)


@click.command()
@click.argument("id_", metavar="ID")
@days_option
@click.pass_obj
def resume(folder: Path, id_: str, days: int) -> None:
    """Lift the suspension of a contact point."""
    _set_status(folder, id_, "active", days)


@click.command()
@click.argument("id_", metavar="ID")
@days_option
@click.pass_obj
def withdraw(folder: Path, id_: str, days: int) -> None:
    """Take a contact point out of the exchange: nobody can write to it, its keys are retired, old mail stays provable.

    What waits for it is no longer fetched: it fetches all of it first.
    """
    _set_status(folder, id_, "withdrawn", days)


@click.command()
@click.argument("id_", metavar="ID")
@click.argument("fingerprint", nargs=-1, required=True)
@_overlap_option
@days_option
@click.pass_obj
def retire(folder: Path, id_: str, fingerprint: Sequence[str], overlap: int, days: int) -> None:
    """Retire the key of ID with this FINGERPRINT: what it signs until its end stays good, and it signs no more after.

    A seal key still receives for 7 days after its end. `rotate` retires the old keys by itself.
    """
    registry = Registry(folder)
    public = _with_fingerprint(entries.find(registry.points(), id_), fingerprint)
    ends_ms = core.now() + overlap * limits.DAY_MS
    _change(registry, id_, entries.with_retired(registry.points(), id_, public, ends_ms), days)


@click.command()
@click.argument("id_", metavar="ID")
@click.argument("fingerprint", nargs=-1)
@click.option("--all", "whole", is_flag=True, help="Every key that it has and had: the keyring was stolen.")
@days_option
@click.pass_obj
def revoke(folder: Path, id_: str, fingerprint: Sequence[str], whole: bool, days: int) -> None:
    """Revoke the key of ID with this FINGERPRINT: nothing verifies under it any more, whenever it was signed."""
    if bool(fingerprint) == whole:
        raise click.UsageError("give the fingerprint of a key, or --all")
    registry = Registry(folder)
    point = entries.find(registry.points(), id_)
    if whole:
        found = [key.key for _, key in changes.keys_of(point) if key.status != "revoked"]
    else:
        found = [_with_fingerprint(point, fingerprint)]
    _change(registry, id_, entries.with_revoked(registry.points(), id_, found, core.now()), days)


@click.group()
def route() -> None:
    """Which document types may go from contact points of one area to those of another."""


@route.command("add")
@click.argument("type_", metavar="TYPE")
@click.option("--from", "senders", type=_AREAS, multiple=True, required=True, help="Repeat it for several areas.")
@click.option("--to", "recipients", type=_AREAS, multiple=True, required=True, help="Repeat it for several areas.")
@days_option
@click.pass_obj
def add_route(folder: Path, type_: str, senders: tuple[Area, ...], recipients: tuple[Area, ...], days: int) -> None:
    """Let documents of TYPE (`information-request/1`) go from each area of --from to each of --to."""
    try:
        msgspec.convert(type_, TypeName)
    except msgspec.ValidationError:
        raise RegistryError(f"{type_} is no type", hint="Write it with its version: information-request/1.") from None
    if is_bilateral(type_):
        raise RegistryError("x- types go between two contact points", hint="See `valija-registry bilateral add`.")
    registry = Registry(folder)
    routes = entries.with_route(registry.routes(), core.cross(type_, senders, recipients))
    known = type_ in documents.types()
    unknown = f"This release knows no type {type_}: make sure that it is spelled as those who use it spell it."
    drafted(registry, registry.draft_directory(routes=routes, days=days), *([] if known else [unknown]))


@route.command("remove")
@click.argument("type_", metavar="TYPE")
@click.option("--from", "senders", type=_AREAS, multiple=True, default=core.areas, help="Unless given, every area.")
@click.option("--to", "recipients", type=_AREAS, multiple=True, default=core.areas, help="Unless given, every area.")
@days_option
@click.pass_obj
def remove_route(folder: Path, type_: str, senders: tuple[Area, ...], recipients: tuple[Area, ...], days: int) -> None:
    """Let documents of TYPE no longer go from the areas of --from to those of --to. What was accepted goes on."""
    registry = Registry(folder)
    routes = entries.without_route(registry.routes(), type_, senders, recipients)
    drafted(registry, registry.draft_directory(routes=routes, days=days))


@route.command("show")
@click.pass_obj
def show_routes(folder: Path) -> None:
    """Show the routes of the draft, or of the newest published directory where there is none."""
    for line in changes.route_lines(Registry(folder).routes()):
        click.echo(line)


COMMANDS = (admit, rotate, suspend, resume, withdraw, retire, revoke, route)


def _enter(
    folder: Path,
    request: Path,
    answer: Path | None,
    days: int,
    *,
    new: bool,
    lost: bool = False,
    overlap: int = entries.overlap_days_default,
) -> None:
    registry = Registry(folder)
    raw = request.read_bytes()
    kept = requests.check(registry, raw, new=new, lost=lost)
    say(*show.request_lines(kept), "")
    if answer is not None:
        path = requests.admit(registry, raw, kept, answer.read_bytes(), days=days, overlap_days=overlap)
        drafted(registry, path)
        return
    path = requests.challenge(registry, kept)
    click.echo(path)
    say(
        "Next: compare the fingerprints by a channel other than the one the request came by.",
        f"Then send {path} to the contact point, which answers it, and run:",
        f"  valija-registry {'admit' if new else 'rotate'} {request}{' --lost' if lost else ''} --answer FILE",
    )
    click.get_current_context().exit(exit_waiting)


def _set_status(folder: Path, id_: str, status: entries.Status, days: int) -> None:
    registry = Registry(folder)
    ends_ms = core.now() + entries.overlap_days_default * limits.DAY_MS
    _change(registry, id_, entries.with_status(registry.points(), id_, status, ends_ms), days)


def _change(registry: Registry, id_: str, points: tuple[ContactPoint, ...], days: int) -> None:
    path = registry.draft_directory(points, days=days)
    point = entries.find(points, id_)
    active = {use for use, key in changes.keys_of(point) if key.status == "active"}
    without = [use for use in ("sign", "seal", "auth") if use not in active]
    words = f"{id_} has no {' and no '.join(without)} key in force then: it needs `valija-registry rotate`."
    drafted(registry, path, *([words] if without and point.status != "withdrawn" else []))


def _with_fingerprint(point: ContactPoint, fingerprint: Sequence[str]) -> str:
    wanted = keys.unblocked("".join(fingerprint))
    for _, key in changes.keys_of(point):
        if keys.unblocked(changes.fingerprint(key)) == wanted:
            return key.key
    raise RegistryError(
        f"{point.id} has no key with this fingerprint",
        hint=f"`valija-registry show --point {point.id}` shows them, eight blocks each; give all eight.",
    )
