"""What a person writes is read as it is meant, with the files that it names, and everything wrong in it is said."""

import base64
import json
import os
from pathlib import Path

import pytest

from valija.errors import DocumentInvalidError
from valija.paper import file
from valija.paper.language import words
from valija_schemas import documents, limits

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
ENGLISH = words("en")
TYPE = "information-request/1"
TOML = """
document = "training-announcement/1"
language = "en"

[send]
to = ["co.enlace"]
"""


def example(type_: str = TYPE) -> dict:
    return json.loads((EXAMPLES / f"{type_.replace('/', '-')}.json").read_text())


def with_file(attached: dict, folder: Path) -> tuple[documents.Document | None, tuple[file.Flaw, ...]]:
    return file.validate(TYPE, example() | {"files": [attached]}, folder, ENGLISH)


def test_a_file_that_is_named_by_its_path_is_attached_whole(tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/order.pdf").write_bytes(b"an order")
    found, flaws = with_file({"path": "papers/order.pdf"}, tmp_path)
    assert flaws == ()
    (attached,) = found.files
    assert attached == type(attached).of("order.pdf", "application/pdf", b"an order")
    # The whole path is taken, too, and what the writer says of the file goes over what its name says.
    told = {"path": str(tmp_path / "papers/order.pdf"), "name": "Order 7.txt", "media_type": "text/plain"}
    found, _ = with_file(told, tmp_path / "elsewhere")
    assert (found.files[0].name, found.files[0].media_type) == ("Order 7.txt", "text/plain")


def test_a_file_is_attached_wherever_a_form_takes_one(tmp_path):
    (tmp_path / "face.png").write_bytes(b"a picture")
    written = example("person-alert/1")
    written["photographs"] = [{"path": "face.png"}]
    written["information"][0]["files"] = [{"path": "face.png"}]
    found, flaws = file.validate("person-alert/1", written, tmp_path, ENGLISH)
    assert flaws == ()
    assert found.photographs == found.information[0].files


def test_no_file_is_read_that_its_writer_did_not_mean(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / "empty.txt").touch()
    (folder / "large.txt").write_bytes(bytes(limits.body_bytes_max + 1))
    (folder / "unknown").write_text("?")
    for written, said in {
        "../secret.txt": "out of the folder",
        "link.txt": "out of the folder",
        "pipe.txt": "not a file",
        ".": "Is a directory",
        "empty.txt": "is empty",
        "absent.txt": "cannot be read: No such file",
        "large.txt": "more than 1048576 bytes",
        "unknown": "Add media_type",
        "a\0b": "as a text",
        7: "as a text",
    }.items():
        found, (flaw,) = with_file({"path": written}, folder)
        assert found is None
        assert said in flaw.text, written
        assert flaw.path.startswith("$.files[0]")
        assert "secret" not in flaw.text.replace("secret.txt", "")


def test_files_that_are_too_large_together_are_refused_before_all_are_read(tmp_path):
    (tmp_path / "half.txt").write_bytes(bytes(limits.body_bytes_max * 2 // 3))
    written = example() | {"files": [{"path": "half.txt"}] * 2}
    _, (flaw,) = file.validate(TYPE, written, tmp_path, ENGLISH)
    assert flaw.path == "$.files[1].path"


def test_what_a_path_stands_for_is_not_written_beside_it(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    content = base64.b64encode(b"b").decode()
    _, flaws = with_file({"path": "a.txt", "content": content, "size": 1}, tmp_path)
    assert {flaw.path for flaw in flaws} == {"$.files[0].content", "$.files[0].size"}


def test_what_stands_beside_the_document_does_not_travel():
    found = file.read("a.toml", TOML.encode(), Path())
    assert found.type_for(None) == "training-announcement/1"
    assert found.send.to == ("co.enlace",)
    assert found.document == {"language": "en"}
    assert found.toml


@pytest.mark.parametrize("name", ["-", "request.txt"])
def test_a_file_without_a_known_ending_is_read_as_it_begins(name):
    assert file.read(name, b'\xef\xbb\xbf {"document": "response/1"}', Path()).type_ == "response/1"
    assert file.read(name, TOML.encode(), Path()).type_ == "training-announcement/1"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.toml", b"language = \xff", "not text in UTF-8"),
        ("a.toml", b"language = 'en'\nlanguage = 'es'", "as TOML"),
        ("a.json", b'{"a": 1, "b": 2, "a": 3}', "a stands twice"),
        ("a.json", b"[" * 100_000, "as JSON"),
        ("a.json", b'{"a": ' * 70 + b"1" + b"}" * 70, "more than 64 deep"),
        ("a.toml", ".".join("a" * 1500).encode() + b" = 1", "more than 64 deep"),
        ("a.toml", b"a = 0x" + b"f" * 9_000, "hundreds of digits"),
        ("a.json", b'{"a": "\\ud800"}', "half a character"),
        ("a.json", b'{"\\ud800": 1}', "half a character"),
        ("a.json", b'{"' + b"a" * 1_000 + b'": 1}', "name of a field"),
        ("a.json", b"[1]", "one document"),
        ("a.json", b'{"document": 7}', "document is not a text"),
        ("a.toml", b"[send]\nprority = 'flash'", "prority"),
        ("a.toml", b"[send]\npriority = 'high'", "priority"),
        ("a.toml", b"send = 7", "send"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(name, data, said):
    with pytest.raises(DocumentInvalidError, match=said):
        file.read(name, data, Path())


@pytest.mark.parametrize("type_", sorted(documents.types()))
def test_the_example_on_the_page_of_a_type_is_a_persons_file_of_it(type_):
    page = (EXAMPLES.parent / "types" / f"{type_.replace('/', '-')}.md").read_text()
    found = file.read("-", page.split("```json\n")[1].split("```")[0].encode(), Path())
    document, _ = file.validate(found.type_for(None), found.document, Path(), ENGLISH)
    assert document == documents.from_builtins(type_, example(type_))


def test_an_unknown_type_is_answered_with_the_nearest():
    with pytest.raises(DocumentInvalidError, match=r"did you mean information-request/1"):
        file.validate("information-requests/1", {}, Path(), ENGLISH)
    with pytest.raises(DocumentInvalidError, match=r"known are .*withdrawal/1"):
        file.validate("x", {}, Path(), ENGLISH)


def test_a_fault_is_told_with_its_line():
    text = TOML + '\n# the case\n[case]\ntitle = """\na\nb"""\nreference = 7\n'
    text += '[[case.offences]]\ncode = "x"\n[[case.offences]]\n'
    found = file.read("a.toml", text.encode(), Path())
    at = text.splitlines().index("[case]") + 1
    lines = {
        "$": 1,
        "$.language": 3,
        "$.case": at,
        "$.case.title": at + 1,
        "$.case.reference": at + 4,
        "$.case.offences[0].code": at + 6,
        "$.case.offences[1]": at + 7,
        "$.case.offences[1].citation": at + 7,
        "$.absent.inner": 1,
    }
    assert {path: found.line_of(path) for path in lines} == lines


def test_a_fault_in_json_is_told_with_its_line():
    text = json.dumps(example(), indent=1, ensure_ascii=False)
    found = file.read("a.json", text.encode(), Path())
    rows = text.splitlines()
    for path, row in {
        "$.case.offences[1].code": '"money-laundering"',
        "$.subjects[1].entity.imo": '"imo": "1234567"',
        "$.questions[2].text": '"text": "¿Qué empresas',
        "$.respond_by": '"respond_by": {',
        "$.files": '"files": []',
    }.items():
        assert row in rows[found.line_of(path) - 1]
    assert '"kind": "vessel"' in rows[found.line_of("$.subjects[1].entity.absent")]


@pytest.mark.parametrize("type_", sorted(documents.types()))
def test_every_line_of_every_example_is_found(type_):
    text = json.dumps(example(type_), indent=1)
    found = file.read("a.json", text.encode(), Path())

    def walk(value, path):
        yield path, value
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in inner:
            yield from walk(each, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}")

    from valija.paper import lines

    known = lines.lines_of_json(text)
    rows = text.splitlines()
    for path, value in walk(example(type_), "$"):
        assert path in known
        if isinstance(value, str | int | None):
            assert json.dumps(value) in rows[known[path] - 1]
    assert found.line_of("$") == 1


def test_a_hostile_file_is_answered_in_a_time_that_grows_with_its_length_alone():
    many = 30_000
    twice = "{" + ",".join(f'"k{index}": 1' for index in range(many)) + ',"k7": 1}'
    with pytest.raises(DocumentInvalidError, match="k7 stands twice"):
        file.read("a.json", twice.encode(), Path())
    found = file.read("a.json", ("{" + ",\n".join(f'"k{index}": 1' for index in range(many)) + "}").encode(), Path())
    # Read once more for each fault, this would take minutes.
    assert [found.line_of(f"$.k{index}") for index in range(many)] == list(range(1, many + 1))


def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "loop.pdf").symlink_to("loop.pdf")
    found, (flaw,) = with_file({"path": "loop.pdf"}, tmp_path)
    assert found is None
    assert "loop.pdf cannot be read" in flaw.text
