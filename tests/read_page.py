"""A page as a screen reader, and a strict policy, read it: its text, its tags, and what is wrong with them."""

import itertools
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """`faults` is what is wrong; `forms` has the fields of each form, beside its action."""

    def __init__(self, text):
        super().__init__()
        self.faults, self.open, self.ids, self.refers, self.headings = [], [], [], [], []
        self.text, self.tags, self.forms = "", [], []
        self.feed(text)
        self.faults += [f"left open: {tag}" for tag in self.open]
        self.faults += [f"twice: {id_}" for id_ in {i for i in self.ids if self.ids.count(i) > 1}]
        self.faults += [f"refers to nothing: {id_}" for id_ in self.refers if id_ not in self.ids]
        if self.headings.count(1) != 1:
            self.faults.append("not one h1")
        for before, after in itertools.pairwise(self.headings):
            if after > before + 1:
                self.faults.append(f"h{after} after h{before}")
        if text.count("<table") != text.count("<caption"):
            self.faults.append("a table without a caption")

    def handle_starttag(self, tag, pairs):
        attributes = dict(pairs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        for name in ("aria-labelledby", "aria-describedby"):
            self.refers += attributes.get(name, "").split()
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "style" in attributes or tag == "style" or any(name.startswith("on") for name in attributes):
            self.faults.append(f"inline: {tag} {attributes}")
        if tag == "script" and not attributes.get("src", "").startswith("/static/"):
            self.faults.append("a script of somebody else's")
        if tag == "th" and attributes.get("scope") not in {"col", "row"}:
            self.faults.append("a th without a scope")
        if tag in {"input", "select"} and attributes.get("type") != "hidden" and "label" not in self.open:
            self.faults.append(f"no label: {attributes}")
        if tag in {"a", "link", "img"} and "://" in attributes.get("href", attributes.get("src", "")):
            self.faults.append("another host")
        if tag == "form":
            self.forms.append((attributes["action"], {}))
        if tag == "input" and "form" in self.open:
            self.forms[-1][1][attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"closed without being open: {tag}")

    def handle_data(self, data):
        self.text += data
