"""The commands `valija-registry order`: what operators order together, made and signed on their own machines.

Before this room: `cli`. After it: `orders`. Rules: schemas/SPEC.md section 5.4.
"""

from pathlib import Path
from typing import Any

import click

from valija import age, durable, keyring
from valija.errors import RegistryError
from valija.registry import orders
from valija.registry.cli_common import FILE, PATH, F, passphrase_option, read_passphrase, say
from valija.registry.folder import Registry
from valija_schemas.order import OPERATORS_MIN, ActionName


@click.group()
def order() -> None:
    """Make and sign what operators order together: what becomes of a dead letter."""


def _order_options(function: F) -> F:
    for option in (
        passphrase_option,
        click.option("-o", "--out", type=PATH, required=True, help="Where to write the order."),
        click.option("--operator", "keys_file", type=FILE, required=True, help="The operator's keyring."),
        click.option("--reason", required=True, help="Why; both parties read it. At most 500 characters."),
        click.option("--recipient", required=True, help="Whose dead letter it is."),
        click.option("--message", required=True, help="The digest of the message."),
    ):
        function = option(function)
    return function


@order.command()
@_order_options
def replay(**given: Any) -> None:
    """Order that a dead letter goes back to its recipient's queue. One operator is enough."""
    _order("replay", **given)


@order.command()
@_order_options
def discard(**given: Any) -> None:
    """Order that a dead letter is given up for good. It needs the signatures of two operators."""
    _order("discard", **given)


@order.command("sign")
@click.argument("file", type=FILE)
@click.option("--operator", "keys_file", type=FILE, required=True, help="The operator's keyring.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@passphrase_option
@click.pass_obj
def sign_order(folder: Path, file: Path, keys_file: Path, yes: bool, passphrase_file: Path | None) -> None:
    """Show the order FILE, and add an operator's signature to it."""
    raw = file.read_bytes()
    say(*orders.lines(raw, Registry(folder).root), "")
    held = keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file)))
    if not yes and not click.confirm(f"Sign this as {held.id}?", err=True):
        raise RegistryError("not signed", hint="Nothing was changed.")
    durable.write(file, orders.sign(raw, held.origin, held.operator), replace=True)
    say(f"Signed by {held.id}.")


@order.command("show")
@click.argument("file", type=FILE)
@click.pass_obj
def show_order(folder: Path, file: Path) -> None:
    """Show what the order FILE says, and whether it is good under the folder's root."""
    click.echo("\n".join(orders.lines(file.read_bytes(), Registry(folder).root)))


def _order(
    action: ActionName,
    *,
    message: str,
    recipient: str,
    reason: str,
    keys_file: Path,
    out: Path,
    passphrase_file: Path | None,
) -> None:
    held = keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file)))
    raw = orders.make(held.origin, action, message=message, recipient=recipient, reason=reason, signer=held.operator)
    try:
        durable.write(out, raw)
    except FileExistsError:
        raise RegistryError(f"{out} is there already", hint="Name another file.") from None
    click.echo(out)
    say(*orders.lines(raw, None)[:-1])
    more = f"another operator runs `valija-registry order sign {out} --operator KEYRING`, then "
    say(f"Next: {more if OPERATORS_MIN[action] > 1 else ''}`valija-broker order submit {out}` on the broker's machine.")
