"""Holds: two operators, 72 hours at most, once a directory version, ended by just its own lifting. SPEC.md 4.7."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from valija.registry.sample import sample_exchange
from valija_schemas import hold, limits
from valija_schemas import note as notes
from valija_schemas.directory import Operator
from valija_schemas.hold import Hold, HoldError

NOW = 1_800_000_000_000
CA, DIGEST = "ca.liaison", "ab" * 32
NEWEST = (7, "0c" * 32)


@pytest.fixture(scope="module")
def exchange():
    return sample_exchange()


def held(**changes):
    values = {"action": "hold", "contact_point": CA, "hold": None, "directory": NEWEST, "time": NOW,
              "until": NOW + limits.hold_max_ms, "reason": "a laptop was stolen"}  # fmt: skip
    return Hold(**(values | changes))


def lifted(of, **changes):
    return held(action="lift", hold=of, directory=None, until=None, **changes)


def given(exchange, value, signers=None):
    raw = notes.sign(hold.text(exchange.origin, value), signers or exchange.operators)
    return hold.read_hold(raw, exchange.origin, exchange.root)


def test_two_operators_of_the_newest_root_hold_and_lift_and_nobody_else_does(exchange):
    a, b = exchange.operators
    stranger = notes.Ed25519Signer(f"{exchange.origin}/operator.c", Ed25519PrivateKey.generate())
    for value in (held(), lifted(DIGEST)):
        assert given(exchange, value).operators == ("operator.a", "operator.b")
        twin = notes.Ed25519Signer(f"{exchange.origin}/operator.b", a._key)
        text = hold.text(exchange.origin, value)
        for signers in ([a], [b], [a, twin], [a, b, stranger], [a, stranger], [a, exchange.officers[0]],
                        exchange.officers[:2]):  # fmt: skip
            with pytest.raises(HoldError):
                hold.read_hold(notes.sign(text, signers), exchange.origin, exchange.root)
        once = notes.sign(text, [a])
        with pytest.raises(HoldError):
            hold.read_hold(once + notes.signature_line(a, text), exchange.origin, exchange.root)


def test_a_root_without_an_operator_ends_what_that_one_held_and_history_stays_believed(exchange):
    changed = sample_exchange()
    raw = notes.sign(hold.text(changed.origin, held()), changed.operators)
    hold.read_hold(raw, changed.origin, changed.root)
    other = Operator(
        id="operator.z", roles=("operator",), key=Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    )
    changed.next_root(lambda root: replace(root, operators=(root.operators[0], other)))
    with pytest.raises(HoldError, match="root version 2"):
        hold.read_hold(raw, changed.origin, changed.root)
    assert hold.read_logged(raw, changed.origin, changed.roots.newest_first()).operators[1] == "operator.b"


@pytest.mark.parametrize(
    "changes",
    [{"until": NOW + limits.hold_max_ms + 1}, {"until": NOW + 73 * limits.HOUR_MS}, {"until": NOW}, {"until": None},
     {"directory": None}, {"hold": DIGEST}, {"action": "lift"}, {"action": "lift", "hold": DIGEST},
     {"action": "lift", "until": None, "directory": None}, {"contact_point": "officer.a"},
     {"contact_point": "operator"}, {"contact_point": "broker"}, {"contact_point": "No Name"}, {"reason": ""},
     {"reason": "x" * 501}, {"reason": "two\nlines"}, {"action": "suspend"}, {"time": -1}],
)  # fmt: skip
def test_a_hold_that_is_not_well_formed_is_neither_written_nor_read(exchange, changes):
    with pytest.raises(ValueError):
        hold.text(exchange.origin, held(**changes))
    json = hold.text(exchange.origin, held()).split(b"\n")[1]
    for text in (
        notes.text("valija/action/v1", exchange.origin, json),
        notes.text("valija/hold/v2", exchange.origin, json),
        notes.text(hold.HOLD, "other.example", json),
        notes.text(hold.HOLD, exchange.origin, json.replace(str(NOW + limits.hold_max_ms).encode(), b"1")),
    ):
        with pytest.raises(HoldError):
            hold.read_hold(notes.sign(text, exchange.operators), exchange.origin, exchange.root)


class Holds:
    """The holds of one contact point, as a broker takes them in."""

    def __init__(self, exchange):
        self.exchange, self.earlier, self.newest = exchange, [], NEWEST

    def take(self, value, now=NOW):
        found = given(self.exchange, value)
        if hold.is_new(found, self.earlier, self.newest, now):
            self.earlier.append((found.digest, value))
        return found.digest

    def refuse(self, words, value, now=NOW):
        with pytest.raises(HoldError, match=words):
            self.take(value, now)


@pytest.fixture
def holds(exchange):
    return Holds(exchange)


def test_a_hold_is_not_renewed_without_a_directory_version_lifted_or_over(holds):
    first = holds.take(held())
    holds.refuse("was held under directory version 7 already", held(reason="again"))
    lift = lifted(first)
    assert holds.take(lift) == holds.take(lift), "a repetition changes nothing"
    assert len(holds.earlier) == 2
    holds.refuse("was held under directory version 7 already", held(reason="again"))
    late = NOW + 2 * limits.hold_max_ms
    holds.refuse("was held under", held(time=late, until=late + 1000), now=late)
    holds.newest = (8, "0d" * 32)
    holds.refuse("another directory version than 8", held(reason="again"))
    holds.refuse("another directory version than 8", held(directory=(8, "0e" * 32)))
    second = holds.take(held(directory=holds.newest))
    holds.refuse("over already", lifted(first, reason="the older one"))
    assert holds.take(lift), "the older lifting, once more, is no news"
    assert [value.hold for _, value in holds.earlier] == [None, first, None], "and lifts nothing that came later"
    holds.take(lifted(second))


def test_a_lifted_hold_cannot_be_used_again_nor_one_that_is_over(holds):
    first = holds.take(held())
    assert holds.take(held()) == first
    holds.take(lifted(first))
    holds.refuse("was lifted", held())
    end = NOW + limits.hold_max_ms
    holds.refuse("over already", held(), now=end)
    holds.refuse("over already", lifted(first, reason="late"), now=end)
    holds.refuse("no such hold", lifted(DIGEST))
    holds.refuse("no such hold", lifted(holds.earlier[1][0]))
    holds.refuse("ahead of the clock", held(), now=NOW - limits.sent_ahead_max_ms - 1)


def test_a_hold_ends_by_itself_at_its_time_whenever_it_was_handed_in(exchange):
    found = given(exchange, held())
    assert found.in_force(NOW + limits.hold_max_ms - 1)
    assert not found.in_force(NOW + limits.hold_max_ms)
    assert not given(exchange, lifted(DIGEST)).in_force(NOW)
