"""Orders of operators, made and signed by the command that they use."""

import tomllib

import pytest

from valija_schemas import hold, order

DIGEST = "ab" * 32


@pytest.fixture
def operators(empty):
    """A folder whose root names two operators."""
    made = []
    for name in "ab":
        stdout, said = empty.run(
            *("operator", name, "--origin", "exchange.example"),
            *("--passphrase-file", empty.passphrase, "--work-factor", "2"),
        )
        assert "Fingerprint: " in said
        assert tomllib.loads(stdout)["operators"][0]["id"] == f"operator.{name}"
        made.append(stdout)
    empty.officers = [empty.make_officer(name) for name in "abc"]
    empty.run("init", empty.root_file([*empty.officers, *made]))
    empty.sign("root.1.draft", "a", "b")
    empty.publish()
    return empty


def keys(ceremony, name, role="operator"):
    keyring = ceremony.registry / f"{role}.{name}.keyring"
    return ("--operator", keyring, "--passphrase-file", ceremony.passphrase)


def test_two_operators_make_an_order_that_the_root_s_verifier_believes(operators, tmp_path):
    file = tmp_path / "discard.note"
    what = ("--message", DIGEST, "--recipient", "ca.liaison", "--reason", "nobody can open it", "-o", file)
    stdout, said = operators.run("order", "discard", *what, *keys(operators, "a"))
    assert stdout == f"{file}\n"
    assert f"order sign {file}" in said
    assert "bears 1" in operators.run("order", "show", file)[0]
    operators.run("order", "discard", *what, *keys(operators, "a"), code=1)
    operators.run("order", "sign", file, *keys(operators, "b"), code=1, typed="n\n")
    assert "bears 1" in operators.run("order", "show", file)[0]
    for _ in range(2):
        _, said = operators.run("order", "sign", file, "--yes", *keys(operators, "b"))
        assert "reason: nobody can open it" in said, "seen before it is signed"
        assert f"Next: `valija-broker order submit {file}`" in said
    shown = operators.run("order", "show", file)[0]
    assert "signed by operator.a, operator.b" in shown
    assert "good under root version 1" in shown
    note, action = order.parse_order(file.read_bytes(), "exchange.example")
    assert (action.action, action.message, len(note.signatures)) == ("discard", DIGEST, 2)


def test_an_operator_s_keyring_signs_no_directory(operators):
    operators.run("draft")
    words = ("--officer", operators.registry / "operator.a.keyring", "--passphrase-file", operators.passphrase)
    _, said = operators.run("sign", operators.registry / "directory.1.draft", *words, code=1)
    assert "this is the keyring of operator.a, not an officer's" in said


def test_what_is_no_order_is_neither_written_nor_signed(operators, tmp_path):
    file = tmp_path / "replay.note"
    good = {"--message": DIGEST, "--recipient": "ca.liaison", "--reason": "again", "-o": file}
    for change in ({"--message": "ab"}, {"--recipient": "Nobody"}, {"--reason": ""}, {"--reason": "x" * 501}):
        words = [word for pair in (good | change).items() for word in pair]
        operators.run("order", "replay", *words, *keys(operators, "a"), code=1)
        assert not file.exists()
    words = [word for pair in good.items() for word in pair]
    operators.run("order", "replay", *words, *keys(operators, "a", "officer"), code=1)
    _, said = operators.run("order", "replay", *words, *keys(operators, "a"))
    assert "order sign" not in said
    root = operators.watched / "root.1.note"
    before = root.read_bytes()
    operators.run("order", "sign", root, "--yes", *keys(operators, "b"), code=1)
    assert root.read_bytes() == before


def test_operators_order_legal_holds_their_release_and_erasures(operators, tmp_path):
    message, point = ("--message", DIGEST), ("--contact-point", "ca.liaison")
    why = ("--reason", "a court asks for it")
    for action, what, alone in (
        ("retain", message, True), ("retain", point, True), ("release", point, False), ("erase", message, False),
    ):  # fmt: skip
        file = tmp_path / f"{action}{len(what[1])}.note"
        _, said = operators.run("order", action, *what, *why, "-o", file, *keys(operators, "a"))
        assert ("order sign" in said) != alone
        shown = operators.run("order", "show", file)[0]
        assert f"{what[0].strip('-').replace('-', ' ')}: {what[1]}" in shown
        assert ("good under root version 1" if alone else "not good") in shown
    file = tmp_path / "no.note"
    for action, what in (("retain", ()), ("retain", (*message, *point)), ("release", ())):
        operators.run("order", action, *what, *why, "-o", file, *keys(operators, "a"), code=1)
        assert not file.exists()


def test_two_operators_hold_a_contact_point_and_lift_that_hold(operators, tmp_path):
    operators.run("admit", operators.request("ca.liaison", state="CA"), code=75)
    request = operators.point / "ca.liaison.request"
    operators.run("admit", request, "--answer", operators.answer("ca.liaison"))
    operators.sign("directory.1.draft", "a", "b")
    operators.publish()
    file, lift = tmp_path / "hold.note", tmp_path / "lift.note"
    why = ("--reason", "a laptop was stolen")
    _, said = operators.run("order", "hold", "ca.liaison", "--hours", "12", *why, "-o", file, *keys(operators, "a"))
    assert f"order sign {file}" in said
    assert "under directory version 1" in said
    assert "bears 1" in operators.run("order", "show", file)[0]
    operators.run("order", "sign", file, "--yes", *keys(operators, "b"))
    assert "good under root version 1" in operators.run("order", "show", file)[0]
    note, found = hold.parse_hold(file.read_bytes(), "exchange.example")
    assert (found.contact_point, found.until - found.time, found.directory[0]) == ("ca.liaison", 12 * 3_600_000, 1)
    operators.run("order", "lift", file, "--reason", "found again", "-o", lift, *keys(operators, "b"))
    operators.run("order", "sign", lift, "--yes", *keys(operators, "a"))
    assert f"of the hold {note.digest}" in operators.run("order", "show", lift)[0]
    no = (*why, "-o", tmp_path / "no.note", *keys(operators, "a"))
    operators.run("order", "hold", "nobody.here", *no, code=1)
    operators.run("order", "hold", "ca.liaison", "--hours", "73", *no, code=2)
    operators.run("order", "lift", lift, *no, code=1)
    operators.run("order", "lift", operators.watched / "root.1.note", *no, code=1)
    assert not (tmp_path / "no.note").exists()
