"""Signed notes: cut from the front, signed by whom they name, and spelled in one way. SPEC.md section 1.1."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from valija_schemas import limits, note
from valija_schemas.note import BODY_BEGINS, Ed25519Signer, NoteError, Verifier

KIND, ORIGIN = "valija/message/v1", "exchange.example"
DASH = "— ".encode()


def signer(name="exchange.example/mx.enlace", seed=0):
    return Ed25519Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def verifier_of(a_signer):
    return Verifier(a_signer.name, a_signer.public)


MX, CO, CA = (
    signer(),
    signer("exchange.example/co.enlace", 1),
    signer("exchange.example/ca.liaison", 2),
)
TEXT = note.text(KIND, ORIGIN, b'{"id":"x"}')
NOTE = note.sign(TEXT, [MX])
LINE = note.signature_line(MX, TEXT)
BODY = BODY_BEGINS + b"-> mlkem768x25519 ...\n"


def refused(data, match=None):
    with pytest.raises(NoteError, match=match):
        note.split(data)


# What holds


def test_a_note_is_two_lines_an_empty_one_and_signatures():
    lines = NOTE.decode().split("\n")
    assert lines[0] == "valija/message/v1 exchange.example"
    assert lines[1] == '{"id":"x"}'
    assert not lines[2]
    assert lines[3].startswith("— exchange.example/mx.enlace ")
    assert lines[4:] == [""]


def test_a_note_says_what_it_is_and_who_signed():
    parsed = note.parse(NOTE)
    assert (parsed.kind, parsed.origin, parsed.json, parsed.text, parsed.raw) == (
        KIND,
        ORIGIN,
        b'{"id":"x"}',
        TEXT,
        NOTE,
    )
    assert parsed.digest == hashlib.sha256(TEXT).hexdigest()
    assert parsed.raw_digest == hashlib.sha256(NOTE).hexdigest()
    assert note.verify_one(parsed, [verifier_of(CO), verifier_of(MX)]) == verifier_of(MX)
    note.require(parsed, KIND, ORIGIN)


def test_the_key_id_is_the_one_of_the_c2sp_example():
    # C2SP signed-note, the verifier key of its example
    name, id_, key = ["example.com/foo", "530d903a", "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"]
    data = base64.b64decode(key)
    assert data[:1] == b"\x01"
    assert note.key_id(name, data[1:]).hex() == id_
    assert Verifier(name, data[1:]).key_id.hex() == id_


def test_the_note_of_the_reference_implementation_is_signed_and_verifies_as_ours_would():
    # golang.org/x/mod/sumdb/note, on which C2SP signed-note is built: the example of its documentation
    text = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = (
        "\u2014 PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    ).encode()
    seed = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    signer = note.Ed25519Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(seed))
    assert (signer.public, note.sign(text, [signer])) == (public, text + b"\n" + line)
    ((found,), end) = note.read_lines(line, 0)
    assert (found.name, found.key_id.hex(), end) == ("PeterNeumann", "c74f20a3", len(line))
    assert note.holds(public, found.value, text)
    assert not note.holds(public, found.value, text + b"\n")


def test_signing_again_gives_the_same_bytes():
    assert note.sign(TEXT, [MX]) == NOTE
    assert NOTE == TEXT + b"\n" + LINE


_lines = st.binary(max_size=60).filter(lambda data: b"\n" not in data)


@given(_lines, st.binary(max_size=60), st.integers(1, 3))
def test_what_is_joined_is_cut_at_the_same_place(json, rest, count):
    text = note.text(KIND, ORIGIN, json)
    raw = note.sign(text, [MX, CO, CA][:count])
    body = BODY_BEGINS + rest
    parsed, cut = note.split(raw + body)
    assert (parsed.json, parsed.text, parsed.raw, cut) == (json, text, raw, body)
    assert note.parse(raw) == parsed
    assert len(note.verify_any(parsed, [verifier_of(s) for s in (MX, CO, CA)])) == count


# The body cannot lead anybody into it


@pytest.mark.parametrize(
    "rest",
    [
        b"\n",
        b"\n\n",
        b"\n" + LINE,
        b"\n\n" + LINE + LINE,
        LINE,
        b"\n" + NOTE,
        b"x\n\n" + note.signature_line(CO, TEXT),
    ],
)
def test_empty_lines_and_signature_lines_in_the_body_stay_in_the_body(rest):
    parsed, body = note.split(NOTE + BODY_BEGINS + rest)
    assert parsed == note.parse(NOTE)
    assert body == BODY_BEGINS + rest


@pytest.mark.parametrize(
    "body",
    [
        b"\n" + BODY,
        b"x",
        b"\n",
        b" ",
        BODY_BEGINS[:-1],
        BODY_BEGINS[:-1] + b"\r\n",
        BODY_BEGINS.upper() + b"x",
        b"age-encryption.org/v2\n",
        "—".encode(),
        b"\xe2\x80\x94",
        b"- exchange.example/mx.enlace AAAAAAAA\n",
        b"\xe2\x80\x93 exchange.example/mx.enlace AAAAAAAA\n",
        b"\r\n",
        TEXT,
        b"-----BEGIN AGE ENCRYPTED FILE-----\n",
    ],
)
def test_what_is_no_sealed_body_is_refused(body):
    refused(NOTE + body, "not a sealed body")


def test_a_body_that_begins_as_a_signature_line_is_one_or_is_refused():
    refused(NOTE + DASH + BODY)
    parsed, body = note.split(NOTE + note.signature_line(CO, TEXT) + BODY)
    assert len(parsed.signatures) == 2
    assert body == BODY
    with pytest.raises(NoteError, match="exactly one"):
        note.verify_one(parsed, [verifier_of(MX), verifier_of(CO)])


def test_a_lone_note_has_no_body():
    assert note.split(NOTE) == (note.parse(NOTE), b"")
    with pytest.raises(NoteError, match="follows"):
        note.parse(NOTE + BODY)


def test_our_cut_of_a_lone_note_is_that_of_signed_note():
    # C2SP signed-note cuts at the last empty line: with nothing behind the note both cuts are one.
    text, _, lines = NOTE.rpartition(b"\n\n")
    parsed = note.parse(NOTE)
    assert parsed.text == text + b"\n"
    assert lines == LINE


# Framing


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"\n\n\n",
        TEXT,
        TEXT + b"\n",
        TEXT[:-1],
        TEXT + LINE,
        TEXT + b"\n\n" + LINE,
        TEXT + b"x\n\n" + LINE,
        TEXT + b"{}\n\n" + LINE,
        b"\n" + NOTE,
        b" " + NOTE,
        b"\xef\xbb\xbf" + NOTE,
        NOTE.replace(b"\n", b"\r\n"),
        NOTE.replace(b"\n", b"\r"),
        TEXT.replace(b"\n", b"\r\n", 1) + b"\n" + LINE,
        TEXT + b"\r\n" + LINE,
        TEXT + b" \n" + LINE,
        NOTE[:-1],
        NOTE[:-1] + b"\r\n",
        NOTE[:-1] + b" \n",
        NOTE + DASH,
        NOTE + DASH + b"\n",
        NOTE + DASH + b"x",
        b"valija/message/v1\n{}\n\n" + LINE,
        b" exchange.example\n{}\n\n" + LINE,
        b"valija/message/v1 \n{}\n\n" + LINE,
        b"valija/message/v1  exchange.example\n{}\n\n" + LINE,
        b"valija/message/v1 exchange.example \n{}\n\n" + LINE,
        b"valija/message/v1 exchange+example\n{}\n\n" + LINE,
        b"valija/message/v1\texchange.example\n{}\n\n" + LINE,
        b"valija/message/v1 exchange\0example\n{}\n\n" + LINE,
        "valija/message/v1 exchange.éxample\n{}\n\n".encode() + LINE,
        "valija/message/v1\u00a0exchange.example\n{}\n\n".encode() + LINE,
    ],
)
def test_another_frame_is_refused(data):
    refused(data)
    refused(data + BODY)


@pytest.mark.parametrize("cut", range(1, len(NOTE)))
def test_a_note_cut_off_anywhere_is_refused(cut):
    refused(NOTE[:cut])


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_no_longer_verifies(position, change):
    data = bytearray(NOTE)
    data[position] ^= change
    with pytest.raises(NoteError):
        note.verify_one(note.parse(bytes(data)), [verifier_of(MX)])


@given(st.binary(max_size=120), st.sampled_from([b"", TEXT, TEXT + b"\n", NOTE, NOTE + DASH, TEXT + b"\n" + DASH]))
def test_random_bytes_raise_nothing_else(data, before):
    try:
        parsed, body = note.split(before + data)
    except NoteError:
        return
    assert parsed.raw + body == before + data
    assert parsed.raw.startswith(parsed.text + b"\n")


@given(
    st.lists(
        st.sampled_from([b"\n", DASH, b"a", b" ", b"{}", LINE, TEXT, BODY_BEGINS, b"\r", b"AAAAAAAA"]), max_size=12
    )
)
def test_random_pieces_of_a_note_raise_nothing_else_and_are_never_cut_in_two_ways(pieces):
    data = b"".join(pieces)
    try:
        parsed, body = note.split(data)
    except NoteError:
        return
    assert parsed.raw + body == data
    assert note.parse(parsed.raw) == parsed
    assert note.split(parsed.raw + BODY) == (parsed, BODY)


# Signature lines


def line(name="exchange.example/mx.enlace", encoded="AAAAAAAA", begin=DASH):
    return begin + name.encode() + b" " + encoded.encode() + b"\n"


@pytest.mark.parametrize(
    "bad",
    [
        line(encoded=""),
        line(encoded="AAAA"),
        line(encoded="AAAAAA=="),  # 4 bytes: an id and nothing else
        line(encoded="AAAAAAB="),  # bits after the last byte
        line(encoded="AAAAAAA"),
        line(encoded="AAAAAAAA="),
        line(encoded="AAAAAAAA===="),
        line(encoded="AAAA AAAA"),
        line(encoded=" AAAAAAAA"),
        line(encoded="AAAAAAAA "),
        line(encoded="AAAAAA\tAA"),
        line(encoded="AAAAAAA\r"),
        line(encoded="AAAAAAA\r\nA"),
        line(encoded="AAAAAA-_"),
        line(encoded="AAAAAAA!"),
        line(encoded="AAAAAAAé"),
        line(encoded="=AAAAAAA"),
        line(name=""),
        line(name="a b"),
        line(name="a+b"),
        line(name="é"),
        line(name="a\0"),
        line(name="a\t"),
        line(name="a\u00a0b"),
        DASH + b"exchange.example/mx.enlace\n",
        DASH + b"\n",
    ],
)
def test_another_spelling_of_a_signature_line_is_refused(bad):
    refused(TEXT + b"\n" + bad)
    refused(NOTE + bad)
    refused(TEXT + b"\n" + bad + LINE)


def test_the_bits_after_the_last_byte_of_base64_are_nothing():
    # 68 bytes end in one character and `=`: its last two bits say nothing, so that four spellings would decode alike.
    before, last = LINE[:-3], LINE[-3:]
    assert last.endswith(b"=\n")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = alphabet.index(last[0])
    for other in range(place & ~3, (place & ~3) + 4):
        respelled = TEXT + b"\n" + before + alphabet[other : other + 1] + b"=\n"
        assert base64.b64decode(respelled.split(b" ")[-1]) == base64.b64decode(LINE.split(b" ")[-1])
        if other != place:
            refused(respelled, "one spelling")


def test_two_lines_of_one_name_and_id_are_refused():
    refused(NOTE + LINE, "same name and key id")
    value = base64.b64encode(note.key_id(MX.name, MX.public) + bytes(64)).decode()
    refused(NOTE + line(encoded=value), "same name and key id")
    refused(TEXT + b"\n" + line(encoded=value) + LINE, "same name and key id")


def test_there_are_at_most_32_signature_lines():
    def lines(count):
        return b"".join(line(encoded=base64.b64encode(bytes([n]) * 5).decode()) for n in range(count))

    assert len(note.parse(TEXT + b"\n" + lines(32)).signatures) == 32
    refused(TEXT + b"\n" + lines(33), "32 signature lines")


def test_a_signature_line_is_at_most_5_kib():
    def of_length(length):
        name = "a" * ((length - len(DASH) - 1) % 4 + 4)
        encoded = "A" * (length - len(DASH) - 1 - len(name))
        return line(name, encoded)

    longest = of_length(limits.signature_line_bytes_max)
    assert len(longest) == limits.signature_line_bytes_max + 1
    note.parse(TEXT + b"\n" + longest)
    refused(TEXT + b"\n" + of_length(limits.signature_line_bytes_max + 1), "longer")


def test_a_note_is_at_most_its_limit_whatever_follows():
    room = limits.note_bytes_max - len(note.sign(note.text(KIND, ORIGIN, b""), [MX]))
    longest = note.sign(note.text(KIND, ORIGIN, b"x" * room), [MX])
    assert len(longest) == limits.note_bytes_max
    assert note.split(longest + BODY)[1] == BODY
    for more in (1, 2, 200, 2**20):
        refused(note.sign(note.text(KIND, ORIGIN, b"x" * (room + more)), [MX]))
        refused(note.sign(note.text(KIND, ORIGIN, b"x" * (room + more)), [MX]) + BODY)
    refused(longest + note.signature_line(CO, TEXT))
    assert note.parse(note.sign(note.text(KIND, ORIGIN, b"x" * 2**20), [MX]), limits.directory_bytes_max)


# Who signed


def test_another_key_another_name_and_another_text_do_not_verify():
    parsed = note.parse(NOTE)
    for other in (
        verifier_of(CO),
        Verifier(MX.name, CO.public),
        Verifier(CO.name, MX.public),
        Verifier("other.example/mx.enlace", MX.public),
    ):
        with pytest.raises(NoteError, match="may sign"):
            note.verify_one(parsed, [other])
        assert note.verify_any(parsed, [other]) == []
    with pytest.raises(NoteError, match="may sign"):
        note.verify_one(parsed, [])
    moved = note.parse(note.text(KIND, "other.example", b'{"id":"x"}') + b"\n" + LINE)
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(moved, [verifier_of(MX)])


def test_the_key_id_is_a_hint_and_never_an_identity():
    # A line that claims the name and id of MX but was made by CO.
    claimed = note.key_id(MX.name, MX.public) + CO.sign(TEXT)
    forged = note.parse(TEXT + b"\n" + line(MX.name, base64.b64encode(claimed).decode()))
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(forged, [verifier_of(MX)])
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(forged, [verifier_of(MX), verifier_of(CO)])
    # The right signature under an id that is not the key's: nobody's line.
    mislabelled = bytes(4) + MX.sign(TEXT)
    unknown = note.parse(TEXT + b"\n" + line(MX.name, base64.b64encode(mislabelled).decode()))
    assert note.verify_any(unknown, [verifier_of(MX)]) == []


class Colliding:
    """Stands where a verifier may: another key whose 4-byte id happens to be that of MX."""

    def __init__(self, public):
        self.name = MX.name
        self.public = public
        self.key_id = note.key_id(MX.name, MX.public)


@pytest.mark.parametrize("turned", [False, True])
def test_two_keys_of_one_name_and_id_are_told_apart_by_their_signature(turned):
    both = [Colliding(CO.public), verifier_of(MX)]
    found = note.verify_one(note.parse(NOTE), both[::-1] if turned else both)
    assert found.public == MX.public
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(note.parse(NOTE), [Colliding(CO.public)])


def test_one_key_under_two_names_counts_once():
    twin = signer("exchange.example/officer.twin", 0)
    assert twin.public == MX.public
    parsed = note.parse(note.sign(TEXT, [MX, twin]))
    assert len(note.verify_any(parsed, [verifier_of(MX), verifier_of(twin)])) == 1


def test_a_known_line_that_does_not_hold_spoils_the_note():
    broken = note.key_id(CO.name, CO.public) + bytes(64)
    parsed = note.parse(NOTE + line(CO.name, base64.b64encode(broken).decode()))
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_any(parsed, [verifier_of(MX), verifier_of(CO)])
    assert note.verify_any(parsed, [verifier_of(MX)]) == [verifier_of(MX)]


@pytest.mark.parametrize("value", [b"\0", bytes(63), bytes(65), bytes(64), bytes(2420)])
def test_a_signature_of_another_length_does_not_hold(value):
    claimed = note.key_id(MX.name, MX.public) + value
    parsed = note.parse(TEXT + b"\n" + line(MX.name, base64.b64encode(claimed).decode()))
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(parsed, [verifier_of(MX)])


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), b"\xff" * 32])
def test_a_verifier_that_is_no_key_verifies_nothing(public):
    claimed = note.key_id(MX.name, public) + MX.sign(TEXT)
    parsed = note.parse(TEXT + b"\n" + line(MX.name, base64.b64encode(claimed).decode()))
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(parsed, [Verifier(MX.name, public)])


def test_a_note_of_another_kind_or_exchange_is_refused():
    parsed = note.parse(NOTE)
    with pytest.raises(NoteError, match="not a valija/receipt/v1"):
        note.require(parsed, "valija/receipt/v1", ORIGIN)
    with pytest.raises(NoteError, match="not to other"):
        note.require(parsed, KIND, "other.example")
    with pytest.raises(NoteError):
        note.require(parsed, KIND, ORIGIN.upper())


def test_a_signature_with_the_order_of_the_group_added_does_not_verify():
    # RFC 8032 section 5.1.7: the second half is below the order, else one signature would have two spellings.
    order = 2**252 + 27742317777372353535851937790883648493
    value = MX.sign(TEXT)
    second = int.from_bytes(value[32:], "little") + order
    other = note.key_id(MX.name, MX.public) + value[:32] + second.to_bytes(32, "little")
    parsed = note.parse(TEXT + b"\n" + line(MX.name, base64.b64encode(other).decode()))
    with pytest.raises(NoteError, match="does not hold"):
        note.verify_one(parsed, [verifier_of(MX)])


def test_a_signer_does_not_show_its_key():
    assert repr(MX) == "Ed25519Signer('exchange.example/mx.enlace')"
