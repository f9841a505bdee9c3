"""The command `valija-registry`: the officers' ceremony, offline, in one folder.

    valija-registry officer a --organisation "..." --origin exchange.example     each officer, on their own machine
    valija-registry init exchange.toml --broker broker.public.toml               root 1, drafted
    valija-registry sign root.1.draft --officer officer.a.keyring                each officer; carry the file along
    valija-registry publish --to FOLDER
    valija-registry admit mx.enlace.request                                      writes mx.enlace.challenge
    valija-registry admit mx.enlace.request --answer mx.enlace.answer            drafts the next directory
    valija-registry sign directory.1.draft --officer officer.a.keyring
    valija-registry publish --to FOLDER                                          the folder that the broker watches
    valija-registry order discard --message DIGEST ... -o FILE                   operators, on their own machines

A draft is the text of the note, an empty line, and a line for each officer who has signed: the published note in the
making. The folder's files are described in `folder`. Data goes to stdout, words go to stderr; every failure ends with
what to do next. Exit codes: 0 done, 1 refused, 2 wrong usage, 75 waiting for somebody else.

Before this room: officers. After it: `folder`, `core`, `admission`, `show`, `cli_orders`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import click
from rich.console import Console

from valija import age, keyring
from valija.errors import ConfigError, RegistryError, ValijaError
from valija.registry import admission, core, show
from valija.registry.cli_common import FILE, PATH, F, passphrase_option, read_passphrase, say
from valija.registry.cli_orders import order
from valija.registry.folder import Registry, read_file
from valija_schemas import keys
from valija_schemas.directory import Directory, Key, SealKey

exit_waiting: Final = 75  #: EX_TEMPFAIL: run the same command again once the other party has acted.


class _Commands(click.Group):
    """Says what failed and what to do next, and shows no traceback for what a person can set right."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValijaError as error:
            say(f"valija-registry: {error}", f"Next: {error.hint}")
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--registry", default=".", type=click.Path(file_okay=False, path_type=Path), help="The officers' folder.")
@click.version_option(package_name="valija")
@click.pass_context
def main(ctx: click.Context, registry: Path) -> None:
    """Say who is who in an exchange, and sign it together. Works offline, in one folder."""
    ctx.obj = registry


def _days(default: int, most: int) -> Callable[[F], F]:
    return click.option(
        "--days", type=click.IntRange(1, most), default=default, show_default=True, help="How long it holds."
    )


def _keyring_options(function: F) -> F:
    for option in (
        passphrase_option,
        click.option(
            "--work-factor", type=click.IntRange(1, age.work_factor_max), default=age.work_factor_default, hidden=True
        ),
        click.option("--out", type=PATH, help="The keyring file; `<id>.keyring` in the folder unless given."),
        click.option("--origin", help="The exchange; the folder's unless given."),
    ):
        function = option(function)
    return function


@main.command()
@click.argument("name")
@click.option("--organisation", required=True, help="The member organisation that the officer signs for.")
@_keyring_options
@click.pass_obj
def officer(
    folder: Path,
    name: str,
    organisation: str,
    origin: str | None,
    out: Path | None,
    work_factor: int,
    passphrase_file: Path | None,
) -> None:
    """Make the sealed keyring of officer NAME, and print the public half for the file that `init` reads."""
    more = f'organisation = "{_quoted(organisation)}"\n'
    _new_keyring(folder, "officer", name, origin, out, work_factor, passphrase_file, more)


@main.command()
@click.argument("name")
@_keyring_options
@click.pass_obj
def operator(
    folder: Path, name: str, origin: str | None, out: Path | None, work_factor: int, passphrase_file: Path | None
) -> None:
    """Make the sealed keyring of operator NAME, who signs orders, and print the public half as `officer` does."""
    _new_keyring(folder, "operator", name, origin, out, work_factor, passphrase_file)


@main.command()
@click.argument("config", type=FILE)
@click.option("--broker", type=FILE, help="The broker's public keys file; `broker` in CONFIG unless given.")
@click.pass_obj
def init(folder: Path, config: Path, broker: Path | None) -> None:
    """Draft root 1 from CONFIG, a TOML file: origin, officers, threshold, operators, witnesses, routes."""
    registry = Registry(folder)
    if registry.root is not None:
        raise RegistryError("this folder has a published root", hint="Use new-root to draft the one that follows it.")
    _drafted(registry, registry.draft_root(config, broker_file=broker))


