"""A form, filled in by asking: one question after the other, each answer judged at once, all of it at the end.

    ?  what may be answered      <  one question back      -  empties the field
    .  leaves the rest of the group empty; ends a text of several lines

Groups are entered and left, lists are filled item by item, a choice of groups begins with the kind. What is typed is in
`values` at once, and `keep` is called with each question before it is asked, so that nothing typed is lost, whatever
becomes of the terminal. The promise: `run` says whether validation takes what was typed; if not, it is a draft.

Before this room: `valija.cli.new`. After it: `answer`, `form`, `file`.
"""

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from valija.paper import answer
from valija.paper import file as files
from valija.paper.answer import AnswerError
from valija.paper.form import code_line, fields_to_write, group_of, meaning
from valija.paper.language import Words
from valija_schemas import documents
from valija_schemas.documents.base import Block, rules_of
from valija_schemas.documents.blocks import Question
from valija_schemas.documents.fields import Field, choice, tag_of

_SHOWN_MAX: Final = 60  #: Characters of an earlier answer that a question shows.

Values = dict[str, Any]


class Terminal(Protocol):
    """Where a person reads and types. `ask` raises what ends the dialogue: an interruption, the end of the input."""

    def tell(self, text: str) -> None:
        """Show a text."""

    def ask(self, prompt: str) -> str:
        """One line that the person types after `prompt`, without its end; empty for Enter alone."""


class Step(enum.Enum):
    """Where to go after a question."""

    NEXT = enum.auto()
    BACK = enum.auto()
    REST = enum.auto()  #: Past all that may be left out in this group.
    DONE = enum.auto()  #: Out of everything: only one question was to be asked.


