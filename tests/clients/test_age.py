"""What `valija.age` promises about files: who opens them, and that nothing changed comes out of them."""

import io
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valija import age
from valija.age.file import _mac
from valija_schemas.age_header import (
    check_sealed_shape,
    parse_header,
    write_mac,
    write_stanzas,
)
from valija_schemas.limits import age_header_bytes_max

chunk = 64 * 1024
nonce_and_tag = 16 + 16

alice, bob, carol = (age.SealIdentity.generate() for _ in range(3))
everyone = [alice.recipient, bob.recipient, carol.recipient]
quick = age.Passphrase("quick", work_factor=1)


def near_a_boundary():
    return st.builds(
        lambda chunks, off: max(0, chunks * chunk + off), st.integers(0, 3), st.integers(-17, 17)
    ) | st.integers(0, 4_096)


def with_stanzas(data, change):
    """`data` with its stanzas changed and its MAC left as it was."""
    header = parse_header(data)
    return write_stanzas(change(header.stanzas)) + write_mac(header.mac) + data[header.length :]


class OnlySo:
    """A source that gives a byte or a few at a time, as a pipe may."""

    def __init__(self, data, step):
        self.source = io.BytesIO(data)
        self.step = step

    def read(self, size=-1):
        return self.source.read(min(size, self.step) if size >= 0 else self.step)


