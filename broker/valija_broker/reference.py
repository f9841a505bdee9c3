"""The reference page of an OpenAPI document: one HTML file and one stylesheet, for a browser without a network.

No script, no inline style, nothing from another host: the page stands under a Content-Security-Policy of
`default-src 'none'; style-src 'self'`. Headings, lists and captioned tables, so that it can be read by ear.

Before this room: `openapi`. After it: nothing.
"""

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

STYLE: Final = """\
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
a.skip { position: absolute; left: -99rem; }
a.skip:focus { position: static; }
:focus-visible { outline: 3px solid; outline-offset: 2px; }
a { color: inherit; }
section.operation { border-top: 1px solid; margin-top: 2rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; font-weight: bold; padding: 0.5rem 0; }
th, td { border: 1px solid; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; }
pre { overflow-x: auto; border: 1px solid; padding: 0.5rem; }
code { overflow-wrap: anywhere; }
"""


def page(document: dict[str, Any]) -> str:
    """The page, in HTML."""
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    contents, parts = [], []
    for tag in (tag["name"] for tag in document["tags"]):
        of_tag = [found for found in operations if tag in found[2]["tags"]]
        links = "".join(
            f'<li><a href="#{o["operationId"]}">{_title(p, m)}</a>: {_words(o["summary"])}</li>' for p, m, o in of_tag
        )
        contents.append(f"<li>{escape(tag)}<ul>{links}</ul></li>")
        parts += [f"<h2>{escape(tag)}</h2>", *(_operation(*found, document) for found in of_tag)]
    title = escape(document["info"]["title"])
    schemas = document["components"]["schemas"]
    security = document["components"]["securitySchemes"]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{title}</title><link rel="stylesheet" href="reference.css"></head>',
            '<body><a class="skip" href="#main">To the operations</a>',
            f"<header><h1>{title}</h1>",
            *(f"<p>{_words(part)}</p>" for part in document["info"]["description"].split("\n\n")),
            "</header>",
            f'<nav aria-label="Contents"><ul>{"".join(contents)}',
            '<li><a href="#who">Who asks</a></li><li><a href="#shapes">Shapes</a></li></ul></nav>',
            '<main id="main">',
            *parts,
            '<h2 id="who">Who asks</h2>',
            *(
                f'<h3 id="by-{name}">By {name}</h3><p>{_words(scheme["description"])}</p>'
                for name, scheme in security.items()
            ),
            '<h2 id="shapes">Shapes</h2>',
            *(_shape(name, schema) for name, schema in schemas.items()),
            "</main></body></html>\n",
        ]
    )


def _operation(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    id_ = operation["operationId"]
    parts = [
        f'<section class="operation" aria-labelledby="{id_}"><h3 id="{id_}">{_title(path, method)}</h3>',
        f"<p>{_words(operation['summary'])}. {_words(operation['description'])}</p>",
        f"<p>{_asked(operation)}</p>",
    ]
    parameters = [parameter for parameter in operation.get("parameters", ()) if "$ref" not in parameter]
    if parameters:
        parts.append(
            _table(
                f"Parameters of {id_}",
                ("name", "in", "form", "meaning"),
                [
                    (f"<code>{escape(p['name'])}</code>", p["in"], _form(p["schema"]), _words(p["description"]))
                    for p in parameters
                ],
            )
        )
    if "requestBody" in operation:
        parts.append(f"<h4>Request</h4><p>{_words(operation['requestBody']['description'])}</p>")
        parts += _contents(operation["requestBody"]["content"])
    refusals = []
    for status, answer in operation["responses"].items():
        if int(status) < 400:
            parts.append(f"<h4>Answer {status}</h4><p>{_words(answer['description'])}</p>")
            parts += _contents(answer["content"])
            continue
        for codes in answer["content"].values():
            for code in codes["examples"]:
                about = document["components"]["examples"][code]
                refusals.append(
                    (status, f"<code>{code}</code>", escape(about["summary"]), _words(about["description"]))
                )
    parts.append(_table(f"Refusals of {id_}", ("status", "code", "what", "what to do"), refusals))
    return "\n".join([*parts, "</section>"])


def _asked(operation: dict[str, Any]) -> str:
    """How a request for it says who asks."""
    ways = [f'<a href="#by-{name}">{name}</a>' for scheme in operation["security"] for name in scheme]
    return f"Who asks is shown by {' or '.join(ways)}." if ways else "Who asks need not be shown by the request."


def _contents(content: dict[str, Any]) -> list[str]:
    parts = []
    for media, found in content.items():
        form = _form(found["schema"]) if "schema" in found else "raw bytes"
        parts.append(f"<p><code>{escape(media)}</code>: {form}</p>")
        for example in found.get("examples", {}).values():
            if "externalValue" in example:
                link = escape(example["externalValue"])
                parts.append(f'<p>Example: <a href="{link}">{link}</a></p>')
            else:
                value = example["value"]
                text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
                parts.append(f'<p>Example:</p><pre tabindex="0"><code>{escape(text)}</code></pre>')
    return parts


def _shape(name: str, schema: dict[str, Any]) -> str:
    rows = [
        (f"<code>{escape(field)}</code>", _form(found), _words(found.get("description", "")))
        for field, found in schema["properties"].items()
    ]
    heading = f'<h3 id="shape-{name}">{name}</h3><p>{_words(schema.get("description", ""))}</p>'
    return heading + _table(f"Fields of {name}", ("field", "form", "meaning"), rows)


def _form(schema: dict[str, Any]) -> str:
    """What a schema asks for, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f'<a href="#shape-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_form(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if "additionalProperties" in schema:
        return f"an object: each value is {_form(schema['additionalProperties'])}"
    if "prefixItems" in schema:
        return f"a list of {len(schema['prefixItems'])}: {', '.join(_form(one) for one in schema['prefixItems'])}"
    if schema["type"] == "array":
        return f"a list{_range(schema, 'minItems', 'maxItems')} of {_form(schema['items'])}"
    if schema.get("format") == "binary":
        return f"bytes{_range(schema, 'minLength', 'maxLength')}"
    if "pattern" in schema:
        return f"a string <code>{escape(schema['pattern'])}</code>"
    words = {
        "integer": "a number",
        "boolean": "true or false",
        "null": "nil",
        "string": "a string",
        "number": "a number",
    }
    return words[schema["type"]] + _range(schema, "minimum", "maximum")


def _range(schema: dict[str, Any], least: str, most: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    if low == high:
        return f" ({low})"
    return f" ({low or 0} to {high})" if high is not None else f" ({low} or more)"


def _table(caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    name = escape(caption)
    return (
        f'<div class="wide" role="region" aria-label="{name}" tabindex="0"><table><caption>{name}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _title(path: str, method: str) -> str:
    return f"<code>{method.upper()} {escape(path)}</code>"


def _words(text: str) -> str:
    """Text in which what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
