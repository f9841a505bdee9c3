"""Orders of operators on the operators' own machines: written, signed, carried to the next operator, and looked at.

An order is a note from its first signature on. Each operator adds a line with their own keyring; then `valija-broker
order submit` hands it to the broker, which alone decides whether enough of the root's operators signed.

Before this room: `cli`. After it: `keyring`, `valija_schemas.order`. Rules: schemas/SPEC.md section 5.4.
"""

from valija.errors import RegistryError
from valija.registry import core, show
from valija_schemas import note as notes
from valija_schemas import order
from valija_schemas.directory import Root
from valija_schemas.order import ActionName, OrderError


def make(
    origin: str,
    action: ActionName,
    *,
    message: str | None,
    contact_point: str | None,
    reason: str,
    signer: notes.Signer,
) -> bytes:
    """A new order, dated now, with its first signature.

    Raises:
        RegistryError: the digest, the contact point or the reason is not well-formed, or not what this order needs.
    """
    value = order.Action(action=action, message=message, contact_point=contact_point, time=core.now(), reason=reason)
    try:
        return notes.sign(order.text(origin, value), [signer])
    except ValueError as error:
        raise RegistryError(
            f"this is no order: {error}",
            hint="Take what it is about from `valija-broker dead list` or `log holds`, or from `valija track`.",
        ) from None


def sign(raw: bytes, origin: str, signer: notes.Signer) -> bytes:
    """With the signature line of `signer` added. Whoever signed already is not added twice.

    Raises:
        RegistryError: it is no order of this exchange.
    """
    note = parse(raw, origin)[0]
    own = notes.key_id(signer.name, signer.public)
    if any((line.name, line.key_id) == (signer.name, own) for line in note.signatures):
        return raw
    return raw + notes.signature_line(signer, note.text)


def parse(raw: bytes, origin: str | None = None) -> tuple[notes.Note, order.Action]:
    """An order and its note, read in full; of `origin`, or of the exchange that it names itself.

    Raises:
        RegistryError: it is none.
    """
    try:
        return order.parse_order(raw, origin or notes.parse(raw).origin)
    except ValueError as error:
        raise RegistryError(f"this is no order: {error}", hint="Make the order again.") from None


def lines(raw: bytes, root: Root | None) -> list[str]:
    """What an order says, for people, and whether it is good under `root`."""
    note, action = parse(raw)
    signed = ", ".join(line.name.removeprefix(f"{note.origin}/") for line in note.signatures)
    found = [
        f"{action.action}, in {note.origin}",
        *([f"message: {action.message}"] if action.message else []),
        *([f"contact point: {action.contact_point}"] if action.contact_point else []),
        f"ordered at {show.when(action.time)}, for 72 hours",
        f"reason: {action.reason}",
        f"signed by {signed}; it needs {order.OPERATORS_MIN[action.action]}",
    ]
    if root is None:
        return [*found, "the signatures are not checked: this folder has no root"]
    try:
        order.read_order(raw, note.origin, root)
    except OrderError as error:
        return [*found, f"not good under root version {root.version}: {error}"]
    return [*found, f"good under root version {root.version}"]
