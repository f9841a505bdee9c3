"""The ways in which an age file can fail to open. None of them holds a secret or a piece of plaintext."""


class AgeError(Exception):
    """The age file, key or passphrase cannot be used."""


class KeyFormatError(AgeError):
    """The text or the bytes are no key of the kind that was asked for."""


class HeaderError(AgeError):
    """The header of the age file is not as the format demands."""


class NoMatchError(AgeError):
    """The age file was not sealed for this key or passphrase."""


class MacError(AgeError):
    """The header of the age file was changed after it was written."""


class PayloadError(AgeError):
    """The payload of the age file was changed or cut off after it was written."""