@main.command("new-root")
@click.argument("config", type=FILE)
@click.option("--broker", type=FILE, help="The broker's public keys file; `broker` in CONFIG unless given.")
@click.pass_obj
def new_root(folder: Path, config: Path, broker: Path | None) -> None:
    """Draft the root that follows the published one: other officers, thresholds or broker keys.

    It needs the threshold of the published root and its own. Then draft and publish a directory under it.
    """
    registry = Registry(folder)
    registry.store  # noqa: B018 - raises where there is no published root
    _drafted(registry, registry.draft_root(config, broker_file=broker))


@main.command()
@click.argument("request", type=FILE)
@click.option("--answer", type=FILE, help="What the contact point made of the challenge.")
@_days(core.directory_days_max, core.directory_days_max)
@click.pass_context
def admit(ctx: click.Context, request: Path, answer: Path | None, days: int) -> None:
    """Check REQUEST; without --answer write a challenge, with it add the contact point to the next directory."""
    registry = Registry(ctx.obj)
    raw = request.read_bytes()
    kept = admission.check(raw, registry.seen())
    say(*show.request_lines(kept))
    if answer is not None:
        _drafted(registry, registry.admit(raw, kept, answer.read_bytes(), days=days))
        return
    path = registry.challenge(kept)
    click.echo(path)
    say(
        "Next: compare the fingerprints by a channel other than the one the request came by.",
        f"Then send {path} to the contact point, which answers it, and run:",
        f"  valija-registry admit {request} --answer FILE",
    )
    ctx.exit(exit_waiting)


@main.command()
@click.argument("id_", metavar="ID")
@_days(core.directory_days_max, core.directory_days_max)
@click.pass_obj
def suspend(folder: Path, id_: str, days: int) -> None:
    """Suspend a contact point: it can no longer send, fetch or sign receipts; what was accepted waits."""
    _set_status(folder, id_, "suspended", days)


@main.command()
@click.argument("id_", metavar="ID")
@_days(core.directory_days_max, core.directory_days_max)
@click.pass_obj
def reinstate(folder: Path, id_: str, days: int) -> None:
    """Lift the suspension of a contact point."""
    _set_status(folder, id_, "active", days)


@main.command()
@click.argument("id_", metavar="ID")
@click.argument("fingerprint")
@_days(core.directory_days_max, core.directory_days_max)
@click.pass_obj
def revoke(folder: Path, id_: str, fingerprint: str, days: int) -> None:
    """Revoke the key of ID with this FINGERPRINT: nothing verifies under it any more, whenever it was signed."""
    registry = Registry(folder)
    wanted = fingerprint.replace(" ", "").lower()
    for point in registry.points():
        held: tuple[Key | SealKey, ...] = (*point.sign, *point.seal, *point.auth)
        for key in held:
            if point.id == id_ and show.fingerprint(key).replace(" ", "") == wanted:
                points = core.with_revoked(registry.points(), id_, key.key, core.now())
                _drafted(registry, registry.draft_directory(points, days=days))
                return
    raise RegistryError(f"{id_} has no key with this fingerprint", hint="Take it from `show --json`, whole.")


@main.command()
@_days(core.directory_days_max, core.directory_days_max)
@click.pass_obj
def draft(folder: Path, days: int) -> None:
    """Draft the next directory as it stands, issued now: to renew one that runs out, or after routes.toml changed."""
    registry = Registry(folder)
    _drafted(registry, registry.draft_directory(days=days))


@main.command()
@click.argument("file", type=FILE)
@click.option("--officer", "keys_file", type=FILE, required=True, help="The officer's keyring.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@passphrase_option
@click.pass_obj
def sign(folder: Path, file: Path, keys_file: Path, yes: bool, passphrase_file: Path | None) -> None:
    """Show what FILE says and what it changes, and add an officer's signature to it."""
    registry = Registry(folder)
    read = read_file(file)
    missing = registry.missing(read)
    say(*show.heading(read, missing), "", *_changes(registry, read), "")
    registry.check(read)
    held = keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file)))
    signer = held.officer
    if held.origin != read.origin:
        raise RegistryError(f"this keyring is for {held.origin}, the file for {read.origin}")
    named = {(f"{read.origin}/{one.id}", one.key) for root in registry.judges(read) for one in root.officers}
    if (signer.name, signer.public.hex()) not in named:
        raise RegistryError(f"{held.id} is no officer of this root, or has another key there")
    if not yes and not click.confirm(f"Sign this as {held.id}?", err=True):
        raise RegistryError("not signed", hint="Nothing was changed.")
    registry.add_signature(file, read, signer)
    say(f"Signed by {held.id}. Missing: {show.missing_words(registry.missing(read_file(file)))}.")


