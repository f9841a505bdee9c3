"""Orders of operators on the operators' own machines: written, signed, carried to the next operator, and looked at.

They are of two kinds: what is done with a dead letter or with evidence, and that a contact point is held. An order is a
note from its first signature on. Each operator adds a line with their own keyring; then `valija-broker order submit`
hands it to the broker, which alone decides whether enough of the root's operators signed.

Before this room: `cli`. After it: `keyring`, `valija_schemas.order`. Rules: schemas/SPEC.md sections 4.7 and 5.4.
"""

from valija.errors import RegistryError
from valija.registry import core
from valija.registry.folder import Registry
from valija_schemas import changes, hold, limits, order
from valija_schemas import note as notes
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
            hint="Take what it is about from `valija-broker dead list` or `log retained`, or from `valija track`.",
        ) from None


def make_hold(
    folder: Registry, contact_point: str, *, hours: int, reason: str, origin: str, signer: notes.Signer
) -> bytes:
    """A new hold, from now on, with its first signature. It names the newest directory in `folder`.

    Raises:
        RegistryError: the folder has no directory, or no such contact point in it.
    """
    if contact_point not in {point.id for point in folder.points()}:
        raise RegistryError(f"{contact_point} is not in the newest directory here")
    now = core.now()
    value = hold.Hold(
        action="hold",
        contact_point=contact_point,
        hold=None,
        directory=folder.store.phonebook.reference,
        time=now,
        until=now + hours * limits.HOUR_MS,
        reason=reason,
    )
    return _signed_hold(origin, value, signer)


def make_lift(raw: bytes, *, reason: str, origin: str, signer: notes.Signer) -> bytes:
    """The lifting of the hold `raw`, dated now, with its first signature.

    Raises:
        RegistryError: that is no hold of this exchange.
    """
    note, held = parse(raw, origin)
    if not isinstance(held, hold.Hold) or held.action != "hold":
        raise RegistryError("this is no hold", hint="Give the file of the hold that is to be lifted.")
    value = hold.Hold(
        action="lift",
        contact_point=held.contact_point,
        hold=note.digest,
        directory=None,
        time=core.now(),
        until=None,
        reason=reason,
    )
    return _signed_hold(origin, value, signer)


def _signed_hold(origin: str, value: hold.Hold, signer: notes.Signer) -> bytes:
    try:
        return notes.sign(hold.text(origin, value), [signer])
    except ValueError as error:
        raise RegistryError(f"this is no hold: {error}", hint="Look at the reason and the hours again.") from None


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


def parse(raw: bytes, origin: str | None = None) -> tuple[notes.Note, order.Action | hold.Hold]:
    """An order and its note, read in full; of `origin`, or of the exchange that it names itself.

    Raises:
        RegistryError: it is none.
    """
    try:
        note = notes.parse(raw)
        parse_kind = hold.parse_hold if note.kind == hold.HOLD else order.parse_order
        return parse_kind(raw, origin or note.origin)
    except ValueError as error:
        raise RegistryError(f"this is no order: {error}", hint="Make the order again.") from None


def lines(raw: bytes, root: Root | None) -> list[str]:
    """What an order says, for people, and whether it is good under `root`."""
    note, value = parse(raw)
    signed = ", ".join(line.name.removeprefix(f"{note.origin}/") for line in note.signatures)
    found = [f"{value.action}, in {note.origin}", *said(value), f"signed by {signed}; it needs {operators_min(value)}"]
    if root is None:
        return [*found, "the signatures are not checked: this folder has no root"]
    try:
        _ = (hold.read_hold if isinstance(value, hold.Hold) else order.read_order)(raw, note.origin, root)
    except OrderError as error:
        return [*found, f"not good under root version {root.version}: {error}"]
    return [*found, f"good under root version {root.version}"]


def operators_min(value: order.Action | hold.Hold) -> int:
    """How many operators must sign."""
    return hold.OPERATORS_MIN if isinstance(value, hold.Hold) else order.OPERATORS_MIN[value.action]


def said(value: order.Action | hold.Hold) -> list[str]:
    """What is ordered, of whom, when and why, for people."""
    return [*_about(value), f"reason: {value.reason}"]


def _about(value: order.Action | hold.Hold) -> list[str]:
    found = [f"contact point: {value.contact_point}"] if value.contact_point else []
    if isinstance(value, order.Action):
        found += [f"message: {value.message}"] if value.message else []
        return [*found, f"ordered at {changes.when(value.time)}, for 72 hours"]
    if value.until is None:
        return [*found, f"of the hold {value.hold}", f"ordered at {changes.when(value.time)}"]
    version = value.directory[0] if value.directory else 0
    return [
        *found,
        f"from {changes.when(value.time)} until {changes.when(value.until)}, under directory version {version}",
    ]
