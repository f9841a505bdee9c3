"""Somebody who knows a document by heart, and answers every question of `valija new` from it."""

import base64
import json
from pathlib import Path

from valija.paper import ask
from valija.paper.form import STEP
from valija.paper.language import words
from valija_schemas import documents

EXAMPLES = Path(__file__).parents[1] / "schemas/examples"
ENGLISH = words("en")
TYPES = documents.types()


def example(type_: str) -> dict:
    return json.loads((EXAMPLES / f"{type_.replace('/', '-')}.json").read_text())


class StoppedError(Exception):
    """The person pressed Ctrl-C."""


class Person:
    """Knows a document by heart and answers every question from it. `asked` are the questions, by their path."""

    def __init__(self, type_: str, knows: dict, folder: Path, *, stops_at: int | None = None, tries=()) -> None:
        self.knows, self.folder, self.stops_at = knows, folder, stops_at
        self.tries = dict(tries)
        self.path, self.asked, self.told = "$", [], []
        self.done: dict[str, int] = {}
        self.values: dict = {}
        self.type_ = type_
        self.kept: str | None = None

    def run(self, at: str | None = None, *, begun: bool = False) -> bool:
        dialogue = ask.Dialogue(
            TYPES[self.type_], self.values, folder=self.folder, words=ENGLISH, terminal=self, keep=self.keep
        )
        return dialogue.run(at, begun=begun)

    def keep(self, path: str) -> None:
        self.path = path
        self.kept = json.dumps(self.values)

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, prompt: str) -> str:
        if self.stops_at == len(self.asked):
            raise StoppedError
        self.asked.append((self.path, prompt))
        if self.path == "$":
            return ""
        if self.path in self.tries and not prompt.startswith("..."):
            return self.tries.pop(self.path)
        return self.answer(prompt)

    def known(self, of: object) -> object:
        value: object = of
        for name, index in STEP.findall(self.path):
            value = value[int(index)] if index else value.get(name)  # type: ignore[index, union-attr]
        return value

    def answer(self, prompt: str) -> str:
        if self.path.endswith("].path") or ("photo" in self.path and self.path.endswith(".path")):
            return self.attach()
        value = self.known(self.knows)
        count = self.done.get(self.path, 0)
        if prompt.startswith("..."):
            lines = value.split("\n")
            self.done[self.path] = count + 1
            return lines[count + 1] if count + 1 < len(lines) else "."
        if "Which kind" in prompt:
            return (value[len(self.known(self.values)) - 1] if isinstance(value, list) else value)["kind"]
        if isinstance(value, dict):
            self.done[self.path] = count + 1
            return "y" if count == 0 else ""
        if isinstance(value, list):
            count = len(self.known(self.values) or ())
            if count >= len(value):
                return ""
            return "y" if isinstance(value[count], dict) else str(value[count])
        if isinstance(value, bool):
            return "y" if value else "n"
        if isinstance(value, str):
            return value.split("\n")[0]
        return "" if value is None else str(value)

    def attach(self) -> str:
        self.path = self.path.removesuffix(".path")
        attached = self.known(self.knows)
        (self.folder / attached["name"]).write_bytes(base64.b64decode(attached["content"]))
        self.path += ".path"
        return attached["name"]
