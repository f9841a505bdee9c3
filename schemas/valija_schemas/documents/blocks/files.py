"""Files inside a document: photographs, orders, fingerprints, until attachments exist."""

import hashlib
from typing import Annotated, Self

import msgspec

from valija_schemas import limits
from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, rule
from valija_schemas.wire import Digest


class File(Block, frozen=True, kw_only=True):
    """A file that travels inside the document, within the limit of a message. SHA-256 after FIPS 180-4."""

    name: codes.FileLabel  #: A label for people, never a path.
    media_type: codes.MediaType  #: What kind of file it is (RFC 6838).
    size: Annotated[int, msgspec.Meta(ge=1, le=limits.body_bytes_max, description="a number of bytes")]  #: In bytes.
    sha256: Annotated[
        Digest, msgspec.Meta(description="a SHA-256 value: 64 hex digits in lower case")
    ]  #: Of the bytes.
    content: codes.Content  #: The bytes, base64 in JSON.

    @classmethod
    def of(cls, name: str, media_type: str, content: bytes) -> Self:
        """A file of these bytes, measured and hashed."""
        digest = hashlib.sha256(content).hexdigest()
        return cls(name=name, media_type=media_type, size=len(content), sha256=digest, content=content)

    @rule("file-size")
    def size_is_that_of_the_content(self) -> Faults:
        """A file's size is the number of bytes in its content."""
        if self.size != len(self.content):
            yield (
                ".size",
                "The content has {counted} bytes, not {size}. Attach the file again.",
                {"counted": len(self.content), "size": self.size},
            )

    @rule("file-digest")
    def digest_is_that_of_the_content(self) -> Faults:
        """A file's SHA-256 is that of its content."""
        if self.sha256 != hashlib.sha256(self.content).hexdigest():
            yield ".sha256", "The content is not the file that was hashed. Attach the file again."


def images(files: tuple[File, ...], at: str) -> Faults:
    """The fault of photographs that are no pictures."""
    for index, file in enumerate(files):
        if not file.media_type.startswith("image/"):
            yield f"{at}[{index}].media_type", "A photograph is an image. Attach it as image/jpeg or image/png."
