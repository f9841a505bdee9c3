"""Writes schemas/json and schemas/types again from the Structs: `make schemas`."""

import json
from pathlib import Path

from valija_schemas.documents import pages, schema, types


def main() -> None:
    """Write every published schema, the page of every type, and what lists them."""
    room = Path(__file__).parents[2]
    for name, text in schema.published(types()).items():
        (room / "json" / name).write_text(text, encoding="utf-8")
    examples = {
        name: json.loads((room / "examples" / schema.file_name(type_)).read_bytes()) for name, type_ in types().items()
    }
    for name, text in pages.published(types(), examples).items():
        (room / "types" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
