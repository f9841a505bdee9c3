"""The table of the operators' API. `door`, `api` and whatever else answers programs declare their routes in it.

Before this room: those. After it: `declared`.
"""

from typing import Any, Final

from valija_broker.declared import Content, Table

JSON_TYPE: Final = "application/json"

TABLE: Final = Table()


def json(of: Any, about: str, *, status: int = 200) -> Content:
    """A body in JSON."""
    return Content(media=JSON_TYPE, of=of, about=about, status=status)
