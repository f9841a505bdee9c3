"""The evidence of one message in one file, for somebody who has neither our state folder nor our software.

A bundle is a ZIP with fixed names, and has one form: the parts in the order of `_ORDER`, stored and not compressed, no
dates, no attributes. `read` makes that form again and compares: what is a bundle is exactly what `write` writes, so
nothing can be hidden beside its parts, stand twice, unpack to more than is there, or name a place on the disk.

The promise: nothing that `read` returns is believed. `verify` does that.

Before this room: `client` gathers. After it: `verify` judges. Rules: schemas/SPEC.md section 5.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from valija import age
from valija.errors import KeyMissingError
from valija.keyring import Keys
from valija.outbox import StoredEvent
from valija.refresh import Library
from valija_schemas import limits
from valija_schemas.message import Message

bundle_bytes_max: Final = 64 * 1024 * 1024  #: A few directory versions of 8 MiB, and everything else is small.
parts_max: Final = 1024
events_max: Final = 200

MESSAGE: Final = "message.note"
BODY: Final = "body.age"
ACCEPTANCE: Final = "acceptance.note"
FILE_KEY: Final = "file-key.txt"
README: Final = "README.txt"

_NAMES: Final = re.compile(
    r"README\.txt|(?P<kind>root|directory)\.(?P<version>[1-9][0-9]{0,8})\.note|message\.note|body\.age|acceptance\.note"
    r"|event-(?P<event>[0-9]{2,3})\.(?P<what>note|txt|salt|tlog-proof)|file-key\.txt"
)
_ORDER: Final = (README, "root", "directory", MESSAGE, BODY, ACCEPTANCE, "event", FILE_KEY)

README_TEXT: Final = b"""\
Evidence of one message of a Valija exchange
============================================

With our software:  valija verify FILE --root DIGEST
DIGEST is that of the exchange's first root. Get it from a registry officer, by a channel that you trust; not from here.

Without it, by public formats (C2SP: c2sp.org/signed-note, tlog-checkpoint, tlog-proof, tlog-cosignature; age:
age-encryption.org; RFC 6962 and RFC 8032):

root.N.note    Who the registry officers are, and the keys of the broker and its log. DIGEST is the SHA-256 of
               root.1.note up to and without the empty line:  sed '/^$/,$d' root.1.note | sha256sum
               Each root is signed by as many officers as the root before it, and it itself, ask for.
directory.N.note
               Who the contact points are, and their keys; signed by officers of the root that it names.
message.note   A signed note. Its second line, JSON, says who writes to whom. Its signature is by the sender's `sign`
               key in the directory version that it names, over the two lines (c2sp.org/signed-note).
body.age       The sealed content, an age file:  sha256sum body.age  is `body` in message.note.
acceptance.note
               If it is there: the broker's signed word that it accepted the message, without a proof of the log.
event-NN.note  What happened, signed by the broker (valija/evidence/v1) or by a recipient (valija/receipt/v1); or what
               operators of the root ordered (valija/action/v1).
event-NN.txt   What happened, on the broker's word alone.
event-NN.salt  32 bytes in hex. The leaf of the log is  01 || HMAC-SHA256(salt, event-NN.note):
               openssl dgst -sha256 -mac HMAC -macopt hexkey:$(cat event-NN.salt) event-NN.note
               Its hash in the log is  SHA-256(00 || leaf).
event-NN.tlog-proof
               That the leaf is in the log (c2sp.org/tlog-proof), with a checkpoint signed by the log's keys, which the
               root names: Ed25519, and ML-DSA-44 for the time when Ed25519 can be forged.
file-key.txt   If it is there: the key of body.age, in hex. With it anybody reads the content of this one message.

