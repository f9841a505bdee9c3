"""What is said about a wrong document can be translated: a literal, its values apart, and every one is listed."""

import ast
import string

import pytest
from broken_documents import BROKEN_BY_TYPE

from valija_schemas import documents
from valija_schemas.documents import templates
from valija_schemas.documents.base import PHRASES, Problem

MODULES = list(templates.modules())
LISTED = templates.templates()


def names_in(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_a_rule_says_is_a_literal(module):
    room = module.__name__.split(".")[-2]
    for said in templates.said_in(module):
        plain = isinstance(said, ast.Constant) and isinstance(said.value, str)
        assert plain or (room not in {"forms", "blocks"} and isinstance(said, ast.Name | ast.Attribute | ast.Subscript))


def test_every_template_reads_as_a_sentence_and_names_its_values():
    assert len(LISTED) == len(set(LISTED)) > 100
    for template in set(LISTED) - templates.phrases():
        assert template[0].isupper()
        assert template.endswith((".", "?"))
        assert all(name.isidentifier() for name in names_in(template))


@pytest.mark.parametrize(("rule", "path", "type_", "changes"), BROKEN_BY_TYPE)
def test_what_is_said_is_in_the_list(rule, path, type_, changes, edited):
    with pytest.raises(documents.DocumentError) as caught:
        documents.from_builtins(type_, edited(type_, changes))
    for problem in caught.value.errors:
        assert problem.template in LISTED
        assert names_in(problem.template) == {name for name, _ in problem.values}


def test_a_problem_says_its_values_in_english_and_can_be_kept_in_a_set():
    problem = Problem.of("answers-once", "$.answers[1]", "{b} before {a}: {a}.", {"b": 2, "a": "one"})
    assert problem.values == (("a", "one"), ("b", "2"))
    assert problem.text == "2 before one: one."
    assert str(problem) == "$.answers[1]: 2 before one: one. [answers-once]"
    assert {problem} == {Problem("answers-once", "$.answers[1]", problem.template, problem.values)}


def test_what_a_document_says_is_never_taken_for_a_template(edited):
    with pytest.raises(documents.DocumentError) as caught:
        documents.from_builtins("response/1", edited("response/1", {"$.{0}{rule}{": "{x}"}))
    [problem] = caught.value.errors
    assert "{0}{rule}{" in problem.text
    assert not PHRASES & {name for name, _ in problem.values}