@main.command()
@click.argument("files", nargs=-1, type=FILE)
@click.option("--to", required=True, type=click.Path(file_okay=False, path_type=Path), help="The broker watches it.")
@click.pass_obj
def publish(folder: Path, files: tuple[Path, ...], to: Path) -> None:
    """Copy what is fully signed into a folder. FILES are copies of drafts that were signed elsewhere, if any."""
    registry = Registry(folder)
    published = registry.publish(files, to)
    for name in published:
        click.echo(to / name)
    for path in registry.drafts():
        say(f"{path} is not published. Missing: {show.missing_words(registry.missing(read_file(path)))}.")
    if not published:
        say("Nothing new; the folder has everything that is published.")
    if "root.1.note" in published:
        digest = registry.store.anchor_digest
        say(
            f"Digest of root 1: {show.blocks(digest)}",
            "Next: give it to every contact point and to the broker's operator by a channel other than the broker.",
        )


@main.command("show")
@click.argument("file", type=FILE, required=False)
@click.option("--version", "number", type=click.IntRange(1), help="A published directory version.")
@click.option("--json", "json", is_flag=True, help="For programs.")
@click.pass_obj
def show_(folder: Path, file: Path | None, number: int | None, json: bool) -> None:
    """Show FILE, or a published directory version, or all that is newest and drafted."""
    registry = Registry(folder)
    if file is not None:
        paths = [file]
    elif number is not None:
        paths = [folder / f"directory.{number}.note"]
    else:
        paths = registry.newest()
    if not paths:
        raise RegistryError("this folder is empty", hint="Begin with `valija-registry officer` and `init`.")
    if json and len(paths) > 1:
        paths = paths[-1:]
    for path in paths:
        read = read_file(path)
        missing = registry.missing(read) if registry.root or not isinstance(read.value, Directory) else None
        if json:
            click.echo(show.as_json(read, missing))
            continue
        click.echo("\n".join([f"# {path}", *show.heading(read, missing), ""]))
        show.print_value(_console(), read.value)
        if path.suffix == ".draft":
            click.echo("\n".join(["# what it changes", *_changes(registry, read)]))


main.add_command(order)


def _new_keyring(
    folder: Path,
    use: Literal["officer", "operator"],
    name: str,
    origin: str | None,
    out: Path | None,
    work_factor: int,
    passphrase_file: Path | None,
    more: str = "",
) -> None:
    origin = origin or Registry(folder).origin()
    if origin is None:
        raise ConfigError("the folder does not know the exchange yet", hint="Give --origin.")
    id_ = name if name.startswith(f"{use}.") else f"{use}.{name}"
    made = keyring.Keyring.generate(origin, id_, uses=[use])
    path = out or folder / f"{id_}.keyring"
    keyring.save(path, made, age.Passphrase(read_passphrase(passphrase_file, confirm=True), work_factor))
    public = bytes.fromhex(made.held[0].public)
    click.echo(f'[[{use}s]]\nid = "{id_}"\n{more}key = "{public.hex()}"')
    say(
        f"Wrote {path}. Keep a copy of it, and the passphrase elsewhere.",
        f"Fingerprint: {keys.fingerprint(public)}",
        "Next: give the lines above to whoever writes the file for `init`, and read the fingerprint out by telephone.",
    )


def _set_status(folder: Path, id_: str, status: core.Status, days: int) -> None:
    registry = Registry(folder)
    _drafted(registry, registry.draft_directory(core.with_status(registry.points(), id_, status), days=days))


def _drafted(registry: Registry, path: Path) -> None:
    read = read_file(path)
    click.echo(path)
    say(*show.heading(read, registry.missing(read)), "", *_changes(registry, read), "")
    if registry.dropped:
        say(f"The signatures of {', '.join(registry.dropped)} were given to the older draft and are gone.")
    say(f"Next: each officer runs `valija-registry sign {path} --officer KEYRING`, then publish.")


def _changes(registry: Registry, read: core.Draft) -> list[str]:
    return show.changes(registry.before(read), read.value) or ["It changes nothing but the dates."]


def _console() -> Console:
    # No markup: a name in the directory must not be able to colour or hide what an officer reads.
    width = None if sys.stdout.isatty() else 160
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
