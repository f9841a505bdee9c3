"""The header of an age file: read by people who can open it and by people who cannot.

This room turns bytes into a header or into one `AgeHeaderError`, and never into a guess: every header it
accepts has exactly one spelling, so two readers cannot see two different lists of recipients. The
broker uses `check_sealed_shape` to refuse a body that nobody sealed; it needs no key for that.

Before this room: the framing of a message. After it: `valija.age`, which opens, or the broker's `accept`,
which cannot. Rules: schemas/SPEC.md section 1, "Seal"; C2SP age.md, "Header".
"""

import re
from base64 import b64encode
from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Sequence

import msgspec

from valija_schemas.limits import age_header_bytes_max

sealed_kind = "mlkem768x25519"  #: The one kind of stanza that a message may have.
sealed_enc_bytes = 1_120  #: ML-KEM-768 ciphertext (1,088), then the X25519 share (32).
wrapped_key_bytes = 32  #: A file key of 16 bytes and the tag of 16.
mac_bytes = 32
nonce_bytes = 16
tag_bytes = 16
payload_bytes_min = nonce_bytes + tag_bytes  #: Of an empty plaintext.

_version_line = b"age-encryption.org/v1\n"
_stanza_mark = b"-> "
_mac_mark = b"---"
_mac_line = re.compile(rb"--- ([A-Za-z0-9+/]{43})")
_mac_end_bytes = len(" \n") + 43  #: What follows the mark on the MAC line; the MAC does not cover it.
_arguments = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)")
_column_max = 64  #: A full line of a body; the last line is shorter, and may be empty.


class AgeHeaderError(ValueError):
    """The bytes do not begin with a header of the form that the age format demands."""


class Stanza(msgspec.Struct, frozen=True):
    """The file key, wrapped for one recipient."""

    type: str  #: The first argument.
    args: tuple[str, ...]  #: The arguments after the type.
    body: bytes


class Header(msgspec.Struct, frozen=True):
    """What stands before the payload. Its MAC has not been checked: only who has the file key can do that."""

    stanzas: tuple[Stanza, ...]  #: At least one, in the order of the file.
    mac: bytes  #: 32 bytes.
    length: int  #: Bytes of the header, the newline of the MAC line included.

    @property
    def mac_covers(self) -> int:
        """How many bytes, from the first one on, the MAC is computed over."""
        return self.length - _mac_end_bytes


def parse_header(data: bytes) -> Header:
    """Read the header at the start of `data`. What follows it is not looked at.

    Raises:
        AgeHeaderError: there is no complete, canonical header in the first `age_header_bytes_max` bytes.
    """
    if not data.startswith(_version_line):
        raise AgeHeaderError("The first line is not `age-encryption.org/v1`.")
    stanzas: list[Stanza] = []
    position = len(_version_line)
    while True:
        line, position = _line(data, position)
        if line.startswith(_mac_mark):
            break
        arguments = _arguments.fullmatch(line)
        if arguments is None:
            raise AgeHeaderError("A stanza does not begin with `->` and arguments set apart by one space each.")
        kind, *args = arguments[1].decode("ascii").split(" ")
        body: list[bytes] = []
        full = True
        while full:
            line, position = _line(data, position)
            if len(line) > _column_max:
                raise AgeHeaderError(f"A line of a stanza's body is longer than {_column_max} characters.")
            body.append(decode_base64(line))
            full = len(line) == _column_max
        stanzas.append(Stanza(kind, tuple(args), b"".join(body)))
    mac = _mac_line.fullmatch(line)
    if mac is None:
        raise AgeHeaderError("The last line of the header is not `---`, a space and a MAC of 32 bytes.")
    if not stanzas:
        raise AgeHeaderError("The header has no stanza.")
    return Header(tuple(stanzas), decode_base64(mac[1]), position)


def check_sealed_shape(data: bytes, recipients: int) -> Header:
    """Return the header of `data` if it has the shape of a body sealed for as many `recipients`.

    This says nothing about who can open it, and needs no key.

    Raises:
        AgeHeaderError: it has another number of stanzas or another kind, or a part with another size.
    """
    end = data.find(b"\n" + _mac_mark, 0, age_header_bytes_max)
    # Counted before parsing: thousands of tiny stanzas fit into a header and would each cost a step.
    if end >= 0 and data.count(b"\n" + _stanza_mark, 0, end) != recipients:
        raise AgeHeaderError(f"The body is not sealed for exactly {recipients} recipients.")
    header = parse_header(data)
    for stanza in header.stanzas:
        if stanza.type != sealed_kind:
            raise AgeHeaderError(f"A stanza is not of the kind `{sealed_kind}`.")
        sealed_enc(stanza)
    if len(data) - header.length < payload_bytes_min:
        raise AgeHeaderError("The payload is shorter than a nonce and a tag.")
    return header


def sealed_enc(stanza: Stanza) -> bytes:
    """Return the encapsulated key of a `mlkem768x25519` stanza, all of whose sizes are as they must be.

    Raises:
        AgeHeaderError: it has other arguments, or a part with another size.
    """
    if len(stanza.args) != 1:
        raise AgeHeaderError(f"A `{sealed_kind}` stanza does not have exactly two arguments.")
    enc = decode_base64(stanza.args[0].encode("ascii"))
    if len(enc) != sealed_enc_bytes:
        raise AgeHeaderError(f"The encapsulated key of a stanza is not {sealed_enc_bytes} bytes long.")
    if len(stanza.body) != wrapped_key_bytes:
        raise AgeHeaderError(f"The body of a `{sealed_kind}` stanza is not {wrapped_key_bytes} bytes long.")
    return enc


def write_stanzas(stanzas: Sequence[Stanza]) -> bytes:
    """Return the header of `stanzas` up to and including the mark `---`: what the MAC covers."""
    lines = [_version_line]
    for stanza in stanzas:
        body = encode_base64(stanza.body)
        lines.append(f"-> {' '.join((stanza.type, *stanza.args))}\n".encode("ascii"))
        # One step further than the last character, so that a body that fills its lines ends with an empty one.
        lines += [body[at : at + _column_max] + b"\n" for at in range(0, len(body) + 1, _column_max)]
    return b"".join([*lines, _mac_mark])


def write_mac(mac: bytes) -> bytes:
    """Return what follows the mark on the MAC line, newline included."""
    return b" " + encode_base64(mac) + b"\n"


def encode_base64(data: bytes) -> bytes:
    """Return standard base64 without padding."""
    return b64encode(data).rstrip(b"=")


def decode_base64(text: bytes) -> bytes:
    """Read standard base64 without padding, in the one spelling that encoding gives.

    Raises:
        AgeHeaderError: it is spelled in any other way.
    """
    try:
        data = a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True) if text else b""
    except BinasciiError:
        raise AgeHeaderError("A part of the header is not base64.") from None
    if encode_base64(data) != text:
        raise AgeHeaderError("A part of the header is not spelled as base64 must be spelled.")
    return data


def _line(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the line that begins at `start`, and where the next one begins."""
    end = data.find(b"\n", start, age_header_bytes_max)
    if end < 0:
        raise AgeHeaderError(f"The header does not end, or is longer than {age_header_bytes_max} bytes.")
    return data[start:end], end + 1
