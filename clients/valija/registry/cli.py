"""The command `valija-registry`: the officers' ceremony, offline, in one folder.

    valija-registry officer a --organisation "..." --origin exchange.example     each officer, on their own machine
    valija-registry init exchange.toml --broker broker.public.toml               root 1, drafted
    valija-registry sign root.1.draft --officer officer.a.keyring                each officer; carry the file along
    valija-registry publish --to FOLDER
    valija-registry admit mx.enlace.request                                      writes mx.enlace.challenge
    valija-registry admit mx.enlace.request --answer mx.enlace.answer            drafts the next directory
    valija-registry sign directory.1.draft --officer officer.a.keyring
    valija-registry publish --to FOLDER                                          the folder that the broker watches
    valija-registry rotate | retire | revoke | suspend | resume | withdraw ...   each drafts the next directory
    valija-registry route add | remove | show
    valija-registry treaty set | read | remove | list
    valija-registry bilateral add | remove | list
    valija-registry diff directory.7 directory.8
    valija-registry verify FOLDER --root DIGEST
    valija-registry sample FOLDER                                                one to look at: the 35 States
    valija-registry order discard --message DIGEST ... -o FILE                   operators, on their own machines
    valija-registry console https://console.exchange.example --key FILE          they sign what is proposed in a browser

A draft is the text of the note, an empty line, and a line for each officer who has signed: the published note in the
making. The folder's files are described in `folder`. Data goes to stdout, words go to stderr; every failure ends with
what to do next. Exit codes: 0 done, 1 refused, 2 wrong usage, 75 waiting for somebody else.

Before this room: officers. After it: `folder`, `show`; `cli_points`, `cli_agreements`, `cli_show`,
`cli_orders` and `cli_console` hold more commands.
"""

import errno
from pathlib import Path
from typing import Any, Literal, get_args

import click

from valija import age, keyring
from valija.errors import ConfigError, KeyMissingError, KeyringError, RegistryError, ValijaError
from valija.registry import cli_agreements, cli_points, cli_show, show
from valija.registry.cli_common import (
    FILE,
    PATH,
    F,
    days_option,
    drafted,
    passphrase_option,
    read_passphrase,
    say,
    say_what_is_signed,
)
from valija.registry.cli_console import console
from valija.registry.cli_orders import order
from valija.registry.folder import Registry, read_file
from valija_schemas import changes, keys
from valija_schemas import note as notes
from valija_schemas.directory import Role


class _Commands(click.Group):
    """Says what failed and what to do next, and shows no traceback for what a person can set right."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValijaError as error:
            say(f"valija-registry: {error}", f"Next: {error.hint}")
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read our output has enough of it
            say(
                f"valija-registry: {error.filename or 'a file'} cannot be used: {error.strerror}",
                "Next: check the path, its rights and the free space; then run the same again.",
            )
        raise click.exceptions.Exit(1)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the whole first sentence of each."""
        names = self.list_commands(ctx)
        commands = [(name, self.get_command(ctx, name)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(200)) for name, command in commands if command])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--registry", default=".", type=click.Path(file_okay=False, path_type=Path), help="The officers' folder.")
@click.version_option(package_name="valija")
@click.pass_context
def main(ctx: click.Context, registry: Path) -> None:
    """Say who is who in an exchange, and sign it together. Works offline, in one folder."""
    ctx.obj = registry


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
    if not organisation.strip():
        raise ConfigError("the organisation has no name", hint="Give it with --organisation.")
    more = f'organisation = "{_quoted(organisation)}"\n'
    _new_keyring(folder, "officer", name, origin, out, work_factor, passphrase_file, more)


@main.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(get_args(Role)),
    multiple=True,
    default=("operator",),
    show_default="operator",
    help="What this person may do at the broker; may be repeated.",
)
@_keyring_options
@click.pass_obj
def operator(
    folder: Path,
    name: str,
    roles: tuple[Role, ...],
    origin: str | None,
    out: Path | None,
    work_factor: int,
    passphrase_file: Path | None,
) -> None:
    """Make the sealed keyring of operator NAME, and print the public half as `officer` does.

    An observer looks at queues, an operator also signs orders, a registrar publishes directories, an auditor looks at
    the log and the evidence.
    """
    listed = ", ".join(f'"{role}"' for role in get_args(Role) if role in roles)
    _new_keyring(folder, "operator", name, origin, out, work_factor, passphrase_file, f"roles = [{listed}]\n")


@main.command()
@click.argument("config", type=FILE)
@click.option("--broker", type=FILE, help="The broker's public keys file; `broker` in CONFIG unless given.")
@click.pass_obj
def init(folder: Path, config: Path, broker: Path | None) -> None:
    """Draft root 1 from CONFIG, a TOML file: origin, officers, threshold, operators, witnesses, routes."""
    registry = Registry(folder)
    if registry.root is not None:
        raise RegistryError("this folder has a published root", hint="Use new-root to draft the one that follows it.")
    drafted(registry, registry.draft_root(config, broker_file=broker))


