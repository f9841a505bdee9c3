"""`valija keys`: what keys there are, a copy of them, back from the copy, and others in their place."""

import contextlib
from pathlib import Path
from typing import Any

import click

from valija import age, backup, rotation
from valija import config as configs
from valija import keyring as keyrings
from valija.cli import asking, common
from valija.client import Client
from valija.clock import now_ms
from valija.errors import ConfigError, EnrolmentError, RefusedError, UnavailableError, UsageError
from valija.trust import TrustStore
from valija_schemas import limits
from valija_schemas.directory import ContactPoint, Phonebook
from valija_schemas.keys import fingerprint

_FILE: Any = click.Path(path_type=Path, dir_okay=False)


@click.group("keys")
def command() -> None:
    """Show, back up, restore and rotate the keys of a contact point. No secret is shown or taken as an argument."""


@command.command("show", cls=common.Command)
@common.output_option
@common.profile_options
@common.reported
def show(profile: str | None, settings: tuple[str, ...], output: str) -> None:
    """List the keys of the keyring, and what the directory that is held here says of each.

    `state` is active, retired or revoked; unknown, where the directory does not name the key; and "-" without one.
    """
    config = common.load_config(profile, settings)
    keyring = config.load_keyring()
    book = _held(config)
    point = book.point(keyring.id) if book else None
    printer = common.Printer(output, ["use", "state", "made", "ended", "fingerprint"])
    for key in keyring.held:
        named = {} if point is None else {each.key: each for each in getattr(point, key.use, ())}
        entry = named.get(key.public)
        state = None if book is None else entry.status if entry else "unknown"
        ended = entry.ended if entry else None
        raw = key.seal.recipient.to_bytes() if key.seal else bytes.fromhex(key.public)
        record: dict[str, Any] = {
            "use": key.use,
            "state": state,
            "made": common.iso(key.created_ms),
            "ended": common.iso(ended) if ended else None,
            "fingerprint": fingerprint(raw),
        }
        if output != "table":
            record["public"] = key.seal.recipient.to_text() if key.seal else key.public
        printer.add(record)
    printer.close()
    if point is not None and (asked := rotation.waiting(keyring, point)) is not None:
        common.words(f"The request {asked.digest[:8]} is not admitted yet: {common.iso(asked.request.time)}.")


@command.command("backup", cls=common.Command)
@click.argument("file", type=_FILE)
@click.option("--passphrase-file", type=_FILE, help="Seal it with the first line of this file, instead of asking.")
@click.option(
    "--recipient", "recipients", multiple=True, metavar="age1pq1...", help="Seal it for this key; repeat for several."
)
@common.profile_options
@common.reported
def back_up(
    profile: str | None,
    settings: tuple[str, ...],
    file: Path,
    passphrase_file: Path | None,
    recipients: tuple[str, ...],
) -> None:
    r"""Write every key of the keyring into FILE, one age file, and read it back.

    It is opened by a passphrase, which you type or which lies in a file, or by whoever has the key of a --recipient.
    Keep it where only you can reach it, and apart from what opens it.

    \b
    valija keys backup mx.enlace.backup
    valija keys backup mx.enlace.backup --recipient age1pq1...
    """
    if recipients and passphrase_file:
        raise UsageError("a file is sealed with a passphrase or for recipients, not both")
    keyring = common.load_config(profile, settings).load_keyring()
    sealed_for: list[age.Recipient] = []
    try:
        sealed_for += map(age.SealRecipient.from_text, recipients)
    except age.AgeError as error:
        raise UsageError(f"a recipient is not one: {error}", hint="It begins with age1pq1.") from None
    backup.write(file, keyring, sealed_for or [_passphrase(passphrase_file, confirm=True)])
    common.words(f"{file} holds the {len(keyring.held)} keys of {keyring.id}; it was read back and is whole.")
    if recipients:
        common.words("Next: have whoever keeps it open it once; only they can.")
    else:
        common.words("Next: keep it apart from its passphrase. After each rotation, make another.")


