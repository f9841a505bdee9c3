"""Sessions by themselves, under a clock: what begins one, what does not, and when it ends. SPEC.md section 5.6."""

import tracemalloc
from types import SimpleNamespace

import msgspec
import pytest

from valija.registry.sample import sample_exchange
from valija_broker.console.session import Sessions, attempts_per_second_max, links_of_one_max, sessions_of_one_max
from valija_broker.errors import Refused
from valija_schemas import note as notes
from valija_schemas import session as schema

ADDRESS = "https://console.exchange.example"


class Desk:
    """Sessions under a clock, and everybody's keys."""

    def __init__(self):
        self.exchange = sample_exchange()
        self.now = self.exchange.now_ms
        self.known = SimpleNamespace(has_root=True, origin=self.exchange.origin, roots=self.exchange.roots)
        self.sessions = Sessions(self.known, ADDRESS, lambda: self.now)

    def note(self, who="operator.a", *, by="", origin="", **changes):
        values = {"operator": who, "address": ADDRESS, "challenge": "", "time": self.now} | changes
        values["challenge"] = values["challenge"] or self.sessions.challenge().challenge
        text = schema.text(origin or self.exchange.origin, schema.SignIn(**values))
        return notes.sign(text, [self.exchange.operator_keyrings[by or who].operator])

    def begin(self, who="operator.a"):
        self.now += 1_000  # so that the rate of attempts is not what is met
        return self.sessions.begin(self.note(who))

    def refused(self, note, code="not-signed-in"):
        self.now += 1_000
        with pytest.raises(Refused) as caught:
            self.sessions.begin(note)
        assert caught.value.problem_code == code
        return str(caught.value)

    def ended(self, token):
        with pytest.raises(Refused) as caught:
            self.sessions.of(token)
        return caught.value.problem_code == "not-signed-in"


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize(
    "who", ["operator.a", "operator.b", "operator.observer", "operator.registrar", "operator.auditor"]
)
def test_whoever_the_root_names_signs_in_and_has_the_roles_of_the_root(desk, who):
    token, _, session = desk.begin(who)
    (named,) = [one for one in desk.exchange.root.operators if one.id == who]
    assert (session.operator, session.roles) == (who, frozenset(named.roles))
    assert session.shown().roles == named.roles
    assert desk.sessions.of(token).operator == who


def test_a_note_signs_nobody_in_that_is_for_another_place_time_person_or_challenge(desk):
    foreign = Desk()
    for note, says in (
        (desk.note(address="https://console.evil.example"), "for the console at"),
        (desk.note(address=ADDRESS + ":8443"), "for the console at"),
        (desk.note(origin="other.example"), "other.example"),
        (desk.note(time=desk.now - schema.challenge_ms - 40_000), "ago"),
        (desk.note(time=desk.now + 40_000), "ago"),
        (desk.note(by="operator.b"), "signature"),
        (desk.note("operator.nobody", by="operator.a"), "not in root"),
        (desk.note(challenge="A" * 54), "did not draw"),
        (desk.note(challenge=foreign.sessions.challenge().challenge), "did not draw"),
        (foreign.note(challenge=desk.sessions.challenge().challenge), "signature"),
        (b"", ""),
        (b"x" * 20_000, ""),
    ):
        assert says in desk.refused(note)
    twice = desk.note()
    both = twice + notes.signature_line(desk.exchange.operators[1], twice.partition(b"\n\n")[0] + b"\n")
    assert "one signature" in desk.refused(both)
    assert desk.begin()


def test_an_order_or_a_hold_signs_nobody_in_and_a_sign_in_orders_nothing(desk):
    order = notes.sign(
        notes.text("valija/action/v1", desk.exchange.origin, desk.note().split(b"\n")[1]), [desk.exchange.operators[0]]
    )
    assert "valija/session/v1" in desk.refused(order)


def test_a_challenge_is_answered_once_and_for_two_minutes(desk):
    note = desk.note()
    desk.sessions.begin(note)
    assert "answered before" in desk.refused(note)
    late = desk.sessions.challenge().challenge
    desk.now += schema.challenge_ms
    assert "too old" in desk.refused(desk.note(challenge=late))


def test_challenges_cost_the_console_nothing(desk):
    desk.sessions.challenge()
    tracemalloc.start()
    for _ in range(10_000):
        last = desk.sessions.challenge()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000
    desk.sessions.begin(desk.note(challenge=last.challenge))


