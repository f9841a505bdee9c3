"""`age-encryption`, age's author's own JavaScript: it opens what we write, and we open what it writes."""

from base64 import b64decode, b64encode

import pytest

from valija import age

pytestmark = pytest.mark.interop

chunk = 64 * 1024
sizes = (0, 1, 2_048, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 5 * chunk + 7)
passphrase = "contraseña de tres palabras"


def plaintext(size):
    return bytes(at * 31 % 251 for at in range(size))


def encoded(data):
    return b64encode(data).decode()


@pytest.fixture(scope="module")
def theirs(node):
    """A key of theirs, as they spell both halves."""
    return node("age_peer.mjs", [{"do": "identity"}])[0]


def test_keys_are_spelled_the_same_on_both_sides(theirs, node):
    identity = age.SealIdentity.from_text(theirs["identity"])
    assert identity.to_text() == theirs["identity"]
    assert identity.recipient.to_text() == theirs["recipient"]
    assert age.SealRecipient.from_text(theirs["recipient"]) == identity.recipient


@pytest.mark.parametrize("recipients", [1, 3, 64])
def test_they_open_what_we_seal_whichever_recipient_they_are(node, theirs, recipients):
    others = [age.SealIdentity.generate().recipient for _ in range(recipients - 1)]
    them = age.SealRecipient.from_text(theirs["recipient"])
    cases = [(size, place) for size in sizes for place in sorted({0, recipients // 2, recipients - 1})]
    jobs = [
        {
            "do": "decrypt",
            "file": encoded(age.encrypt(plaintext(size), [*others[:place], them, *others[place:]])),
            "identity": theirs["identity"],
        }
        for size, place in cases
    ]
    for (size, place), answer in zip(cases, node("age_peer.mjs", jobs), strict=True):
        assert answer.get("refused") is None, (size, place)
        assert b64decode(answer["plaintext"]) == plaintext(size), (size, place)


@pytest.mark.parametrize("recipients", [1, 3])
def test_we_open_what_they_seal_at_our_own_position(node, recipients):
    ours = [age.SealIdentity.generate() for _ in range(recipients)]
    texts = [identity.recipient.to_text() for identity in ours]
    jobs = [{"do": "encrypt", "plaintext": encoded(plaintext(size)), "recipients": texts} for size in sizes]
    for size, answer in zip(sizes, node("age_peer.mjs", jobs), strict=True):
        file = b64decode(answer["file"])
        for position, identity in enumerate(ours):
            assert age.decrypt(file, identity, position=position) == plaintext(size)


def test_files_under_a_passphrase_open_in_both_directions(node):
    ours = [age.encrypt(plaintext(size), [age.Passphrase(passphrase, work_factor=12)]) for size in sizes]
    jobs = [{"do": "decrypt", "file": encoded(file), "passphrase": passphrase} for file in ours]
    jobs += [{"do": "encrypt", "plaintext": encoded(plaintext(size)), "passphrase": passphrase} for size in sizes]
    answers = node("age_peer.mjs", jobs)
    for size, opened, written in zip(sizes, answers[: len(sizes)], answers[len(sizes) :], strict=True):
        assert b64decode(opened["plaintext"]) == plaintext(size)
        assert age.decrypt(b64decode(written["file"]), age.Passphrase(passphrase)) == plaintext(size)


def test_they_refuse_what_we_refuse(node, theirs):
    file = age.encrypt(plaintext(chunk + 1), [age.SealRecipient.from_text(theirs["recipient"])])
    identity = age.SealIdentity.from_text(theirs["identity"])
    stranger = age.encrypt(b"", [age.SealIdentity.generate().recipient])
    changed = [
        file[:-1],
        file[: -(1 + 16)],
        file + b"\0",
        file[:-1] + bytes([file[-1] ^ 1]),
        file.replace(b"\n--- ", b"\n-> grease\n\n--- "),
        stranger,
    ]
    for data in changed:
        with pytest.raises(age.AgeError):
            age.decrypt(data, identity)
    jobs = [{"do": "decrypt", "file": encoded(data), "identity": theirs["identity"]} for data in changed]
    assert all("refused" in answer for answer in node("age_peer.mjs", jobs))