@given(near_a_boundary(), st.integers(1, 3))
def test_every_recipient_gets_the_plaintext_back(size, recipients):
    plaintext = os.urandom(size)
    data = age.encrypt(plaintext, everyone[:recipients])
    header = check_sealed_shape(data, recipients)
    chunks = max(1, -(-size // chunk))
    assert len(data) == header.length + 16 + size + 16 * chunks
    for position, identity in enumerate([alice, bob, carol][:recipients]):
        assert age.decrypt(data, identity) == plaintext
        assert age.decrypt(data, identity, position=position) == plaintext


def test_two_files_of_one_plaintext_share_no_key_and_no_nonce():
    one, two = (age.encrypt(b"", [alice.recipient]) for _ in range(2))
    assert age.file_key(one, alice).to_bytes() != age.file_key(two, alice).to_bytes()
    assert one[-nonce_and_tag:][:16] != two[-nonce_and_tag:][:16]


def test_a_passphrase_opens_what_it_wrote_and_no_other_does():
    data = age.encrypt(b"keyring", [quick])
    assert age.decrypt(data, age.Passphrase("quick")) == b"keyring"
    with pytest.raises(age.NoMatchError):
        age.decrypt(data, age.Passphrase("Quick"))
    with pytest.raises(age.NoMatchError):
        age.decrypt(data, alice)


def test_a_key_that_the_file_was_not_sealed_for_opens_nothing():
    data = age.encrypt(b"for alice", [alice.recipient])
    with pytest.raises(age.NoMatchError):
        age.decrypt(data, bob)
    with pytest.raises(age.NoMatchError):
        age.decrypt(data, quick)


def test_a_recipient_opens_at_its_own_position_and_no_other():
    data = age.encrypt(b"in order", everyone)
    assert age.decrypt(data, bob, position=1) == b"in order"
    for position in (0, 2, 3, -1, -2):
        with pytest.raises(age.NoMatchError):
            age.decrypt(data, bob, position=position)
        with pytest.raises(age.NoMatchError):
            age.file_key(data, bob, position=position)


def test_swapped_stanzas_are_refused_with_a_position_and_without():
    data = age.encrypt(b"in order", everyone)
    swapped = with_stanzas(data, lambda stanzas: (stanzas[1], stanzas[0], stanzas[2]))
    with pytest.raises(age.NoMatchError):
        age.decrypt(swapped, alice, position=0)
    for identity in (alice, bob, carol):
        with pytest.raises(age.MacError):
            age.decrypt(swapped, identity)


def test_a_stanza_that_was_removed_added_or_doubled_is_noticed_by_everybody_else():
    data = age.encrypt(b"to all", everyone)
    other = parse_header(age.encrypt(b"", [alice.recipient])).stanzas[0]
    for change in (
        lambda stanzas: stanzas[:2],
        lambda stanzas: (*stanzas, stanzas[2]),
        lambda stanzas: (*stanzas, other),
        lambda stanzas: (*stanzas[:2], other),
    ):
        with pytest.raises(age.MacError):
            age.decrypt(with_stanzas(data, change), bob, position=1)


def test_a_changed_byte_anywhere_in_a_file_is_refused():
    data = age.encrypt(b"x" * 40, [alice.recipient])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(age.AgeError):
            age.decrypt(bytes(changed), alice)


def test_a_file_cut_off_or_continued_anywhere_is_refused():
    data = age.encrypt(b"x" * 40, [alice.recipient])
    for length in range(len(data)):
        with pytest.raises(age.AgeError):
            age.decrypt(data[:length], alice)
    for tail in (b"\0", b"\n", data[-nonce_and_tag:], data):
        with pytest.raises(age.PayloadError):
            age.decrypt(data + tail, alice)


def test_a_file_cut_off_between_two_chunks_is_refused():
    data = age.encrypt(bytes(3 * chunk), [alice.recipient])
    payload = parse_header(data).length + 16
    for chunks in range(3):
        with pytest.raises(age.PayloadError):
            age.decrypt(data[: payload + chunks * (chunk + 16)], alice)


def test_chunks_in_another_order_are_refused():
    data = age.encrypt(os.urandom(3 * chunk), [alice.recipient])
    start = parse_header(data).length + 16
    head, first, second, third = (
        data[:start],
        *(data[start + at * (chunk + 16) : start + (at + 1) * (chunk + 16)] for at in range(3)),
    )
    for parts in ((second, first, third), (first, third), (first, first, third), (first, second, second)):
        with pytest.raises(age.PayloadError):
            age.decrypt(head + b"".join(parts), alice)


def test_a_file_with_two_file_keys_shows_nobody_a_second_document():
    """One key is wrapped for Alice, another for Bob. A payload can be made that opens under both, but not the MAC."""
    one, two = age.FileKey.generate(), age.FileKey.generate()
    for first, opens in ((one, alice), (two, bob)):
        data = age.encrypt(b"for one of them", [alice.recipient, bob.recipient], key=first)
        header = parse_header(data)
        stanzas = [alice.recipient.wrap(one.to_bytes()), bob.recipient.wrap(two.to_bytes())]
        covered = write_stanzas(stanzas)
        for mac in (_mac(one.to_bytes(), covered), _mac(two.to_bytes(), covered), header.mac):
            mixed = covered + write_mac(mac) + data[header.length :]
            opened = [reader for reader in (alice, bob) if opens_it(mixed, reader, [alice, bob].index(reader))]
            assert opened in ([], [opens])


def opens_it(data, reader, position):
    try:
        return age.decrypt(data, reader, position=position) is not None
    except age.AgeError:
        return False


def test_the_payload_of_another_file_is_refused():
    one, two = (age.encrypt(text, [alice.recipient]) for text in (b"one", b"two"))
    with pytest.raises(age.PayloadError):
        age.decrypt(one[: parse_header(one).length] + two[parse_header(two).length :], alice)


def test_a_file_key_opens_its_own_file_and_no_other():
    one, two = (age.encrypt(text, everyone) for text in (b"one", b"two"))
    key = age.file_key(one, bob, position=1)
    assert key.to_bytes() == age.file_key(one, carol).to_bytes()
    assert age.decrypt(one, age.FileKey(key.to_bytes())) == b"one"
    with pytest.raises(age.MacError):
        age.decrypt(two, key)
    with pytest.raises(ValueError, match="position"):
        age.decrypt(one, key, position=1)
    with pytest.raises(age.KeyFormatError):
        age.FileKey(bytes(32))


def test_a_file_for_nobody_is_not_written():
    with pytest.raises(ValueError, match="recipient"):
        age.encrypt(b"", [])


def test_a_passphrase_stands_alone_in_writing_and_in_reading():
    for recipients in ([quick, alice.recipient], [alice.recipient, quick], [quick, quick]):
        with pytest.raises(ValueError, match="only recipient"):
            age.encrypt(b"", recipients)
    data = age.encrypt(b"", [quick])
    stanza = parse_header(age.encrypt(b"", [alice.recipient])).stanzas[0]
    for change in (lambda stanzas: (*stanzas, stanza), lambda stanzas: (stanza, *stanzas), lambda stanzas: stanzas * 2):
        for identity in (quick, alice):
            with pytest.raises(age.HeaderError):
                age.decrypt(with_stanzas(data, change), identity)


def test_a_work_factor_above_the_cap_is_refused_before_any_work():
    data = age.encrypt(b"", [quick])
    for spelling in (
        str(age.work_factor_max + 1),
        "23",
        "99",
        "999",
        "1000",
        "0",
        "01",
        "+1",
        "-1",
        "1e1",
        "0x1",
        "1 ",
    ):
        changed = data.replace(b" 1\n", b" " + spelling.encode() + b"\n", 1)
        with pytest.raises(age.HeaderError):
            age.decrypt(changed, quick)
    for work_factor in (0, age.work_factor_max + 1):
        with pytest.raises(age.KeyFormatError):
            age.Passphrase("x", work_factor=work_factor)


def test_a_header_that_would_be_too_long_to_read_is_not_written():
    recipients = [alice.recipient] * (age_header_bytes_max // 1_500)
    sink = io.BytesIO()
    with pytest.raises(ValueError, match="longer"):
        age.encrypt_stream(io.BytesIO(b"x"), sink, recipients)
    assert sink.getvalue() == b""
    assert age.decrypt(age.encrypt(b"x", recipients[:64]), alice) == b"x"


@pytest.mark.parametrize("step", [1, 7, 4_096, 10 * chunk])
def test_streams_that_give_little_at_a_time_lose_nothing(step):
    plaintext = os.urandom(2 * chunk + 5 if step > 1 else 300)
    sealed, opened = io.BytesIO(), io.BytesIO()
    age.encrypt_stream(OnlySo(plaintext, step), sealed, everyone)
    age.decrypt_stream(OnlySo(sealed.getvalue(), step), opened, carol, position=2)
    assert opened.getvalue() == plaintext


def test_a_stream_is_opened_while_it_is_written():
    plaintext = os.urandom(4 * chunk + 1)
    read_end, write_end = os.pipe()

    def write():
        with open(write_end, "wb") as sink:  # noqa: PTH123 - a file descriptor has no path
            age.encrypt_stream(io.BytesIO(plaintext), sink, everyone)

    writer = threading.Thread(target=write)
    writer.start()
    opened = io.BytesIO()
    with open(read_end, "rb", buffering=0) as source:  # noqa: PTH123 - a file descriptor has no path
        age.decrypt_stream(source, opened, bob, position=1)
    writer.join()
    assert opened.getvalue() == plaintext


@given(st.integers(0, 4), st.data())
@settings(max_examples=40)
def test_a_stream_writes_nothing_that_was_not_verified(chunks, draw):
    plaintext = os.urandom(chunks * chunk + 9)
    data = bytearray(age.encrypt(plaintext, [alice.recipient]))
    start = parse_header(bytes(data)).length
    place = draw.draw(st.integers(start, len(data) - 1))
    data[place] ^= 1
    sink = io.BytesIO()
    with pytest.raises(age.PayloadError):
        age.decrypt_stream(io.BytesIO(bytes(data)), sink, alice)
    whole_chunks = max(0, place - start - 16) // (chunk + 16)
    assert sink.getvalue() == plaintext[: whole_chunks * chunk]


@given(st.binary(max_size=400), st.sampled_from([b"", b"age-encryption.org/v1\n", b"age-encryption.org/v1\n-> "]))
def test_other_bytes_raise_a_header_error_and_nothing_else(data, start):
    for identity in (alice, quick):
        with pytest.raises(age.HeaderError):
            age.decrypt(start + data, identity)