@command.command("restore", cls=common.Command)
@click.argument("file", type=_FILE)
@click.option("--passphrase-file", type=_FILE, help="What opens FILE: the first line of this one, instead of asking.")
@click.option("--identity", type=_FILE, help="What opens FILE: a key, in a file as age writes it.")
@common.profile_options
@common.reported
def restore(
    profile: str | None, settings: tuple[str, ...], file: Path, passphrase_file: Path | None, identity: Path | None
) -> None:
    """Put the keys of the backup FILE where the profile wants its keyring. Nothing that is there is written over.

    On a new machine, write the profile first (`valija profile new`). Its host key is made if it is not there.
    """
    if identity and passphrase_file:
        raise UsageError("a file is opened with a passphrase or by an identity, not both")
    config = common.load_config(profile, settings)
    path = config.keyring_path
    found = keyrings.load(file, keyrings.load_host_key(identity) if identity else _passphrase(passphrase_file))
    if (found.origin, found.id) != (config.exchange, config.contact_point):
        raise ConfigError(
            f"{file} holds the keys of {found.origin}/{found.id}, not of {config.exchange}/{config.contact_point}"
        )
    host = config.path("host_key")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{path.parent} cannot be made: {error.strerror}") from None
    if host is not None and not host.exists():
        # A crash from here on leaves a key that opens nothing yet; running this again uses it.
        keyrings.make_host_key(host)
    backup.restore(path, found, rotation.opener(config), config.identity())
    common.show_fingerprints(found)
    common.words(f"{path} holds {len(found.held)} keys; they were opened once.")
    common.words("Next: valija doctor. The state folder is no part of a backup: see OPERATING.md, section 3.")


@command.command("rotate", cls=common.Command)
@click.option("--previous", type=_FILE, help="The request that was admitted last, if the keyring does not hold it.")
@click.option("--lost", is_flag=True, help="That request is lost: ask as if there had been none. Tell the officers.")
@click.option("--again", is_flag=True, help="Make keys once more, though a request waits to be admitted.")
@common.profile_options
@common.reported
def rotate(profile: str | None, settings: tuple[str, ...], previous: Path | None, lost: bool, again: bool) -> None:
    """Make new keys beside the old ones, and the request that asks the officers for them.

    The old keys are used until the directory names the new ones, and open what was sealed to them after that. Programs
    that run change over by themselves. Run it again after an interruption: it goes on from where it was.
    """
    if lost and previous:
        raise UsageError("the request is lost or it is here, not both")
    config = common.load_config(profile, settings)
    point = common.run(_entry(config))
    given = common.read_file(str(previous), limits.note_bytes_max) if previous else None
    keyring, asked, path = rotation.rotate(config, point, given=given, lost=lost, again=again, now_ms=now_ms())
    common.show_fingerprints(keyring)
    common.words(f"Request: {path}, made {common.iso(asked.request.time)}")
    common.words("Next: give it to the registry officers, and read them the three fingerprints by telephone; then")
    common.words("answer their challenge with `valija init --answer`, and back the keyring up: `valija keys backup`.")


async def _entry(config: configs.Config) -> ContactPoint:
    """Our entry in the newest directory that can be had. Whose keys were revoked, the broker shows none."""
    try:
        async with Client(config) as client:
            book: Phonebook | None = await client.directory()
    except (UnavailableError, RefusedError) as error:
        book = _held(config)
        if book is None:
            raise
        common.words(f"{error}. The directory that is held counts: version {book.version}.")
    point = book.point(config.contact_point) if book else None
    if point is None:
        raise EnrolmentError(
            f"{config.contact_point} is not in the directory: there is nothing to rotate",
            hint="Give the request that `valija init` wrote to the officers.",
        )
    return point


def _held(config: configs.Config) -> Phonebook | None:
    folder = config.state_folder / "trust"
    if not folder.is_dir():
        return None
    store = TrustStore(folder, config.exchange, config.root)
    return store.phonebook if store.directory_version else None


def _passphrase(path: Path | None, *, confirm: bool = False) -> age.Passphrase:
    if path is not None:
        return configs.read_passphrase(path)
    text = asking.passphrase(confirm=confirm)
    with contextlib.suppress(age.AgeError):
        return age.Passphrase(text)
    raise UsageError("that is no passphrase")