def test_attempts_are_bounded_and_who_comes_a_second_later_is_let_in(desk):
    for _ in range(attempts_per_second_max):
        with pytest.raises(Refused):
            desk.sessions.begin(b"")
    with pytest.raises(Refused) as caught:
        desk.sessions.begin(desk.note())
    assert caught.value.problem_code == "rate"
    assert desk.begin()


def test_a_link_works_once_for_a_minute_and_ends_with_its_session(desk):
    _, link, _ = desk.begin()
    browser, session = desk.sessions.follow(link)
    assert session.csrf
    assert desk.sessions.of(browser).csrf == session.csrf
    for dead in (link, "", "x" * 43, "\ud800"):
        with pytest.raises(Refused):
            desk.sessions.follow(dead)
    _, late, _ = desk.begin()
    desk.now += schema.link_ms
    with pytest.raises(Refused):
        desk.sessions.follow(late)
    token, orphan, _ = desk.begin()
    desk.sessions.end(token)
    with pytest.raises(Refused):
        desk.sessions.follow(orphan)


def test_a_session_ends_after_a_quarter_of_an_hour_of_nothing_and_after_a_day_of_work(desk):
    idle, _, _ = desk.begin()
    desk.now += schema.idle_ms
    assert desk.ended(idle)
    busy, _, begun = desk.begin()
    while desk.now < begun.expires - schema.idle_ms:
        desk.now += schema.idle_ms - 1
        desk.sessions.of(busy)
    desk.now = begun.expires
    assert desk.ended(busy)


def test_a_page_that_refreshes_itself_keeps_no_session_alive(desk):
    _, link, _ = desk.begin()
    browser, _ = desk.sessions.follow(link)
    began = desk.now
    while desk.now < began + schema.idle_ms - 5_000:
        desk.now += 5_000
        desk.sessions.of(browser, by_hand=False)
    desk.now += 5_000
    assert desk.ended(browser)


def test_the_end_of_a_command_ends_the_browsers_that_it_began_and_no_other(desk):
    token, link, _ = desk.begin()
    browser, _ = desk.sessions.follow(link)
    other, _, _ = desk.begin()
    desk.sessions.end(token)
    assert desk.ended(token)
    assert desk.ended(browser)
    assert desk.sessions.of(other)
    desk.sessions.end("never was")


def test_a_key_that_the_newest_root_does_not_name_has_no_session(desk):
    token, link, _ = desk.begin()
    browser, _ = desk.sessions.follow(link)
    other, _, _ = desk.begin("operator.b")

    def dropped(root):
        return msgspec.structs.replace(root, operators=tuple(o for o in root.operators if o.id != "operator.a"))

    desk.exchange.next_root(dropped)
    desk.known.roots = desk.exchange.roots
    assert desk.ended(token)
    assert desk.ended(browser)
    assert desk.sessions.of(other)
    assert "not in root" in desk.refused(desk.note())


def test_roles_are_those_of_the_newest_root_at_every_request(desk):
    token, _, _ = desk.begin("operator.auditor")

    def less(root):
        return msgspec.structs.replace(
            root,
            operators=tuple(
                msgspec.structs.replace(one, roles=("observer",)) if one.id == "operator.auditor" else one
                for one in root.operators
            ),
        )

    desk.exchange.next_root(less)
    desk.known.roots = desk.exchange.roots
    assert desk.sessions.of(token).roles == {"observer"}


def test_one_person_has_a_bounded_number_of_sessions_and_links_and_takes_none_from_others(desk):
    other, _, _ = desk.begin("operator.b")
    tokens = [desk.begin()[:2] for _ in range(sessions_of_one_max + 3)]
    assert all(desk.ended(token) for token, _ in tokens[:3])
    assert all(desk.sessions.of(token) for token, _ in tokens[3:])
    assert desk.sessions.of(other)
    assert len(desk.sessions._open) == sessions_of_one_max + 1
    assert len(desk.sessions._links) <= links_of_one_max + 1


def test_what_is_kept_in_memory_opens_nothing(desk):
    token, link, _ = desk.begin()
    kept = repr((desk.sessions._open.keys(), desk.sessions._links.keys()))
    assert token not in kept
    assert link not in kept
