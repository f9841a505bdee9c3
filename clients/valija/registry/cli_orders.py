"""The commands `valija-registry order`: what operators order together, made and signed on their own machines.

Before this room: `cli`. After it: `orders`. Rules: schemas/SPEC.md sections 4.7 and 5.4.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from valija import age, durable, keyring
from valija.errors import RegistryError
from valija.keyring import Keyring
from valija.registry import orders
from valija.registry.cli_common import FILE, PATH, F, passphrase_option, read_passphrase, say, say_what_is_signed
from valija.registry.folder import Registry
from valija_schemas.order import ActionName


@click.group()
def order() -> None:
    """Make and sign what operators order together about dead letters, the evidence that a broker keeps, and holds."""


def _order_options(function: F) -> F:
    for option in (
        passphrase_option,
        click.option("-o", "--out", type=PATH, required=True, help="Where to write the order."),
        click.option("--operator", "keys_file", type=FILE, required=True, help="The operator's keyring."),
        click.option("--reason", required=True, help="Why; the parties read it. At most 500 characters."),
    ):
        function = option(function)
    return function


def _message(*, required: bool) -> Callable[[F], F]:
    return click.option("--message", required=required, help="The digest of the message.")


_whose = click.option("--recipient", "contact_point", required=True, help="Whose dead letter it is.")
_all_of = click.option("--contact-point", help="All messages that this contact point sent or received.")


@order.command()
@_order_options
@_whose
@_message(required=True)
def replay(**given: Any) -> None:
    """Order that a dead letter goes back to its recipient's queue. One operator is enough."""
    _order("replay", **given)


@order.command()
@_order_options
@_whose
@_message(required=True)
def discard(**given: Any) -> None:
    """Order that a dead letter is given up for good. It needs the signatures of two operators."""
    _order("discard", **given)


@order.command()
@_order_options
@_all_of
@_message(required=False)
def retain(**given: Any) -> None:
    """Put a legal hold on the evidence of a message or of a contact point: it is not erased. One operator is enough."""
    _order("retain", **given)


@order.command()
@_order_options
@_all_of
@_message(required=False)
def release(**given: Any) -> None:
    """End a legal hold, whoever ordered it. It needs the signatures of two operators."""
    _order("release", **given)


@order.command()
@_order_options
@_message(required=True)
def erase(**given: Any) -> None:
    """Have the broker's copies of the events of a message erased. It needs the signatures of two operators."""
    _order("erase", contact_point=None, **given)


@order.command("hold")
@click.argument("contact_point")
@click.option(
    "--hours", type=click.IntRange(1, 72), default=72, show_default=True, help="How long, at most; it can be lifted."
)
@_order_options
@click.pass_obj
def hold_(folder: Path, /, contact_point: str, hours: int, reason: str, **given: Any) -> None:
    """Hold CONTACT_POINT, whose keys may be in other hands: it can neither send nor fetch. It needs two operators.

    The folder must hold the newest root and directory; copies of those that the broker publishes will do.
    """
    registry = Registry(folder)
    _make(
        lambda held: orders.make_hold(
            registry, contact_point, hours=hours, reason=reason, origin=held.origin, signer=held.operator
        ),
        **given,
    )


@order.command()
@click.argument("file", type=FILE)
@_order_options
def lift(file: Path, reason: str, **given: Any) -> None:
    """Lift the hold in FILE before its time. It needs the signatures of two operators."""
    raw = file.read_bytes()
    _make(lambda held: orders.make_lift(raw, reason=reason, origin=held.origin, signer=held.operator), **given)


@order.command("sign")
@click.argument("file", type=FILE)
@click.option("--operator", "keys_file", type=FILE, required=True, help="The operator's keyring.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@passphrase_option
@click.pass_obj
def sign_order(folder: Path, file: Path, keys_file: Path, yes: bool, passphrase_file: Path | None) -> None:
    """Show the order FILE, and add an operator's signature to it."""
    raw = file.read_bytes()
    say_what_is_signed(*orders.lines(raw, Registry(folder).root), "")
    held = keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file)))
    if not yes and not click.confirm(f"Sign this as {held.id}?", err=True):
        raise RegistryError("not signed", hint="Nothing was changed.")
    signed = orders.sign(raw, held.origin, held.operator)
    durable.write(file, signed, replace=True)
    say(f"Signed by {held.id}.", _next(file, signed))


@order.command("show")
@click.argument("file", type=FILE)
@click.pass_obj
def show_order(folder: Path, file: Path) -> None:
    """Show what the order FILE says, and whether it is good under the folder's root."""
    click.echo("\n".join(orders.lines(file.read_bytes(), Registry(folder).root)))


def _order(
    action: ActionName,
    *,
    message: str | None,
    contact_point: str | None,
    reason: str,
    **given: Any,
) -> None:
    def work(held: Keyring) -> bytes:
        return orders.make(
            held.origin, action, message=message, contact_point=contact_point, reason=reason, signer=held.operator
        )

    _make(work, **given)


def _make(work: Callable[[Keyring], bytes], *, keys_file: Path, out: Path, passphrase_file: Path | None) -> None:
    raw = work(keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file))))
    try:
        durable.write(out, raw)
    except FileExistsError:
        raise RegistryError(f"{out} is there already", hint="Name another file.") from None
    click.echo(out)
    say(*orders.lines(raw, None)[:-1])
    say(_next(out, raw))


def _next(file: Path, raw: bytes) -> str:
    """What becomes of an order that bears these signatures."""
    note, value = orders.parse(raw)
    more = f"another operator runs `valija-registry order sign {file} --operator KEYRING`, then "
    missing = len(note.signatures) < orders.operators_min(value)
    return f"Next: {more if missing else ''}`valija-broker order submit {file}` on the broker's machine."
