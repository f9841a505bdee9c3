"""Writes schemas/json again from the Structs: `make schemas`."""

from pathlib import Path

from valija_schemas.documents import schema, types


def main() -> None:
    """Write every published schema and their README."""
    folder = Path(__file__).parents[2] / "json"
    for name, text in schema.published(types()).items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
