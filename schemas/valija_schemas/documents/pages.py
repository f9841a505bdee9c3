"""The pages for people: of each type every field in order, what it means, how it is written, its codes and rules.

Made from the Structs by `make schemas`, so that a page cannot say what the software does not do. A page holds all the
groups of its type and can be printed alone.

Before this room: `fields`, `base`. After it: schemas/types.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from valija_schemas.documents import fields
from valija_schemas.documents.base import Block, DocumentType, rules_of
from valija_schemas.documents.fields import Field, fields_of, tag_of, title_of
from valija_schemas.documents.plan import checks_of

_INDEX: Final = """\
# The document types, for people

Made from the Structs in `valija_schemas.documents` by `make schemas`; do not edit them. Each page has every field of a
type in order. `valija new` asks for them, `valija check` says what is wrong, and
[clients/README.md](../../clients/README.md), section 2, tells how a file with a document is written. JSON Schemas, for
programs, are in [schemas/json](../json/README.md).

| type | what it is | areas | source | answered by |
| --- | --- | --- | --- | --- |
{rows}
"""


def page_name(type_: DocumentType) -> str:
    """The file in schemas/types that explains `type_`."""
    return f"{type_.name}-{type_.version}.md"


def published(types: Mapping[str, DocumentType], examples: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Every file of schemas/types, by name. `examples` has a document of each type, as a JSON reader returns it."""
    rows = (
        f"| [{type_.type_}]({page_name(type_)}) | {_cell(fields.about(type_.struct).split(chr(10))[0])} | "
        f"{', '.join(type_.areas)} | {type_.source} | {_answers(type_)} |"
        for type_ in types.values()
    )
    pages = {page_name(type_): page(type_, examples[name]) for name, type_ in types.items()}
    return pages | {"README.md": _INDEX.format(rows="\n".join(rows))}


def page(type_: DocumentType, example: Mapping[str, Any]) -> str:
    """The page of `type_`, in Markdown."""
    return "\n".join(_page(type_, example)) + "\n"


def _page(type_: DocumentType, example: Mapping[str, Any]) -> Iterator[str]:
    places = _places(type_.struct)
    yield f"# {title_of(type_)}"
    yield ""
    yield f"`{type_.type_}`. {fields.about(type_.struct)}"
    yield ""
    yield f"- Source: {type_.source}"
    yield f"- Areas: {', '.join(type_.areas)}"
    yield f"- Answered by: {_answers(type_)}"
    yield f"- For programs: [JSON Schema](../json/{type_.name}-{type_.version}.json)"
    yield ""
    yield "## Fields"
    yield ""
    yield from _table(type_.struct)
    for block, where in places.items():
        yield ""
        yield f"## {title_of(block)}"
        yield ""
        yield f"At {', '.join(f'`{place}`' for place in where)}."
        if tag := tag_of(block):
            yield f"Its `kind` is `{tag}`."
        yield ""
        yield fields.about(block)
        yield ""
        yield from _table(block)
    yield ""
    yield "## Example"
    yield ""
    yield "As a person's file, without the fields that are empty."
    yield ""
    yield "```json"
    yield json.dumps({"document": type_.type_} | _without_empty(example), indent=2, ensure_ascii=False)
    yield "```"


def _table(block: type[Block]) -> Iterator[str]:
    checks = dict(checks_of(block))
    yield "| field | what it means | needed | how to write it |"
    yield "| --- | --- | --- | --- |"
    for field in fields_of(block):
        needed = "yes" if field.at_least else "no"
        check = f" Checked: `{checks[field.name].rule}`." if field.name in checks else ""
        meaning = f"**{field.label}.** {field.help}".strip()
        yield f"| `{field.name}` | {_cell(meaning)} | {needed} | {_cell(_form(field) + check)} |"
    if rules := rules_of(block):
        yield ""
        for name, method in rules:
            yield f"- {' '.join((method.__doc__ or '').split())} (`{name}`)"


def _form(field: Field) -> str:
    """How `field` is written, in a sentence or two."""
    what = {
        "code": "one of: " + "<br>".join(["", *(_code(field, code) for code in field.codes)]),
        "yes-no": "true or false",
        "number": _number(field),
        "group": "the group " + _links(field),
        "choice": "one of the groups " + _links(field),
    }.get(field.kind, field.form or "text")
    if field.many:
        what = f"a list of at least {field.at_least}, each: {what}" if field.at_least else f"a list, each: {what}"
    if not field.required and field.default not in (None, ()):
        what += f"; left out, it is `{field.default}`"
    return what[:1].upper() + what[1:] + ("" if field.codes else ".")


def _number(field: Field) -> str:
    if "from" in field.form:
        return field.form
    bounds = [f"from {field.least}"] if field.least is not None else []
    bounds += [f"to {field.most}"] if field.most is not None else []
    return " ".join([field.form or "a whole number", *bounds])


def _code(field: Field, code: str) -> str:
    said = fields.code_label(field.name, code).removeprefix(f"{code}: ")
    return f"`{code}` {said}" if said != code else f"`{code}`"


def _links(field: Field) -> str:
    return ", ".join(f"[{title_of(group)}](#{title_of(group).lower().replace(' ', '-')})" for group in field.groups)


def _places(struct: type[Block]) -> dict[type[Block], list[str]]:
    """The groups that can stand in `struct`, in order, and where each does."""
    places: dict[type[Block], list[str]] = {}

    def walk(block: type[Block], path: str) -> None:
        for field in fields_of(block):
            for group in field.groups:
                place = f"{path}{field.name}{'[]' if field.many else ''}"
                places.setdefault(group, []).append(place)
                walk(group, f"{place}.")

    walk(struct, "")
    return places


def _answers(type_: DocumentType) -> str:
    return ", ".join(f"[{reply}]({reply.replace('/', '-')}.md)" for reply in type_.replies) or "-"


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_empty(inner) for name, inner in value.items() if inner not in (None, [])}
    return [_without_empty(inner) for inner in value] if isinstance(value, list) else value


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
