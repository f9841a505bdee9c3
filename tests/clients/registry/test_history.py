"""What `valija-registry verify` says of a published folder: every rule, over all of history, with its exit code."""

import json
import random
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valija.registry import core, history
from valija.registry.sample import SampleExchange, sample_exchange
from valija_schemas import limits
from valija_schemas import note as notes
from valija_schemas.directory import ContactPoint, Key

replace = msgspec.structs.replace
NOW = 1_795_500_000_000
HOUR = limits.HOUR_MS


def folder(exchange: SampleExchange, requests: list[bytes] | None = None) -> history.Folder:
    return history.Folder(tuple(exchange.root_raws), tuple(exchange.directory_raws), requests, ())


def said(exchange: SampleExchange, now_ms: int = NOW + HOUR) -> dict[str, list[str]]:
    """What is found, by result, but for what holds."""
    found: dict[str, list[str]] = {}
    for finding in history.judge(folder(exchange), exchange.root_digest, now_ms):
        found.setdefault(finding.result, []).append(f"{finding.part}: {finding.words}")
    found.pop("holds")
    assert found.pop("unchecked") == ["requests: are not kept in this folder"]
    return found


def only_false(exchange: SampleExchange) -> str:
    found = said(exchange)
    (words,) = found.pop("false")
    assert not found
    return words


@pytest.fixture
def exchange() -> SampleExchange:
    return sample_exchange(now_ms=NOW, points=[("mx.enlace", "MX", "judicial"), ("ca.liaison", "CA", "judicial")])


def point(exchange: SampleExchange, change: Callable[[ContactPoint], ContactPoint], now_ms: int = NOW) -> None:
    """The next version, in which mx.enlace is changed."""
    exchange.next_directory(
        lambda book: replace(
            book,
            contact_points=tuple(change(each) if each.id == "mx.enlace" else each for each in book.contact_points),
        ),
        now_ms=now_ms,
    )


def ended(key: Key, status: str, at: int) -> Key:
    return replace(key, status=status, ended=at)


def fresh_key() -> Key:
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return Key(key=public.hex(), status="active", ended=None)


def test_an_honest_history_holds_through_rotation_revocation_and_new_roots(exchange):
    a = fresh_key()
    point(exchange, lambda p: replace(p, sign=(a, ended(p.sign[0], "retired", NOW + HOUR))))
    exchange.next_root()
    point(exchange, lambda p: replace(p, sign=(p.sign[0], ended(p.sign[1], "revoked", NOW + HOUR))))
    point(exchange, lambda p: replace(p, status="withdrawn"))
    assert said(exchange) == {}


def test_a_key_that_ended_and_came_back_is_found_whoever_signed_it(exchange):
    key = exchange.phonebook.point("mx.enlace").auth[0]
    point(exchange, lambda p: replace(p, auth=(ended(key, "revoked", NOW),)))
    point(exchange, lambda p: replace(p, auth=(key,)))
    assert only_false(exchange) == "directory 3: the auth key of mx.enlace was retired or revoked before"


def test_a_revoked_key_never_becomes_a_retired_one(exchange):
    key = exchange.phonebook.point("mx.enlace").sign[0]
    point(exchange, lambda p: replace(p, sign=(fresh_key(), ended(key, "revoked", NOW))))
    point(exchange, lambda p: replace(p, sign=(p.sign[0], ended(key, "retired", NOW))))
    assert only_false(exchange) == "directory 3: the sign key of mx.enlace was revoked before, and is retired"


def test_the_end_of_a_retired_key_never_moves_ahead(exchange):
    key = exchange.phonebook.point("mx.enlace").sign[0]
    point(exchange, lambda p: replace(p, sign=(fresh_key(), ended(key, "retired", NOW))))
    point(exchange, lambda p: replace(p, sign=(p.sign[0], ended(key, "retired", NOW + 1))))
    assert only_false(exchange) == "directory 3: the end of the retired sign key of mx.enlace was moved ahead"


def test_a_key_that_had_another_holder_or_use_is_found(exchange):
    officer = exchange.officers[2]
    taken = {
        "the officer key of officer.c": officer.public.hex(),
        "the freshness key of broker": exchange.broker_keys.freshness_signer.public.hex(),
        "the sign key of mx.enlace": exchange.phonebook.point("mx.enlace").sign[0].key,
    }
    for words, public in taken.items():
        key = Key(key=public, status="active", ended=None)
        point(exchange, lambda p, key=key: replace(p, auth=(key,), sign=(fresh_key(),)))
        found = said(exchange)
        assert [words in line for line in found["false"]] == [True]
        assert found["warning"] == ["directory 2: mx.enlace, or a key of it, is not named any more"]
        for raws in (exchange.directory_raws, exchange.phonebooks):
            del raws[1:]


def test_a_contact_points_key_in_a_later_root_is_found(exchange):
    stolen = exchange.phonebook.point("ca.liaison").sign[0].key
    exchange.next_root(lambda root: replace(root, broker=replace(root.broker, log=stolen)))
    assert "as the sign key of ca.liaison" in only_false(exchange)


