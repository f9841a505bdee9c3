"""The evidence of one message in one file, for somebody who has neither our state folder nor our software.

A bundle is a ZIP with fixed names, and has one form: the parts in the order of `_ORDER`, stored and not compressed, no
dates, no attributes. `read` makes that form again and compares: what is a bundle is exactly what `write` writes, so
nothing can be hidden beside its parts, stand twice, unpack to more than is there, or name a place on the disk.

The promise: nothing that `read` returns is believed. `verify` does that.

Before this room: `prove` gathers. After it: `verify` judges. Rules: schemas/SPEC.md section 5.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

from valija_schemas import limits

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
    r"|directory\.(?P<logged>[1-9][0-9]{0,8})\.tlog-proof"
    r"|event-(?P<event>[0-9]{2,3})\.(?P<what>note|txt|salt|tlog-proof)|file-key\.txt"
)
_ORDER: Final = (README, "root", "directory", MESSAGE, BODY, ACCEPTANCE, "event", FILE_KEY)

#: SHA-256 of every text that a bundle ever began with, the oldest first: a bundle stays good when the text changes.
README_DIGESTS: Final = (
    "ae38f45646014dc94149fcd4633bfeaf825351b982e7914d2dec070bc6bf1406",
    "3f4af5304fdcc53a9db120cfa9ad58bd146a84a9c45134c83ae513c8be915662",
    "5a245ede08b409218f487861369cd03e1f2a2085465214591c3d33e8b5e0877b",
    "3a9fbfc3638b166b92ab0361113c360f9590af86fb9f106ecc1dfc9e2ba7e706",
)
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
directory.N.tlog-proof
               Where that version stands in the log: its leaf is  02 || SHA-256 of the note up to and without the empty
               line. Of two proofs with one checkpoint, the smaller index was first: a signature whose event stands
               before the first directory that revokes its key was there before the key was revoked.
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
file-key.txt   If it is there: the key of body.age, in hex. With it anybody reads the content of this one message:
               valija verify FILE --root DIGEST --content NEW

What is not here proves nothing: a receipt that is missing may never have been signed, or been left out.
"""


class BundleError(ValueError):
    """The bytes are not a bundle; the text says why."""


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
                raise BundleError(
                    "its parts overlap, or other software packed it again"
                )  # pointing many names at the same bytes
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


def _place(name: str) -> tuple[int, int, str]:
    found = _NAMES.fullmatch(name)
    if found is None:
        raise BundleError(f"no part of a bundle is called {name[:60]!r}")
    kind = found["kind"] or ("event" if found["event"] else "directory" if found["logged"] else name)
    return _ORDER.index(kind), int(found["version"] or found["event"] or found["logged"] or 0), name


def _bytes_max(name: str) -> int:
    if name.startswith(("root", "directory")):
        return limits.directory_bytes_max
    return limits.message_bytes_max
