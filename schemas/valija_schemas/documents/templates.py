"""What can be said about a wrong document, for those who translate it.

Every problem is a template, a literal beside the rule that it speaks of, and values for its {names}. The templates are
found in the sources, so that none is missed. Only the making of a catalog comes here, never the reading of a document.

Before this room: `make words`. After it: nothing.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from valija_schemas import documents
from valija_schemas.documents import words


def templates() -> tuple[str, ...]:
    """Every template of every rule, check and fault of shape, and every phrase of ours that fills one; sorted."""
    found = {node.value for module in modules() for node in said_in(module) if isinstance(node, ast.Constant)}
    return tuple(sorted({*map(str, found), *words.SIZES.values(), *phrases()}))


def phrases() -> frozenset[str]:
    """The phrases of ours that fill a template (`base.PHRASES`), but for the forms of fields, which `fields` has."""
    return frozenset({*words.KINDS.values(), *words.OR_NOTHING.values()})


def modules() -> Iterator[ModuleType]:
    """Every module of this room."""
    for found in pkgutil.walk_packages(documents.__path__, f"{documents.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)
    yield documents


def said_in(module: ModuleType) -> Iterator[ast.expr]:
    """Each expression in `module` that stands where a template is wanted."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        match node:
            case ast.Yield(value=ast.Tuple(elts=[_, said, *_])) if module.__name__.split(".")[-2] in {
                "forms",
                "blocks",
            }:
                yield said
            case ast.Call(func=ast.Attribute(value=ast.Name(id="Problem"), attr="of"), args=[_, _, said, *_]):
                yield said
            case ast.Call(func=ast.Name(id="Check"), keywords=keywords):
                yield from (word.value for word in keywords if word.arg == "text")
            case _:
                pass