def test_a_weak_key_is_found_in_a_directory_and_in_a_root(exchange):
    weak = "01" + "00" * 31
    point(exchange, lambda p: replace(p, auth=(*p.auth, Key(key=weak, status="active", ended=None))))
    assert "small order" in only_false(exchange)
    other = sample_exchange(now_ms=NOW, points=[])
    other.next_root(lambda root: replace(root, broker=replace(root.broker, evidence=(weak, *root.broker.evidence))))
    assert "small order" in only_false(other)


def test_what_breaks_the_chain_is_named_and_what_follows_is_not_believed(exchange):
    for _ in range(3):
        exchange.next_directory()
    good = exchange.directory_raws[1]
    one = notes.sign(notes.parse(good, limits.directory_bytes_max).text, exchange.officers[:1])
    for bad in (one, good.replace(b'"judicial"', b'"political"', 1), exchange.directory_raws[2], b""):
        exchange.directory_raws[1] = bad
        (words,) = said(exchange)["false"]
        assert words.startswith("directory 2: ")
        assert words.endswith("what follows it was not read")


def test_no_byte_of_what_was_published_can_change_unseen():
    """Two of two sign, so no line can be spared; whatever is there instead, it is a finding and never an exception."""
    exchange = sample_exchange(now_ms=NOW, points=[("mx.enlace", "MX", "judicial")])
    exchange.next_root()
    exchange.next_directory()
    honest = [*exchange.root_raws, *exchange.directory_raws]
    dice = random.Random(0)
    for turn in range(120):
        raws = [*honest]
        at = turn % 4
        place = dice.randrange(len(raws[at]))
        cut = b"" if turn % 5 == 0 else bytes([raws[at][place] ^ 1 << dice.randrange(8)])
        raws[at] = raws[at][:place] + cut + raws[at][place + 1 :]
        lying = history.Folder(raws[:2], raws[2:], None, ())
        findings = history.judge(lying, exchange.root_digest, NOW + HOUR)
        assert any(finding.result == "false" for finding in findings), (at, place, cut)


def test_dates_that_make_a_version_hold_longer_are_found(exchange):
    exchange.next_directory(now_ms=NOW - HOUR)
    assert said(exchange) == {"warning": ["directory 2: is dated before the version before it"]}
    exchange.next_directory(now_ms=NOW + 3 * limits.DAY_MS)
    assert said(exchange)["false"] == ["directory 3: is dated more than a day ahead"]


def test_expiry_is_told_before_and_after(exchange):
    last = exchange.phonebook.directory.expires
    (words,) = said(exchange, last - HOUR)["warning"]
    assert words.startswith("directory 1: expires at ")
    (words,) = said(exchange, last)["expired"]
    assert "nobody may send now: directory version 1 has expired" in words


def test_a_root_whose_officers_do_not_stand_behind_the_directory_is_told(exchange):
    new = [notes.Ed25519Signer(f"{exchange.origin}/officer.{x}", Ed25519PrivateKey.generate()) for x in "de"]
    officers = tuple(
        replace(officer, id=signer.name.split("/")[1], key=signer.public.hex())
        for officer, signer in zip(exchange.root.officers, new, strict=False)
    )
    exchange.next_root(lambda root: replace(root, officers=officers), officers=[*exchange.officers[:2], *new])
    assert "nobody may send now" in said(exchange)["expired"][0]


def test_the_officers_see_the_answer_in_the_exit_code(running, tmp_path):
    digest = json.loads(running.run("show", running.watched / "root.1.note", "--json")[0])["digest"]
    blocks = "\n".join((digest[:32], digest[32:].upper()))
    stdout, said = running.run("verify", running.watched, "--root", blocks)
    assert "holds\tdirectory 1\t1 contact points, under root 1; " in stdout
    assert said == "HOLDS.\n"
    assert "unchecked\trequests" in stdout
    stdout, _ = running.run("verify", "--json")
    assert {finding["result"] for finding in json.loads(stdout)} == {"holds", "unchecked"}
    assert "its digest was not compared" in stdout

    running.run("verify", running.watched, "--root", "abcd", code=2)
    assert "FALSE" in running.run("verify", running.watched, "--root", "00" * 32, code=1)[1]
    (running.registry / "seen" / "x.request").write_bytes(b"x")
    running.run("verify", code=1)
    for kept in (running.registry / "seen").iterdir():
        kept.unlink()
    stdout, said = running.run("verify")
    assert "warning\tdirectory 1\tno request here asks for the seal key of mx.enlace" in stdout
    assert "Next: see to the warnings." in said
    (running.watched / "root.3.note").write_bytes(b"x")
    assert "root.2.note\tis missing" in running.run("verify", running.watched, code=1)[0]
    assert "root 1\tis missing" in running.run("verify", tmp_path, code=1)[0]


def test_an_expired_folder_holds_and_waits_for_the_officers(running, monkeypatch):
    monkeypatch.setattr(core, "now", lambda given=None: 4_000_000_000_000)
    stdout, said = running.run("verify", code=75)
    assert "nobody may send now" in stdout
    assert "Next: " in said