@main.command("new-root")
@click.argument("config", type=FILE, required=False)
@click.option("--broker", type=FILE, help="The broker's public keys file; `broker` in CONFIG unless given.")
@click.pass_obj
def new_root(folder: Path, config: Path | None, broker: Path | None) -> None:
    """Draft the root that follows the published one: other officers, thresholds or broker keys.

    Without CONFIG it says the same again, issued now. It needs the threshold of the published root and its own.
    """
    registry = Registry(folder)
    registry.store  # noqa: B018 - raises where there is no published root
    if config is None:
        if broker is not None:
            raise click.UsageError("--broker goes with CONFIG")
        drafted(registry, registry.renew_root())
        return
    drafted(registry, registry.draft_root(config, broker_file=broker))


@main.command()
@days_option
@click.pass_obj
def draft(folder: Path, days: int) -> None:
    """Draft the next directory as it stands, issued now: to renew one that runs out, or after a new root."""
    registry = Registry(folder)
    drafted(registry, registry.draft_directory(days=days))


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
    say(*show.heading(read, missing), "")
    say_what_is_signed(*changes.changes(registry.before(read), read.value), "")
    registry.check(read)
    held = keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file)))
    try:
        signer = held.officer
    except KeyMissingError:
        raise RegistryError(f"this is the keyring of {held.id}, not an officer's", hint="Take your own.") from None
    if held.origin != read.origin:
        raise RegistryError(
            f"this keyring is for {held.origin}, the file for {read.origin}", hint="Take the keyring of this exchange."
        )
    named = {(f"{read.origin}/{one.id}", one.key) for root in registry.judges(read) for one in root.officers}
    if (signer.name, signer.public.hex()) not in named:
        raise RegistryError(
            f"{held.id} is no officer of this root, or has another key there",
            hint="`valija-registry show` lists the officers of the newest root. Is there a newer root to copy here?",
        )
    own = notes.key_id(signer.name, signer.public)
    if any((line.name, line.key_id) == (signer.name, own) for line in read.signatures):
        say(f"{held.id} has signed this before; nothing was changed.", _after_signing(missing, file))
        return
    if (other := registry.signed_before(read, signer)) is not None:
        say(
            *show.lines_of(f"CAREFUL: {held.id} signed another text of this version: ", other),
            "Go on only when every copy of that one is destroyed: published both, they stop every client.",
            "",
        )
    if not yes and not click.confirm(f"Sign this as {held.id}?", err=True):
        raise RegistryError("not signed", hint="Nothing was changed.")
    registry.add_signature(file, read, signer)
    missing = registry.missing(read_file(file))
    say(f"Signed by {held.id}. Missing: {show.missing_words(missing)}.", _after_signing(missing, file))


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
        return
    if "root.1.note" in published:
        say(
            *show.lines_of("Digest of root 1: ", registry.store.anchor_digest),
            "Give it to every contact point and to the broker's operator by a channel other than the broker.",
        )
    if not any(name.startswith("directory.") for name in published):
        say("Next: `valija-registry draft` makes a directory under this root; sign and publish it, too.")
        return
    say(f"Next: copy what is new in {to} to the broker, roots first; and this folder to the other officers.")


for _command in (*cli_points.COMMANDS, *cli_agreements.COMMANDS, *cli_show.COMMANDS, order, console):
    main.add_command(_command)


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
    try:
        made = keyring.Keyring.generate(origin, id_, uses=[use])
    except KeyringError:
        raise ConfigError(
            f"{origin!r} cannot name an exchange, or {id_!r} nobody in it",
            hint="Both are of lower-case letters, digits, dots and hyphens.",
        ) from None
    path = out or folder / f"{id_}.keyring"
    keyring.save(path, made, age.Passphrase(read_passphrase(passphrase_file, confirm=True), work_factor))
    public = bytes.fromhex(made.held[0].public)
    click.echo(f'[[{use}s]]\nid = "{id_}"\n{more}key = "{public.hex()}"')
    say(
        f"Wrote {path}. Keep a copy of it, and the passphrase elsewhere.",
        f"Fingerprint: {keys.fingerprint(public)}",
        "Next: give the lines above to whoever writes the file for `init`, and read the fingerprint out by telephone.",
    )


def _after_signing(missing: tuple[int, int], file: Path) -> str:
    if any(missing):
        return f"Next: carry {file} to another officer, who signs it with `valija-registry sign`."
    return "Next: `valija-registry publish --to FOLDER`."


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
