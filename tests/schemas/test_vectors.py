"""The vectors of schemas/vectors: each means to our decoders what it says, and the files are the generator's."""

import json
from pathlib import Path

import pytest

from vectors import field, judge, made_files, shape

SCHEMAS = Path(__file__).parents[2] / "schemas"
FILES = sorted(shape.FOLDER.glob("*.json"))


def outcome(vector: shape.Vector) -> tuple[str, str, str | None]:
    expect, output = judge.judge(vector)
    return vector.id, expect, output if vector.output is not None else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_vector_means_to_us_what_it_says(path: Path) -> None:
    vectors = shape.read(path.read_bytes())
    assert vectors
    assert [outcome(vector) for vector in vectors] == [(v.id, v.expect, v.output) for v in vectors]


def test_the_files_are_what_the_generator_writes() -> None:
    assert {path.name: path.read_bytes() for path in FILES} == made_files.make(field.Recorded())


def test_every_outcome_class_of_every_reader_has_a_vector() -> None:
    met = {(vector.read, vector.expect) for vector in shape.read_all()}
    assert met == {(name, expect) for name, reader in shape.READS.items() for expect in {"accept", *reader.refusals}}


def test_spec_names_every_outcome_class_and_the_readme_every_reader_with_its_inputs() -> None:
    spec = (SCHEMAS / "SPEC.md").read_text("utf-8")
    table = spec.partition("### 6.1 ")[2].partition("## 7 ")[0]
    problems = spec.partition("### 3.4 ")[2].partition("## 4 ")[0]
    readme = (shape.FOLDER / "README.md").read_text("utf-8")
    for name, reader in shape.READS.items():
        for expect in reader.refusals:
            assert f"`{expect}`" in table or f"| `{expect}` |" in problems, expect
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}` |")]
        inputs = row.split(" | ")[1].replace("chain", "`origin`, `anchor`, `held`")
        assert set(inputs.split("`")[1::2]) == reader.inputs.keys(), name


GOOD = {
    "format": shape.FORMAT,
    "topic": "sample",
    "groups": [
        {
            "read": "erasure",
            "given": {"origin": "exchange.example"},
            "cases": [
                {
                    "id": "sample",
                    "stops": "A sentence.",
                    "spec": "1.2",
                    "input": {"data": ["a", {"base64": "Yg=="}, {"repeat": "c", "times": 3}]},
                    "expect": "refused",
                    "provenance": "here",
                }
            ],
        }
    ],
}


def test_a_vector_file_spells_bytes_in_four_ways() -> None:
    (vector,) = shape.read(json.dumps(GOOD).encode())
    assert vector.inputs == {"origin": "exchange.example", "data": b"abccc"}
    for data in (b"", b"plain", b"\xff", "ñ\n".encode(), b"x" * 5_000, b"a" + b" " * 1_000 + b"\0" + b"b" * 1_000):
        assert shape.read_bytes(shape.spell(data)) == data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"topic"', '"x": 1, "topic"'),
        ('"read"', '"x": 1, "read"'),
        ('"id"', '"x": 1, "id"'),
        ("vectors/v1", "vectors/v2"),
        ('"read": "erasure"', '"read": "eraser"'),
        ('"expect": "refused"', '"expect": "invalid"'),
        ('"expect": "refused"', '"expect": "unwitnessed"'),
        ('"expect": "refused"', '"expect": "refused", "output": "x"'),
        ('"data"', '"datum"'),
        ('"data"', '"now": 1, "data"'),
        ('{"base64": "Yg=="}', '{"base64": "Yg==", "x": 1}'),
        ('{"base64": "Yg=="}', '{"hex": "62"}'),
        ('{"base64": "Yg=="}', "1"),
        ('"given": {"origin": "exchange.example"}', '"given": {"origin": 1}'),
        ('"stops": "A sentence."', '"stops": ""'),
        ('"provenance": "here"', '"provenance": ""'),
    ],
)
def test_a_vector_file_with_anything_unknown_is_refused(old: str, new: str) -> None:
    text = json.dumps(GOOD)
    assert old in text
    with pytest.raises(shape.VectorError):
        shape.read(text.replace(old, new).encode())


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(GOOD))
    with pytest.raises(shape.VectorError, match="twice"):
        list(shape.read_all(tmp_path))
