"""Orders of operators: enough of the root's own, nobody else, and in time. SPEC.md section 5.4."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from valija.registry.sample import sample_exchange
from valija_schemas import limits, order
from valija_schemas import note as notes
from valija_schemas.directory import Operator

NOW = 1_800_000_000_000


@pytest.fixture(scope="module")
def exchange():
    return sample_exchange()


def action(**changes):
    values = {
        "action": "discard",
        "message": "ab" * 32,
        "contact_point": "ca.liaison",
        "time": NOW,
        "reason": "a reason",
    }
    return order.Action(**(values | changes))


def test_a_second_person_is_needed_to_give_a_message_up(exchange):
    a, b = exchange.operators
    text = order.text(exchange.origin, action())
    found = order.read_order(notes.sign(text, [b, a]), exchange.origin, exchange.root)
    assert (found.operators, found.action) == (("operator.a", "operator.b"), action())
    with pytest.raises(order.OrderError, match="needs the signatures of 2 operators, and bears 1"):
        order.read_order(notes.sign(text, [a]), exchange.origin, exchange.root)
    text = order.text(exchange.origin, action(action="replay"))
    assert order.read_order(notes.sign(text, [a]), exchange.origin, exchange.root).operators == ("operator.a",)


def test_one_key_under_two_names_is_one_person(exchange):
    a, _ = exchange.operators
    twin = notes.Ed25519Signer(f"{exchange.origin}/operator.b", a._key)
    with pytest.raises(order.OrderError, match="no role `operator`"):
        order.read_order(notes.sign(order.text(exchange.origin, action()), [a, twin]), exchange.origin, exchange.root)


def test_a_line_of_anybody_else_spoils_an_order(exchange):
    a, b = exchange.operators
    stranger = notes.Ed25519Signer(f"{exchange.origin}/operator.c", Ed25519PrivateKey.generate())
    impostor = notes.Ed25519Signer(a.name, Ed25519PrivateKey.generate())
    text = order.text(exchange.origin, action())
    for signers in ([a, b, stranger], [a, b, exchange.officers[0]], [a, b, impostor], [impostor, b]):
        with pytest.raises(order.OrderError):
            order.read_order(notes.sign(text, signers), exchange.origin, exchange.root)
    other = notes.sign(order.text(exchange.origin, action(reason="another")), [a, b])
    with pytest.raises(order.OrderError, match="does not hold"):
        order.read_order(text + b"\n" + other.split(b"\n\n")[1], exchange.origin, exchange.root)


@pytest.mark.parametrize(
    "changes",
    [{"reason": ""}, {"reason": "x" * 501}, {"reason": "two\nlines"}, {"reason": "x\u202ey"}, {"message": "ab"},
     {"contact_point": "Not A Name"}, {"action": "burn"}, {"time": -1}, {"message": None}, {"contact_point": None},
     {"action": "replay", "message": None}, {"action": "erase"}, {"action": "erase", "message": None},
     {"action": "retain"}, {"action": "release", "message": None, "contact_point": None}],
)  # fmt: skip
def test_an_order_that_is_not_well_formed_cannot_be_written(exchange, changes):
    with pytest.raises(ValueError):
        order.text(exchange.origin, action(**changes))


@pytest.mark.parametrize("signers", [1, 2])
@pytest.mark.parametrize("named", [{"contact_point": None}, {"message": None}])
@pytest.mark.parametrize(("name", "least"), [("retain", 1), ("release", 2), ("erase", 2)])
def test_one_person_may_keep_evidence_and_two_are_needed_to_let_it_go(exchange, name, least, named, signers):
    if name == "erase" and "message" in named:
        named = {"contact_point": None}
    text = order.text(exchange.origin, action(action=name, **named))
    raw = notes.sign(text, exchange.operators[:signers])
    if signers < least:
        with pytest.raises(order.OrderError, match=f"{name} needs the signatures of 2"):
            order.read_order(raw, exchange.origin, exchange.root)
    else:
        found = order.read_order(raw, exchange.origin, exchange.root)
        assert found.action.what == ("ab" * 32 if found.action.message else "ca.liaison")


def test_an_order_of_another_exchange_or_kind_is_none(exchange):
    raw = notes.sign(order.text("other.example", action()), exchange.operators)
    with pytest.raises(order.OrderError, match="exchange"):
        order.read_order(raw, exchange.origin, exchange.root)
    json = raw.split(b"\n")[1]
    for kind in ("valija/action/v2", "valija/receipt/v1"):
        with pytest.raises(order.OrderError):
            order.read_order(
                notes.sign(notes.text(kind, exchange.origin, json), exchange.operators), exchange.origin, exchange.root
            )


def test_an_order_holds_for_72_hours(exchange):
    found = order.read_order(
        notes.sign(order.text(exchange.origin, action()), exchange.operators), exchange.origin, exchange.root
    )
    order.require_timely(found, NOW + limits.order_age_max_ms - 1)
    order.require_timely(found, NOW - limits.sent_ahead_max_ms)
    for now in (NOW + limits.order_age_max_ms, NOW - limits.sent_ahead_max_ms - 1):
        with pytest.raises(order.OrderError):
            order.require_timely(found, now)


@pytest.mark.parametrize("role", ["observer", "registrar", "auditor"])
def test_who_has_no_role_of_an_operator_orders_nothing_alone_or_beside_others(exchange, role):
    for who in ([exchange.others[role]], [*exchange.operators, exchange.others[role]]):
        raw = notes.sign(order.text(exchange.origin, action()), who)
        with pytest.raises(order.OrderError, match="no role `operator`"):
            order.read_order(raw, exchange.origin, exchange.root)
        with pytest.raises(order.OrderError, match="no role `operator`"):
            order.read_logged(raw, exchange.origin, exchange.roots.newest_first())


def test_what_operators_ordered_stays_believed_when_they_are_replaced_and_orders_nothing_more(exchange):
    changed = sample_exchange()
    raw = notes.sign(order.text(changed.origin, action()), changed.operators)
    other = Operator(
        id="operator.z", roles=("operator",), key=Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    )
    changed.next_root(lambda root: replace(root, operators=(other,)))
    found = order.read_logged(raw, changed.origin, changed.roots.newest_first())
    assert found.operators == ("operator.a", "operator.b")
    with pytest.raises(order.OrderError):
        order.read_order(raw, changed.origin, changed.root)
    stranger = notes.sign(order.text(changed.origin, action()), exchange.operators)
    with pytest.raises(order.OrderError, match="root version 2"):
        order.read_logged(stranger, changed.origin, changed.roots.newest_first())