What is not here proves nothing: a receipt that is missing may never have been signed, or been left out.
"""


class BundleError(ValueError):
    """The bytes are not a bundle; the text says why."""


def gather(
    found: Message, acceptance: bytes | None, events: Sequence[StoredEvent], library: Library, key: age.FileKey | None
) -> bytes:
    """The bundle of a message, of what is proved to be in the log about it, and of everything that these rest on.

    Raises:
        BundleError: it would be too large.
    """
    proved = [event for event in events if event.proof is not None and event.verdict != "alarm"][:events_max]
    versions = {library.phonebook.version, found.header.directory[0]}
    parts = {README: README_TEXT, MESSAGE: found.note.raw, BODY: found.body}
    for number, event in enumerate(proved, start=1):
        signed = b"\n\n" in event.note
        stem = f"event-{number:02}"
        parts[f"{stem}.{'note' if signed else 'txt'}"] = event.note
        parts[f"{stem}.salt"] = event.salt.hex().encode() + b"\n"
        parts[f"{stem}.tlog-proof"] = event.proof or b""
        text = event.note[: event.note.index(b"\n\n") + 1] if signed else event.note
        versions.add(msgspec.json.decode(text.split(b"\n")[1], type=_Named).directory[0])
    if acceptance is not None and all(event.event != "SubmissionAcceptance" for event in proved):
        parts[ACCEPTANCE] = acceptance
    for number, raw in enumerate(library.roots.raws, start=1):
        parts[f"root.{number}.note"] = raw
    for number in sorted(versions):
        book = library.version(number)
        if book is not None:
            parts[f"directory.{number}.note"] = book.raw
    if key is not None:
        parts[FILE_KEY] = key.to_bytes().hex().encode() + b"\n"
    return write(parts)


def disclosed_key(found: Message, keys: Keys) -> age.FileKey:
    """The key of the body of a message that was sealed for us.

    Raises:
        KeyMissingError: it was not, or the key is not in this keyring.
    """
    key_id = found.header.to.get(keys.id)
    if key_id is None:
        raise KeyMissingError(
            "the content of this message cannot be disclosed here: it was sealed for its recipients alone, and its key"
            " was not kept",
            hint="Ask a recipient to run `valija prove --disclose`, or prove it without --disclose.",
        )
    try:
        return age.file_key(found.body, keys.seal_identity(key_id), position=list(found.header.to).index(keys.id))
    except age.AgeError as error:
        raise KeyMissingError(f"the body does not open with our key: {error}") from None


def write(parts: Mapping[str, bytes]) -> bytes:
    """The bundle of `parts`, by name. The same parts give the same bytes.

    Raises:
        BundleError: a name is none, or it would be too large.
    """
    if len(parts) > parts_max or sum(map(len, parts.values())) > bundle_bytes_max // 2:
        raise BundleError("so much does not fit into one bundle")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts, key=_place):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(info, parts[name])
    return file.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """The parts of a bundle. Nothing is written anywhere, and nothing about them is verified.

    Raises:
        BundleError: it is not in its one form.
    """
    if len(data) > bundle_bytes_max:
        raise BundleError(f"a bundle has at most {bundle_bytes_max} bytes")
    parts: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > parts_max:
                raise BundleError(f"a bundle has at most {parts_max} parts")
            if sum(member.file_size for member in members) > len(data):
                raise BundleError("its parts overlap")  # pointing many names at the same bytes
            for member in members:
                _place(member.filename)
                # Looked at before anything is unpacked: what is stored cannot unpack to more than is there.
                if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                    raise BundleError(f"{member.filename} is compressed")
                if member.filename in parts:
                    raise BundleError(f"{member.filename} stands twice")
                if member.file_size > _bytes_max(member.filename):
                    raise BundleError(f"{member.filename} is too long")
                parts[member.filename] = archive.read(member)
    except BundleError:
        raise
    # All that this reader is known to raise over hostile bytes; none of it means more than that this is no bundle.
    except (
        zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, LookupError,
        ArithmeticError, AttributeError, struct.error, MemoryError, TypeError,
    ) as error:  # fmt: skip
        raise BundleError(f"this is not a ZIP that can be read: {error}") from None
    if write(parts) != data:
        raise BundleError("this ZIP is not in the one form of a bundle: it was changed or packed again")
    return parts


class _Named(msgspec.Struct):
    directory: tuple[int, str] = (0, "")  #: An order names none.


def _place(name: str) -> tuple[int, int, str]:
    found = _NAMES.fullmatch(name)
    if found is None:
        raise BundleError(f"no part of a bundle is called {name[:60]!r}")
    kind = found["kind"] or ("event" if found["event"] else name)
    return _ORDER.index(kind), int(found["version"] or found["event"] or 0), name


def _bytes_max(name: str) -> int:
    if name.startswith(("root", "directory")):
        return limits.directory_bytes_max
    return limits.message_bytes_max
