"""An outline as one file for a browser and for paper: no script, nothing fetched, readable on a telephone.

Every text is escaped where it is put in (`_element`), and the policy in the file's head lets a browser run and fetch
nothing even if one were not. Photographs stand in the file only if they are what they say, PNG or JPEG, and of a size
that a browser can open. On paper each page repeats what must not be overlooked.

Before this room: `outline`. After it: `pictures`, `safe`.
"""

import base64
import hashlib
import html
from typing import Final

from valija.paper import pictures
from valija.paper.language import Words
from valija.paper.outline import Attached, Group, Item, Notice, Outline, Row, Table
from valija_schemas.printable import printable

_CSS: Final = """
@page { margin: 18mm 15mm; @bottom-right { content: counter(page) " / " counter(pages); font: 9pt sans-serif } }
* { box-sizing: border-box }
body { margin: 0; color: #1a1a1a; background: #fff; font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere }
.running { padding: .4rem 1rem; background: #1f2a44; color: #fff; font-size: .9rem; font-weight: 600 }
.running.exercise { background: #8a3b00 }
.head { position: sticky; top: 0 }
main { max-width: 52rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem; margin: .5rem 0 }
h2 { font-size: 1.25rem; border-bottom: 2px solid #1f2a44; margin: 1.5rem 0 .5rem }
h3, h4, h5, h6 { font-size: 1rem; margin: 1rem 0 .3rem }
section section { padding-left: .8rem; border-left: 2px solid #c9cedb }
p.notice { margin: .3rem 0; padding: .5rem .8rem; border-left: .4rem solid #1f5c2e; background: #eef6ef }
p.warning { border-color: #8a6100; background: #fdf6e3 }
p.alarm { border-color: #a11212; background: #fdecec; font-weight: 600 }
.mark { border: 1px solid #1f2a44; padding: 0 .3rem; font-weight: 600 }
div.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .2rem 0 }
th, td { text-align: start; vertical-align: top; padding: .25rem .5rem; border-bottom: 1px solid #c9cedb }
th { font-weight: 600; color: #3d4660 }
thead th { overflow-wrap: break-word }
table.rows th { width: 13rem }
td p { margin: 0 0 .3rem; white-space: pre-wrap }
img { display: block; max-width: 100%; max-height: 20rem; margin: .3rem 0 }
@media (max-width: 34rem) {
  table.rows, table.rows tbody, table.rows tr, table.rows th, table.rows td { display: block; width: auto }
  table.rows th { border: 0; padding-bottom: 0 }
}
@media print {
  body { font-size: 10.5pt }
  .page { display: table; width: 100% }
  .head { position: static; display: table-header-group }
  .foot { display: table-footer-group }
  .running, .running.exercise { background: none; color: #000; border-bottom: 1px solid #000 }
  main { max-width: none; padding: .5rem 0 }
  h2, h3, h4, h5, h6 { break-after: avoid }
  tr, img, p.notice { break-inside: avoid }
  thead { display: table-header-group }
}
"""
_POLICY: Final = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()}'"
)
_VOID: Final = frozenset({"meta", "img"})


class _Markup(str):
    """Text that is HTML already; only `_element` makes it."""

    __slots__ = ()


def render(outline: Outline, words: Words) -> str:
    """The file."""
    running = _running(outline)
    body = _element(
        "main",
        _element("h1", outline.title),
        *map(_notice, outline.notices),
        *(_group(group, 2, outline.written_in, words) for group in outline.groups),
    )
    head = _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        _element("meta", name="referrer", content="no-referrer"),
        _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _element("title", " · ".join(outline.running)),
        _Markup(f"<style>{_CSS}</style>"),
    )
    page = _element(
        "body",
        _element(
            "div", _element("div", running, class_="head"), body, _element("div", running, class_="foot"), class_="page"
        ),
    )
    return f"<!DOCTYPE html>\n{_element('html', head, page, lang=outline.language)}\n"


def _running(outline: Outline) -> _Markup:
    exercise = " exercise" if outline.exercise else ""
    return _element("div", " · ".join(outline.running), class_=f"running{exercise}")


def _notice(notice: Notice) -> _Markup:
    return _element("p", notice.text, class_=f"notice {notice.weight}")


def _group(group: Group, level: int, written_in: str | None, words: Words) -> _Markup:
    heading = [group.title]
    if group.mark:
        heading += [" ", _element("span", group.mark, class_="mark")]
    parts = [_element(f"h{min(level, 6)}", *heading)]
    rows: list[_Markup] = []
    for item in group.items:
        if isinstance(item, Row):
            rows.append(_row(item, written_in))
            continue
        parts += _gathered(rows)
        parts.append(_block(item, level + 1, written_in, words))
    parts += _gathered(rows)
    return _element("section", *parts)


def _gathered(rows: list[_Markup]) -> list[_Markup]:
    """The rows up to here as one table."""
    made = [_element("table", _element("tbody", *rows), class_="rows")] if rows else []
    rows.clear()
    return made


def _block(item: Item, level: int, written_in: str | None, words: Words) -> _Markup:
    match item:
        case Table():
            return _table(item, level, written_in)
        case Attached():
            return _attached(item, level, written_in, words)
        case Group():
            return _group(item, level, written_in, words)
        case Row():
            raise AssertionError  # pragma: no cover - rows are gathered


def _row(row: Row, written_in: str | None) -> _Markup:
    return _element("tr", _element("th", row.label, scope="row"), _cell(row, written_in))


def _cell(row: Row, written_in: str | None) -> _Markup:
    # `dir` also keeps a name that is read from right to left from turning what stands beside it.
    values = [_element("p", value, dir="auto") for value in row.values]
    return _element("td", *values, lang="" if row.own else written_in or "")


def _table(table: Table, level: int, written_in: str | None) -> _Markup:
    head = _element("tr", *(_element("th", column, scope="col") for column in table.columns))
    rows = [_element("tr", *(_cell(cell, written_in) for cell in row)) for row in table.rows]
    whole = _element("table", _element("thead", head), _element("tbody", *rows))
    return _element("section", _element(f"h{min(level, 6)}", table.title), _element("div", whole, class_="wide"))


def _attached(file: Attached, level: int, written_in: str | None, words: Words) -> _Markup:
    rows = _element("table", _element("tbody", *(_row(row, written_in) for row in file.rows)), class_="rows")
    heading = _element(f"h{min(level, 6)}", f"{file.number}. ", _element("bdi", file.name))
    kind = pictures.shown_as(file.content)
    if kind is None or kind != file.media_type:
        return _element("section", heading, rows)
    source = f"data:{kind};base64,{base64.b64encode(file.content).decode()}"
    picture = _element("img", src=source, alt=words.say("Photograph {name}", name=file.name))
    return _element("section", heading, picture, rows)


def _element(tag: str, /, *children: str, **attributes: str) -> _Markup:
    """An element; every child that is not one, and every attribute, is escaped. Empty attributes are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"' for key, value in attributes.items() if value
    )
    if tag in _VOID:
        return _Markup(f"<{tag}{given}>")
    inner = "".join(child if isinstance(child, _Markup) else _escaped(child) for child in children)
    return _Markup(f"<{tag}{given}>{inner}</{tag}>")


def _escaped(text: str) -> str:
    return html.escape(printable(text))
