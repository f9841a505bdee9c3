"""What the demonstration's parts share: a promise that is kept or ends it, and the documents of schemas/examples."""

from pathlib import Path
from typing import Any, Final

import msgspec

EXAMPLES: Final = Path(__file__).parent.parent / "schemas" / "examples"


class DemoError(Exception):
    """Something that the demonstration promises was not so."""


def require(holds: bool, promise: str) -> None:
    """Say that a promise was kept, or end.

    Raises:
        DemoError: it was not.
    """
    if not holds:
        raise DemoError(promise)
    print(f"  kept: {promise}")


def example(name: str) -> dict[str, Any]:
    """A document of schemas/examples."""
    return msgspec.json.decode((EXAMPLES / f"{name}-1.json").read_bytes(), type=dict[str, Any])
