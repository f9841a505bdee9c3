"""`valija-broker`: install, check, serve. Data on standard output, words on standard error.

Exit status: 0 done, 1 failed, 2 wrong use, 69 the store cannot be used, 75 not answered yet, 78 the settings cannot be
used.
"""

import asyncio
import contextlib
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from valija_broker import config
from valija_broker.errors import BadConfig, BrokerError, EmbeddedError, StoreError
from valija_schemas.keys import fingerprint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from valija_broker.dead_letters import DeadLetter
    from valija_broker.reconcile import Found
    from valija_broker.store import Store

_answer_s: Final = 30.0  #: How long `order submit` waits; upkeep looks twice a second.

_config = click.option(
    "--config",
    "path",
    envvar="VALIJA_BROKER_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("broker.toml"),
    show_default=True,
    help="The settings; deploy/broker.example.toml explains them.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="valija", message="%(version)s")
def cli() -> None:
    r"""Run a Valija broker: it carries sealed messages between contact points and cannot read them.

    \b
    valija-broker init            make the broker's keys and folders
    valija-broker check-config    try the settings
    valija-broker serve           run
    valija-broker log fsck        check the whole log
    valija-broker log retained    show the legal holds on what is kept
    valija-broker reconcile       compare what was accepted with what is there
    valija-broker migrate         prepare a separate store, or one that is lost
    valija-broker dead list       show what no worker managed to take
    valija-broker order submit    have an order of operators carried out
    valija-broker hold list       show which contact points operators hold
    """


cli.help = (cli.help or "").replace("\\b", "\b")  # click's mark for lines that stay as they are


@cli.command()
@_config
def init(path: Path) -> None:
    """Make the data folder and the broker's keys, and write the public halves for the registry officers."""
    from valija_broker.keys import PUBLIC_NAME, Keys  # noqa: PLC0415 - slow to import, and only needed here

    settings = config.load(path)
    settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.directory_path.mkdir(mode=0o755, parents=True, exist_ok=True)
    keys = Keys.generate()
    keys.save(settings.keys_path)
    public = settings.data_path / PUBLIC_NAME
    names = keys.public
    public.write_text(
        "# The public keys of the broker, for `valija-registry init --broker`. Compare them by another channel.\n"
        f'evidence = "{names.evidence[0]}"\nfreshness = "{names.freshness}"\nlog = "{names.log}"\n'
        f'log_ml_dsa = "{names.log_ml_dsa}"\n',
        encoding="utf-8",
    )
    click.echo(f"Private keys: {settings.keys_path} (keep a copy offline: the root names these keys)", err=True)
    click.echo(f"For the officers: {public}", err=True)
    for name, key in names.named():
        click.echo(f"  {name}  {fingerprint(bytes.fromhex(key))}", err=True)
    click.echo("Read these to the officers by telephone: `valija-registry sign` shows them the same.", err=True)
    click.echo(f"Published roots and directories are taken from {settings.directory_path}", err=True)


@cli.command("check-config")
@_config
def check_config(path: Path) -> None:
    """Try the settings: read them, and open what they name, without starting anything."""
    from valija_broker.keys import Keys  # noqa: PLC0415

    settings = config.load(path)
    Keys.load(settings.keys_path)
    config.require_anchor(settings)
    if settings.store.url:
        asyncio.run(_check_store(settings))
    click.echo(f"{path}: good", err=True)


@cli.command()
@_config
def serve(path: Path) -> None:
    """Run the broker until SIGTERM, which lets what is in flight finish."""
    from valija_broker import supervisor  # noqa: PLC0415 - slow to import

    supervisor.run(config.load(path), path.resolve())


@cli.command()
@_config
@click.option(
    "--deploy-password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Password of the user `deploy`, who may load functions.",
)
@click.option(
    "--store-lost",
    is_flag=True,
    help="The newest store is gone for good: take the one that is there, and refuse requests signed before now.",
)
def migrate(path: Path, deploy_password_file: Path | None, store_lost: bool) -> None:
    """Load this release's functions into a configured store. The embedded one does this by itself at its start."""
    settings = config.load(path)
    if not settings.store.url and store_lost:
        from valija_broker.store_age import LOST_MARKER  # noqa: PLC0415

        (settings.data_path / LOST_MARKER).touch(mode=0o600)
        click.echo("The next `valija-broker serve` takes the store that is there.", err=True)
        return
    if not settings.store.url:
        click.echo("The embedded store is migrated whenever it starts; nothing to do.", err=True)
        return
    password = deploy_password_file.read_text(encoding="utf-8").strip() if deploy_password_file else None
    asyncio.run(_migrate(settings, password, lost=store_lost))
    click.echo("The functions are loaded.", err=True)


@cli.command()
@_config
def reconcile(path: Path) -> None:
    """Compare what was accepted with what is queued, lent, dead or ended. The store must be running.

    Prints each message and recipient that is amiss, and ends with 1 if there is any.
    """
    found = asyncio.run(_reconcile(config.load(path)))
    kinds = (
        ("lost", found.lost), ("never accepted", found.stray), ("never ended", found.overdue),
        ("queued again after its end", found.again),
    )  # fmt: skip
    for word, shares in kinds:
        for message, recipient in sorted(shares):
            click.echo(f"{word}: {message} for {recipient}")
    click.echo(f"{found.accepted} accepted, {found.queued} waiting: {found.amiss or 'nothing'} amiss", err=True)
    if found.amiss:
        sys.exit(1)


@cli.group()
def dead() -> None:
    """Look after dead letters: mail that no worker managed to take."""


@dead.command("list")
@_config
@click.option("--json", "json", is_flag=True, help="For programs: one JSON object a line.")
def dead_list(path: Path, json: bool) -> None:
    """Show the dead letters of every contact point, the oldest first. The store must be running."""
    import msgspec  # noqa: PLC0415

    from valija_broker.directory import utc  # noqa: PLC0415

    letters = asyncio.run(_dead(config.load(path)))
    for mailbox, letter in letters:
        if json:
            row = {"mailbox": mailbox, **msgspec.structs.asdict(letter)}
            del row["ref"]
            click.echo(msgspec.json.encode(row))
            continue
        click.echo(
            f"{mailbox}: {letter.digest}\n  from {letter.sender}, id {letter.id}, {letter.reason} since"
            f" {utc(letter.since)}, after {letter.attempts} attempts"
        )
    click.echo(f"{len(letters)} in all", err=True)


@cli.group()
def order() -> None:
    """Hand orders of operators to the broker. `valija-registry order` makes and signs them."""


@order.command()
@_config
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def submit(path: Path, file: Path) -> None:
    """Give the signed order FILE to the running broker, wait for its answer and print it.

    Ends with 0 when it is done, 1 when it is refused, 75 when it could not be handed over, or the broker did not answer
    within 30 s: run it again.
    """
    from valija_broker import orders  # noqa: PLC0415
    from valija_schemas.hold import HOLD  # noqa: PLC0415

    settings = config.load(path)
    raw = file.read_bytes()
    note, answer = orders.place(settings.orders_path, raw)
    result = orders.read_result(answer)
    # What became of an order stays so; a hold that was done may be lifted since.
    if result is None or result.status == "refused" or raw.startswith(HOLD.encode()):
        try:
            orders.make_folder(settings.orders_path)
            answer.unlink(missing_ok=True)
            orders.put(note, raw)
        except OSError as error:
            click.echo(f"Not handed over: {settings.orders_path}: {error}. Run the same again.", err=True)
            sys.exit(75)
        deadline = time.monotonic() + _answer_s
        while (result := orders.read_result(answer)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
    if result is None:
        click.echo("Not answered: does the broker run? The order waits. Run the same again.", err=True)
        sys.exit(75)
    click.echo(f"{result.status}: {result.words}")
    if result.status == "refused":
        sys.exit(1)


@cli.group()
def log() -> None:
    """Look after the transparency log."""


@log.command()
@_config
def fsck(path: Path) -> None:
    """Rebuild the whole log from the database and compare: leaves, openings, feeds, tiles, bundles, checkpoints.

    Prints what differs, and ends with 1 if anything does. The broker may run meanwhile.
    """
    from valija_broker.keys import Keys  # noqa: PLC0415
    from valija_broker.log import fsck as checks  # noqa: PLC0415
    from valija_broker.log.opening import policy_of  # noqa: PLC0415

    settings = config.load(path)
    policy = policy_of(settings, Keys.load(settings.keys_path))
    checked = checks.Checked()
    found = 0
    for difference in checks.fsck(settings.evidence_path, settings.log_path, policy, checked):
        found += 1
        if found <= checks.differences_max:
            click.echo(difference)
    click.echo(
        f"{checked.leaves} leaves, {checked.published} published, {checked.erased} without opening, "
        f"{checked.files} files: {found or 'no'} differences",
        err=True,
    )
    if found:
        sys.exit(1)


@log.command()
@_config
@click.option("--json", "json", is_flag=True, help="For programs: one JSON object a line.")
def retained(path: Path, json: bool) -> None:
    """Show the legal holds that operators ordered: what is not erased, since when, and by which order."""
    import msgspec  # noqa: PLC0415

    from valija_broker.directory import utc  # noqa: PLC0415
    from valija_broker.log import ordered  # noqa: PLC0415

    holds = ordered.holds(config.load(path).evidence_path)
    for hold in holds:
        click.echo(msgspec.json.encode(hold) if json else f"{hold.what}: since {utc(hold.since)}, order {hold.order}")
    click.echo(f"{len(holds)} in all", err=True)


@cli.group()
def hold() -> None:
    """Look after holds: contact points that two operators stopped for some hours."""


@hold.command("list")
@_config
@click.option("--json", "json", is_flag=True, help="For programs: one JSON object a line.")
def hold_list(path: Path, json: bool) -> None:
    """Show the contact points that are held now: until when, why, and the order."""
    import msgspec  # noqa: PLC0415

    from valija_broker import holds  # noqa: PLC0415
    from valija_broker.directory import now_ms, utc  # noqa: PLC0415

    settings = config.load(path)
    entries = holds.in_force(holds.logged(settings.evidence_path, settings.exchange.origin), now_ms())
    for entry in entries:
        found = entry.hold
        row = {"digest": entry.digest, **msgspec.structs.asdict(found)}
        words = f"{found.contact_point}: until {utc(found.until or 0)}, order {entry.digest}: {found.reason}"
        click.echo(msgspec.json.encode(row) if json else words)
    click.echo(f"{len(entries)} in all", err=True)


async def _check_store(settings: config.Settings) -> None:
    from valija_broker.layout import check  # noqa: PLC0415
    from valija_broker.process import endpoint  # noqa: PLC0415
    from valija_broker.store import Store  # noqa: PLC0415

    async with Store(endpoint(settings), shards=settings.store.shards, replicas=settings.store.replicas) as store:
        _, warnings = await check(store)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


@contextlib.asynccontextmanager
async def _running(settings: config.Settings) -> "AsyncIterator[tuple[Store, list[str]]]":
    """The store of a broker that runs, and the contact points of the newest directory."""
    from valija_broker.directory import Known  # noqa: PLC0415
    from valija_broker.embedded import running_endpoint  # noqa: PLC0415
    from valija_broker.process import endpoint  # noqa: PLC0415
    from valija_broker.shelves import DirectoryShelf  # noqa: PLC0415
    from valija_broker.store import Store  # noqa: PLC0415

    where = endpoint(settings) if settings.store.url else running_endpoint(settings.data_path)
    async with Store(where, shards=settings.store.shards) as store:
        known = Known(settings.exchange.origin, settings.exchange.anchor, DirectoryShelf(store))
        await known.refresh()
        yield store, [point.id for point in known.phonebook.directory.contact_points]


async def _reconcile(settings: config.Settings) -> "Found":
    from valija_broker.reconcile import reconcile  # noqa: PLC0415

    async with _running(settings) as (store, names):
        return await reconcile(settings.evidence_path, store, names, settings.exchange.origin)


async def _dead(settings: config.Settings) -> "list[tuple[str, DeadLetter]]":
    from valija_broker.dead_letters import DeadLetters  # noqa: PLC0415

    async with _running(settings) as (store, names):
        letters = DeadLetters(store)
        found = [(name, letter) for name in names for letter in await letters.of(name)]
    return sorted(found, key=lambda pair: pair[1].since)


async def _migrate(settings: config.Settings, password: str | None, *, lost: bool) -> None:
    from valija_broker.layout import check_settings, migrate  # noqa: PLC0415
    from valija_broker.store import Endpoint, Store  # noqa: PLC0415

    where = Endpoint(url=settings.store.url, username="deploy" if password else None, password=password)
    async with Store(where, shards=settings.store.shards) as store:
        await migrate(store, now=time.time_ns() // 1_000_000, lost=lost)
        await check_settings(store)


def main() -> None:
    """The command."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except sqlite3.Error as error:
        click.echo(f"valija-broker: evidence.sqlite cannot be read: {error}", err=True)
        click.echo("Does `data` name the folder of a broker that ran, and may you read it?", err=True)
        sys.exit(1)
    except BrokerError as error:
        click.echo(f"valija-broker: {error}\n{error.hint}", err=True)
        sys.exit(78 if isinstance(error, BadConfig) else 69 if isinstance(error, StoreError | EmbeddedError) else 1)