class Dialogue:
    """Fills in one form."""

    def __init__(
        self,
        type_: documents.DocumentType,
        values: Values,
        *,
        folder: Path,
        words: Words,
        terminal: Terminal,
        keep: Callable[[str], None],
    ) -> None:
        self._type = type_
        self._values = values
        self._folder = folder
        self._words = words
        self._terminal = terminal
        self._keep = keep
        self._trail: list[str] = []  # what the groups around the question are called
        self._sought: str | None = None  # the question to go to; what comes before it is not asked
        self._only = False  # nothing is asked after it either

    def run(self, at: str | None, *, begun: bool) -> bool:
        """Ask everything, or go on at the question `at`, or of what was `begun` only say what is wrong.

        Returns whether the document is valid.
        """
        say = self._words.say
        self._tell(say("Enter skips what may be left out. ? explains, < goes back, - empties, . leaves a group."))
        if at is not None or not begun:
            self._sought = at
            self._group(self._type.struct, self._values, "$")
        return self._review()

    # At the end

    def _review(self) -> bool:
        say = self._words.say
        while True:
            self._keep("$")
            document, flaws = files.validate(self._type.type_, self._values, self._folder, self._words)
            for number, flaw in enumerate(flaws, 1):
                self._tell(f"{number}  {flaw.path.removeprefix('$.')}: {flaw.text}")
            if document is not None:
                self._tell(say("Nothing is wrong: {bytes} bytes.", bytes=len(documents.encode(document))))
                prompt = say("Enter ends. The path of a field, such as case.title, changes it")
            else:
                prompt = say("The number of a fault, or a path such as case.title, corrects it. Enter keeps a draft")
            text = self._terminal.ask(f"{prompt}: ").strip()
            if not text:
                return document is not None
            if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= len(flaws):
                text = flaws[int(text) - 1].path
            self._sought, self._only = text if text.startswith("$") else f"$.{text}", True
            self._group(self._type.struct, self._values, "$")
            if self._sought is not None:
                self._tell(say("{path} is about several fields, or none. Write the path of one.", path=self._sought))
            self._only = False

    # Groups and lists

    def _group(self, block: type[Block], values: Values, path: str) -> Step:
        fields = fields_to_write(block)
        index = 0
        while 0 <= index < len(fields):
            field = fields[index]
            step = self._field(block, field, values, f"{path}.{field.name}")
            if step is Step.DONE:
                return step
            if step is Step.REST and field.at_least and not values.get(field.name):
                self._tell(self._words.say("This may not be left out."))
                continue
            index += -1 if step is Step.BACK else 1
            if step is Step.REST:
                while index < len(fields) and (fields[index].name in values or not fields[index].at_least):
                    index += 1
        return Step.BACK if index < 0 else Step.NEXT

    def _field(self, block: type[Block], field: Field, values: Values, path: str) -> Step:
        if self._sought is None:
            return self._question(block, field, values, path)
        if not _leads(path, self._sought):
            return Step.NEXT
        if path != self._sought and field.groups:
            return self._descend(block, field, values, path)
        self._sought = None
        step = self._question(block, field, values, path)
        return Step.DONE if self._only else step

    def _descend(self, block: type[Block], field: Field, values: Values, path: str) -> Step:
        """On the way to the question that is sought, which is inside this field."""
        inner, sought = values.get(field.name), self._sought or ""
        step = Step.NEXT
        if field.many:
            index = sought.removeprefix(path)[1:].partition("]")[0]
            if isinstance(inner, list) and index.isascii() and index.isdigit() and int(index[:6]) < len(inner):
                if sought == f"{path}[{index}]":
                    self._sought = None
                step = self._item(field, inner[int(index)], f"{path}[{index}]")
        elif isinstance(inner, dict):
            step = self._item(field, inner, path)
        if self._only:
            return Step.DONE
        if self._sought is None and not field.many and step is not Step.BACK:
            return step
        self._sought = None  # nothing is there any more: ask for it
        return self._question(block, field, values, path)

    def _question(self, block: type[Block], field: Field, values: Values, path: str) -> Step:
        self._keep(path)
        if field.groups:
            return self._groups(field, values, path) if field.many else self._one_group(field, values, path)
        return self._list(block, field, values) if field.many else self._value(block, field, values)

    def _one_group(self, field: Field, values: Values, path: str) -> Step:
        say = self._words.say
        while True:
            inner = values.get(field.name)
            there = isinstance(inner, dict) and _whole(field, inner)
            self._keep(path)
            if there or not field.required:
                state = say("filled in: {what}", what=_short(inner)) if there else ""
                self._introduce(field, self._words.help(field), state)
                text = self._ask(say("Change it? y or n") if there else say("Fill it in? y or n"), "n")
                if (step := self._command(text, field, values)) is not None:
                    return step
                if text in {"?", "-"}:
                    continue
                try:
                    if not answer.yes_or_no(text or "n", self._words):
                        return Step.NEXT
                except AnswerError as error:
                    self._tell(str(error))
                    continue
            elif len(field.groups) == 1:
                self._introduce(field, self._words.help(field), "")
            if not isinstance(inner, dict):
                values[field.name] = {}
            step = self._item(field, values[field.name], path)
            if not values[field.name]:
                del values[field.name]
            if step is not Step.BACK or (field.required and not there):
                return step

    def _groups(self, field: Field, values: Values, path: str) -> Step:
        say = self._words.say
        items = values.get(field.name)
        # What was interrupted before its first answer is no item.
        items = [item for item in items if isinstance(item, dict) and item] if isinstance(items, list) else []
        self._put(values, field, items)
        while True:
            self._keep(path)
            self._introduce(field, self._words.help(field), say("{count} so far", count=len(items)))
            for number, item in enumerate(items, 1):
                self._tell(f"    {number}  {_short(item)}")
            text = "y"
            if items or not field.at_least:
                how = say("y adds one, a number changes one, -number removes it, Enter goes on")
                text = self._ask(how if items else say("Add one? y or n"), "n")
            if (step := self._command(text, field, values)) is not None:
                return step
            number = _number(text.removeprefix("-"))
            if text in {"?", "-"}:
                items = values.get(field.name) or []
            elif text.startswith("-") and 1 <= number <= len(items):
                del items[number - 1]
                self._put(values, field, items)
            elif 1 <= number <= len(items):
                self._item(field, items[number - 1], f"{path}[{number - 1}]")
            else:
                try:
                    if not answer.yes_or_no(text or "n", self._words):
                        return Step.NEXT
                except AnswerError as error:
                    self._tell(str(error))
                    continue
                new: Values = {"number": len(items) + 1} if field.groups[0] is Question else {}
                before = dict(new)
                items.append(new)
                self._put(values, field, items)
                step = self._item(field, new, f"{path}[{len(items) - 1}]")
                if new == before:
                    items.pop()
                    self._put(values, field, items)
                if step is Step.BACK and not items and field.at_least:
                    return step

    def _item(self, field: Field, values: Values, path: str) -> Step:
        """Fill in one group of `field`: the kind first, where there are several."""
        group = group_of(field, values.get("kind"))
        if group is None or (len(field.groups) > 1 and self._sought is None):
            step = self._kind(field, values)
            if step is not Step.NEXT:
                return step
            group = choice(field, values["kind"])
        if tag_of(group):
            values["kind"] = tag_of(group)
        self._trail.append(self._words.label(field))
        step = self._group(group, values, path)
        self._trail.pop()
        if step is Step.NEXT:
            self._tell_faults(group, values)
        if step is Step.BACK and values.keys() <= {"kind"}:
            values.clear()
        return step

    def _kind(self, field: Field, values: Values) -> Step:
        say = self._words.say
        tags = [tag_of(group) for group in field.groups]
        while True:
            self._introduce(field, self._words.help(field), "")
            for number, group in enumerate(field.groups, 1):
                self._tell(f"    {number}  {self._words.title(group)}")
            text = self._ask(say("Which kind? Its number"), str(values.get("kind") or ""))
            if text == "<":
                return Step.BACK
            number = _number(text)
            chosen = tags[number - 1] if 1 <= number <= len(tags) else text
            if not text and values.get("kind") in tags:
                return Step.NEXT
            if chosen in tags:
                if chosen != values.get("kind"):
                    values.clear()
                    values["kind"] = chosen
                return Step.NEXT
            self._tell(say("This is none of the codes. Write the number or the code of one."))

    def _tell_faults(self, group: type[Block], values: Values) -> None:
        """What the rules of a group say against it, while its writer still has it in mind; `<` goes back to it."""
        try:
            block = msgspec.convert(values, group)
        except msgspec.ValidationError:
            return  # something is missing, or a file is not attached yet: told at the end
        for name, method in rules_of(group):
            for fault in method(block):
                self._tell(f"! {self._words.problem(documents.Problem.of(name, *fault))}")

    # Single values

    def _value(self, block: type[Block], field: Field, values: Values) -> Step:
        self._explain(block, field)
        while True:
            now = values.get(field.name)
            default = field.default if now is None else now
            text = self._ask("", "" if default is None else _short(default))
            if (step := self._command(text, field, values)) is not None:
                return step
            if text == "?":
                self._explain(block, field)
            elif not text and (now is not None or not field.required):
                return Step.NEXT
            elif not text:
                self._tell(self._words.say("This may not be left out."))
            elif text != "-":
                try:
                    values[field.name] = self._read(block, field, text, values)
                except AnswerError as error:
                    self._tell(str(error))
                else:
                    return Step.NEXT

    def _list(self, block: type[Block], field: Field, values: Values) -> Step:
        say = self._words.say
        self._explain(block, field)
        while True:
            items = values.get(field.name)
            items = list(items) if isinstance(items, list) else []
            how = say("one more, or Enter to go on") if items else say("one at a time")
            text = self._ask(how, _short(items))
            if text == "<" and items:
                self._put(values, field, items[:-1])
                continue
            if (step := self._command(text, field, values)) is not None:
                return step
            if text == "?":
                self._explain(block, field)
            elif not text and len(items) >= field.at_least:
                return Step.NEXT
            elif not text:
                self._tell(say("This may not be left out."))
            elif text != "-":
                try:
                    # Codes are short, and people write them in one line: 1, 3.
                    parts = text.replace(",", " ").split() if field.codes else [text]
                    self._put(values, field, items + [self._read(block, field, part, {}) for part in parts])
                except AnswerError as error:
                    self._tell(str(error))

    def _read(self, block: type[Block], field: Field, text: str, values: Values) -> Any:
        if field.kind == "text":
            lines = [text]
            try:
                while (line := self._terminal.ask("... ")) != ".":
                    lines.append(line)
            except BaseException:
                # Whatever ends the dialogue here, the lines that were typed are in the draft.
                values[field.name] = "\n".join(lines)
                raise
            text = "\n".join(lines)
        return answer.one(block, field, text, self._folder, self._words)

    # What all questions share

    def _command(self, text: str, field: Field, values: Values) -> Step | None:
        """What `<` and `.` do; `?` and `-` ask again."""
        if text == "?":
            self._help(field)
        if text == "-":
            values.pop(field.name, None)
        return {"<": Step.BACK, ".": Step.REST}.get(text)

    def _put(self, values: Values, field: Field, items: list[Any]) -> None:
        if items:
            values[field.name] = items
        else:
            values.pop(field.name, None)

    def _explain(self, block: type[Block], field: Field) -> None:
        self._introduce(field, meaning(block, field, self._words), "")
        for number, code in enumerate(field.codes, 1):
            said = code_line(field, code, self._words)
            self._tell(f"    {said}" if said.startswith(f"{number}:") else f"    {number}  {said}")
        if field.kind == "text":
            self._tell(f"    {self._words.say('Several lines; a line with . alone ends them.')}")

    def _introduce(self, field: Field, meaning: str, state: str) -> None:
        needed = f" ({self._words.say('required')})" if field.at_least else ""
        heading = " > ".join([*self._trail, self._words.label(field)])
        self._tell("")
        self._tell(f"{heading}{needed}. {meaning} {state}".rstrip())

    def _help(self, field: Field) -> None:
        say = self._words.say
        for group in field.groups:
            self._tell(f"    {self._words.title(group)}: {self._words.about(group)}")
        if field.characters_max is not None:
            self._tell(f"    {say('At most {bound} characters.', bound=field.characters_max)}")
        if field.form:
            self._tell(f"    {self._words.form(field)}")
        self._tell(f"    {say('? explains, < goes one question back, - empties the field, . leaves the rest empty.')}")
        self._tell(f"    {say('Ctrl-C stops; what was typed is kept.')}")

    def _ask(self, prompt: str, default: str) -> str:
        shown = f"{prompt} [{default}]" if prompt and default else prompt or (f"[{default}]" if default else "")
        return self._terminal.ask(f"{shown} > ".lstrip()).strip()

    def _tell(self, text: str) -> None:
        self._terminal.tell(text)


def _whole(field: Field, inner: Values) -> bool:
    """Whether a group has all that it may not lack, so that it can be left as it is."""
    group = group_of(field, inner.get("kind"))
    return group is not None and all(each.name in inner for each in fields_to_write(group) if each.at_least)


def _leads(path: str, sought: str) -> bool:
    return sought == path or sought.startswith((f"{path}.", f"{path}["))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0


def _short(value: object) -> str:
    """A value in a few words: of a group its first plain fields."""
    if isinstance(value, Mapping):
        parts = (_short(each) for each in value.values() if each not in (None, [], {}))
        text = ", ".join(part for part in parts if part)
    elif isinstance(value, list | tuple):
        text = "; ".join(map(_short, value))
    elif isinstance(value, bool):
        text = "y" if value else "n"
    else:
        text = str(value).replace("\n", " ")
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."
