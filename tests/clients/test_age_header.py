"""What the header's reader promises: one spelling, one error, and a shape that the broker can rely on."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valija import age
from valija_schemas.age_header import (
    AgeHeaderError,
    Stanza,
    check_sealed_shape,
    decode_base64,
    encode_base64,
    parse_header,
    write_mac,
    write_stanzas,
)
from valija_schemas.limits import age_header_bytes_max

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=70)
bodies = st.binary(max_size=200) | st.sampled_from([bytes(47), bytes(48), bytes(49), bytes(96)])
stanzas = st.builds(Stanza, visible, st.lists(visible, max_size=4).map(tuple), bodies)
start = b"age-encryption.org/v1\n"
mac_line = b"--- " + b"A" * 43 + b"\n"

recipients = [age.SealIdentity.generate().recipient for _ in range(3)]
sealed = age.encrypt(b"", recipients)


def header_of(*stanzas):
    return write_stanzas(stanzas) + write_mac(bytes(32))


@given(st.lists(stanzas, min_size=1, max_size=5), st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_a_header_that_was_written_is_read_as_it_was(some, mac, payload):
    covered = write_stanzas(some)
    written = covered + write_mac(mac)
    header = parse_header(written + payload)
    assert header.stanzas == tuple(some)
    assert header.mac == mac
    assert header.length == len(written)
    assert header.mac_covers == len(covered)


lines = st.sampled_from(
    [
        start,
        b"-> a b\n",
        b"-> a\n",
        b"\n",
        b"AAAA\n",
        b"A" * 64 + b"\n",
        b"A" * 65 + b"\n",
        b"AA\r\n",
        mac_line,
        b"--- \n",
        b"->\n",
    ]
)


@given(st.lists(lines | st.binary(max_size=30), max_size=12).map(b"".join), st.booleans())
def test_any_bytes_are_one_header_in_its_one_spelling_or_the_one_error(data, started):
    data = start * started + data
    try:
        header = parse_header(data)
    except AgeHeaderError:
        return
    assert write_stanzas(header.stanzas) + write_mac(header.mac) == data[: header.length]


@given(st.binary(max_size=3_000), st.integers(0, 65))
def test_bytes_that_nobody_sealed_have_no_sealed_shape(data, count):
    for candidate in (data, start + data, header_of(Stanza("a", (), data))):
        with pytest.raises(AgeHeaderError):
            check_sealed_shape(candidate, count)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        start,
        start + mac_line,
        start.rstrip() + b"\r\n-> a\n\n" + mac_line,
        b"age-encryption.org/v2\n-> a\n\n" + mac_line,
        b" " + start + b"-> a\n\n" + mac_line,
        start + b"\n-> a\n\n" + mac_line,
        start + b"->\n\n" + mac_line,
        start + b"-> \n\n" + mac_line,
        start + b"->  a\n\n" + mac_line,
        start + b"-> a \n\n" + mac_line,
        start + b"-> a\t\n\n" + mac_line,
        start + b"-> a\x7f\n\n" + mac_line,
        start + "-> á\n\n".encode() + mac_line,
        start + b"-> a\n" + mac_line,
        start + b"-> a\n" + b"A" * 64 + b"\n" + mac_line,
        start + b"-> a\nAAAA\nAAAA\n" + mac_line,
        start + b"-> a\nAA==\n" + mac_line,
        start + b"-> a\nAB\n" + mac_line,
        start + b"-> a\nA\n" + mac_line,
        start + b"-> a\nAA-_\n" + mac_line,
        start + b"-> a\nAA A\n" + mac_line,
        start + b"-> a\n\n" + mac_line[:-1],
        start + b"-> a\n\n" + mac_line[:-2] + b"B\n",
        start + b"-> a\n\n---" + mac_line[4:],
        start + b"-> a\n\n--- " + b"A" * 42 + b"\n",
        start + b"-> a\n\n--- " + b"A" * 43 + b" \n",
        start + b"-> a\n\n--- " + b"A" * 43 + b"=\n",
    ],
)
def test_a_header_with_a_second_spelling_is_refused(data):
    assert parse_header(start + b"-> a\n\n" + mac_line).stanzas == (Stanza("a", (), b""),)
    with pytest.raises(AgeHeaderError):
        parse_header(data + b"payload")


def test_a_header_longer_than_the_limit_is_refused_and_one_as_long_is_read():
    room = age_header_bytes_max - len(header_of(Stanza("", (), b"")))
    assert parse_header(header_of(Stanza("a" * room, (), b"")) + b"more").length == age_header_bytes_max
    with pytest.raises(AgeHeaderError):
        parse_header(header_of(Stanza("a" * (room + 1), (), b"")))


@given(st.binary(max_size=100))
def test_base64_has_one_spelling(data):
    text = encode_base64(data)
    assert decode_base64(text) == data
    for other in (text + b"=", text + b"\n", b" " + text, text + b"A" * (5 - len(text) % 4)):
        with pytest.raises(AgeHeaderError):
            decode_base64(other)


def test_what_we_seal_has_the_sealed_shape_for_its_number_of_recipients_only():
    assert len(check_sealed_shape(sealed, 3).stanzas) == 3
    for count in (-1, 0, 1, 2, 4, 64):
        with pytest.raises(AgeHeaderError):
            check_sealed_shape(sealed, count)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: Stanza("MLKEM768X25519", one.args, one.body),
        lambda one: Stanza("X25519", one.args, one.body),
        lambda one: Stanza("scrypt", one.args, one.body),
        lambda one: Stanza(one.type, (), one.body),
        lambda one: Stanza(one.type, (*one.args, "x"), one.body),
        lambda one: Stanza(one.type, (one.args[0][:-4],), one.body),
        lambda one: Stanza(one.type, (one.args[0] + "AAAA",), one.body),
        lambda one: Stanza(one.type, (one.args[0] + "=",), one.body),
        # 1,120 bytes leave four bits of the last character unused; a set one is a second spelling.
        lambda one: Stanza(one.type, (one.args[0][:-1] + chr(ord(one.args[0][-1]) + 1),), one.body),
        lambda one: Stanza(one.type, (one.args[0][:-1] + "-",), one.body),
        lambda one: Stanza(one.type, one.args, one.body[:-1]),
        lambda one: Stanza(one.type, one.args, one.body + b"x"),
        lambda one: Stanza(one.type, one.args, b""),
    ],
)
@pytest.mark.parametrize("position", [0, 2])
def test_a_stanza_of_another_kind_or_size_has_no_sealed_shape(change, position):
    header = parse_header(sealed)
    changed = list(header.stanzas)
    changed[position] = change(changed[position])
    with pytest.raises(AgeHeaderError):
        check_sealed_shape(write_stanzas(changed) + write_mac(header.mac) + sealed[header.length :], 3)


def test_a_body_without_a_whole_payload_has_no_sealed_shape():
    assert check_sealed_shape(sealed, 3).length + 16 + 16 == len(sealed)
    with pytest.raises(AgeHeaderError):
        check_sealed_shape(sealed[:-1], 3)


def test_a_passphrase_file_has_no_sealed_shape():
    with pytest.raises(AgeHeaderError):
        check_sealed_shape(age.encrypt(b"", [age.Passphrase("x", work_factor=1)]), 1)


def test_the_shape_is_checked_without_anything_that_could_open():
    script = """
import sys, valija_schemas.age_header
assert not {name for name in sys.modules if name == "valija" or name.startswith(("valija.", "cryptography"))}
"""
    subprocess.run([sys.executable, "-c", script], check=True)
