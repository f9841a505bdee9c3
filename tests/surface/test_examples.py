"""Every example that a page or a docstring shows stands in tests/examples.py, is type-checked there and run.

`make types` checks that file; the journey runs what needs a broker, and this the rest.
"""

import ast
import importlib
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import examples
import valija
from valija import testing
from valija_schemas import documents

ROOT = Path(__file__).parents[2]
EXAMPLES = (ROOT / "tests/examples.py").read_text("utf-8")
PYTHON = re.compile(r"(from \S+ import|import|(async )?(with|for)|\w+ = )\b")
PAGES = ("clients/README.md", "clients/OPERATING.md")
MODULES = ("__init__", "client", "sync", "testing/__init__")
REQUEST = json.loads((ROOT / "schemas/examples/information-request-1.json").read_text("utf-8"))


def blocks(text: str) -> list[str]:
    """The indented blocks of a page or a docstring that are Python."""
    found: list[str] = []
    for block in re.findall(r"(?:^ {4}.*\n(?:^\n(?= {4}))*)+", text, re.MULTILINE):
        code = textwrap.dedent(block).strip()
        try:
            tree = ast.parse(f"async def example():\n{textwrap.indent(code, '    ')}")
        except SyntaxError:
            continue
        toml = all(isinstance(node, ast.Assign) for node in tree.body[0].body)  # type: ignore[attr-defined]
        if PYTHON.match(code) and not toml:
            found.append(code)
    return found


def shown() -> list[str]:
    pages = [(ROOT / page).read_text("utf-8") for page in PAGES]
    modules = [(ROOT / f"clients/valija/{name}.py").read_text("utf-8") for name in MODULES]
    docstrings = [ast.get_docstring(ast.parse(text)) or "" for text in modules]
    return [block for text in [*pages, *docstrings] for block in blocks(text + "\n")]


def test_every_example_is_type_checked_word_for_word():
    assert len(shown()) >= 8
    for block in shown():
        assert textwrap.indent(block, "    ") in EXAMPLES, block
    assert "mypy tests/examples.py clients/examples/" in (ROOT / "Makefile").read_text("utf-8")


async def test_a_program_is_tested_as_the_page_says(tmp_path):
    stored: list[Any] = []
    await examples.the_readme_tests(tmp_path, REQUEST, lambda *what: stored.append(what))
    ((sender, document),) = stored
    assert (sender, document.case.reference) == ("mx.enlace", REQUEST["case"]["reference"])
    await examples.valija_testing(tmp_path / "other")
    examples.valija_itself()
    examples.valija_itself_with_an_event_loop()


def test_documents_are_written_in_a_program_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mapa.png").write_bytes(b"a map")
    for document in (examples.the_readme_writes_a_request(), examples.the_readme_writes_an_answer()):
        known = documents.type_of(document)
        assert documents.decode(known.type_, documents.encode(document)) == document


@pytest.mark.parametrize("package", [valija, testing])
def test_the_public_names_are_there_explained_and_no_others(package):
    assert sorted(set(package.__all__)) == sorted(package.__all__)
    for name in package.__all__:
        value = getattr(package, name)
        assert getattr(value, "__doc__", None), name
    if package is valija:
        assert dir(valija) == sorted([*valija.__all__, "__version__"])
        # Those that a type checker sees are those that a program finds.
        tree = ast.parse((ROOT / "clients/valija/__init__.py").read_text("utf-8"))
        (block,) = [node for node in tree.body if isinstance(node, ast.If)]
        seen = {alias.name: node.module for node in block.body for alias in node.names}  # type: ignore[attr-defined]
        assert set(seen) == set(valija.__all__)
        for name, module in seen.items():
            assert getattr(importlib.import_module(module), name) is getattr(valija, name)
