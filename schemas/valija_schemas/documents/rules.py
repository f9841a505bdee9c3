"""The walk through a document that asks every block and every checked text whether it keeps its rules.

It says yes or no, and no at the first fault: nearly every document keeps all rules, and then nobody waits for words.
What is wrong with one that does not is what `faults` finds.

Before this room: the shape has been read by msgspec, so that every field has its type. After it: the document is
sealed, or shown to the officer who opens it.
"""

from valija_schemas.documents.base import Block
from valija_schemas.documents.plan import walk_of


def kept(block: Block) -> bool:
    """Whether `block`, and every block inside it, keeps every rule."""
    walk = walk_of(type(block))
    for rule in walk.rules:
        for _ in rule(block):
            return False
    for text_of, holds in walk.checked:
        text = text_of(block)
        if text is not None and not holds(text):
            return False
    for texts_of, holds in walk.checked_lists:
        for text in texts_of(block):
            if not holds(text):
                return False
    for inner_of in walk.blocks:
        inner = inner_of(block)
        if inner is not None and not kept(inner):
            return False
    for inners_of in walk.block_lists:
        for inner in inners_of(block):
            if not kept(inner):
                return False
    return True
