"""What officers see before they sign: everything that a version changes, in the words of `diff` and `sign` alike."""

import base64
from typing import Any

import msgspec
import pytest

from valija.registry.sample import SampleExchange, sample_exchange
from valija_schemas import changes
from valija_schemas.agreements import Bilateral, Treaty
from valija_schemas.directory import ContactPoint, Directory, Officer, Operator, Route, Witness

replace = msgspec.structs.replace
NOTHING = ["It changes nothing but the dates."]
HEX = "ab" * 32


@pytest.fixture(scope="module")
def exchange() -> SampleExchange:
    return sample_exchange()


def other(value: Any, field: str) -> Any:
    """Another value for a field, as far from a coincidence as a type allows."""
    match field, value:
        case "key", str() if len(value) > 64:
            return base64.b64encode(bytes(1216)).decode()
        case "key", _:
            return HEX
        case "status", _:
            return "revoked" if value == "active" else "active"
        case "ended", _:
            return 60_000
        case ("state", _) | ("organisation", str()):
            return "ZZ"
        case "organisation", None:
            return "OAS"
        case "area" | "sender" | "recipient", _:
            return "political"
        case _, int():
            return value + 1
        case _, str():
            return value + "x"
    raise AssertionError(field)


def test_every_field_of_a_contact_point_that_changes_is_shown(exchange):
    book = exchange.phonebook.directory
    point = book.contact_points[0]

    def shown(changed: ContactPoint) -> list[str]:
        after = replace(book, contact_points=(changed, *book.contact_points[1:]))
        assert book != after
        return changes.changes(book, after)

    fields = [field for field in ContactPoint.__struct_fields__ if field not in {"id", "sign", "seal", "auth"}]
    for field in fields:
        value = "suspended" if field == "status" else other(getattr(point, field), field)
        lines = shown(replace(point, **{field: value}))
        assert any(f"{point.id}: {field} " in line for line in lines), field
    for use in ("sign", "seal", "auth"):
        (key,) = getattr(point, use)
        for field in type(key).__struct_fields__:
            changed = replace(key, **{field: other(getattr(key, field), field)})
            assert shown(replace(point, **{use: (changed,)})) != NOTHING
        more = replace(key, key=other(key.key, "key"))
        assert shown(replace(point, **{use: (key, more)})) != NOTHING
        before = replace(book, contact_points=(replace(point, **{use: (key, more)}),))
        after = replace(book, contact_points=(replace(point, **{use: (more, key)}),))
        assert any("another order" in line for line in changes.changes(before, after)), "the first one is sealed for"


def test_contact_points_and_routes_that_come_or_go_are_shown(exchange):
    book = exchange.phonebook.directory
    fewer = replace(book, contact_points=book.contact_points[1:], routes=book.routes[1:], root=2)
    gone = changes.changes(book, fewer)
    assert f"- contact point {book.contact_points[0].id} is removed" in gone
    assert "~ root 1 becomes root 2" in gone
    back = changes.changes(fewer, book)
    assert any(line.startswith(f"+ contact point {book.contact_points[0].id} ") for line in back)
    assert len([line for line in gone + back if " route " in line]) == 2
    assert changes.changes(book, book) == NOTHING
    assert set(Directory.__struct_fields__) == {
        "version", "issued", "expires", "root", "previous", "contact_points", "routes", "treaties", "bilateral",
    }, "a new field must be shown"  # fmt: skip
    assert set(Route.__struct_fields__) == {"type", "sender", "recipient"}


def test_every_field_of_a_treaty_or_bilateral_type_that_changes_is_shown(exchange):
    treaty = Treaty(state="MX", instrument="untoc", party=True, since="2003-09-29", source="UNTC", read="2026-11-02")
    agreed = Bilateral(type="x-vehicle-report/1", between=("ca.liaison", "mx.enlace"), schema=HEX)
    book = replace(exchange.phonebook.directory, treaties=(treaty,), bilateral=(agreed,))
    changed = {
        "treaties": [
            {"state": "PE"}, {"instrument": "cifta"}, {"party": False, "since": None}, {"since": "2003-10-01"},
            {"source": "Gazette"}, {"read": "2026-11-03"},
        ],
        "bilateral": [{"type": "x-other/1"}, {"between": ("co.enlace", "mx.enlace")}, {"schema": "cd" * 32}],
    }  # fmt: skip
    for field, each in changed.items():
        (entry,) = getattr(book, field)
        assert {name for change in each for name in change} == set(type(entry).__struct_fields__)
        for change in each:
            after = replace(book, **{field: (replace(entry, **change),)})
            lines = changes.changes(book, after)
            told = [value if isinstance(value, str) else " and ".join(value) for value in change.values() if value]
            assert lines != NOTHING
            assert all(value in "\n".join(lines) for value in told), change
        assert any(line.startswith("- ") for line in changes.changes(book, replace(book, **{field: ()})))
        assert any(line.startswith("+ ") for line in changes.changes(replace(book, **{field: ()}), book))
    assert changes.changes(book, book) == NOTHING


def test_every_field_of_a_root_that_changes_is_shown(exchange):
    root = replace(exchange.root, witnesses=(Witness(name="w", key=HEX),))
    hex2 = "cd" * 32
    changed = {
        "officers": [
            root.officers[1:],
            (*root.officers, Officer(id="officer.z", organisation="z", key=hex2)),
            *((replace(root.officers[0], **{field: other("x", field)}), *root.officers[1:])
              for field in Officer.__struct_fields__),
        ],
        "threshold": [replace(root.threshold, keys=3), replace(root.threshold, organisations=1)],
        "operators": [
            (),
            (Operator(id="operator.z", roles=("operator",), key=hex2), *root.operators),
            (replace(root.operators[0], roles=("observer", "operator")), *root.operators[1:]),
        ],
        "broker": [
            replace(root.broker, evidence=(hex2, *root.broker.evidence)),
            replace(root.broker, freshness=hex2),
            replace(root.broker, log=hex2),
            replace(root.broker, log_ml_dsa="00" * 1312),
        ],
        "witnesses": [(), (Witness(name="w2", key=HEX),), (Witness(name="w", key=hex2),)],
        "quorum": [1],
    }  # fmt: skip
    assert {*changed, "version", "issued", "expires"} == set(type(root).__struct_fields__), "a new field must be shown"
    for field, values in changed.items():
        for value in values:
            assert changes.changes(root, replace(root, **{field: value})) != NOTHING, (field, value)


def test_diff_says_what_sign_says(running):
    running.run("suspend", "mx.enlace")
    stdout, _ = running.run("diff", "directory.1", "directory.2")
    assert stdout.splitlines()[0].startswith("- version 1, issued 20")
    (line,) = stdout.splitlines()[2:]
    assert line == "~ mx.enlace: status 'active' becomes 'suspended'"
    assert line in running.sign("directory.2.draft", "a")
    assert "'suspended' becomes 'active'" in running.run("diff", "directory.2.draft", "directory.1.note")[0]
    assert running.run("diff", running.watched / "root.1.note", "root.1")[0].splitlines()[2:] == NOTHING
    assert "two versions of one kind" in running.run("diff", "root.1", "directory.1", code=1)[1]
    assert "there is no directory.9" in running.run("diff", "directory.1", "directory.9", code=1)[1]


def test_a_digest_is_read_out_in_two_lines_of_eight_blocks(running):
    lines = running.run("show", running.watched / "root.1.note")[0].splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("digest "))
    first, second = (line[9:].split(" ") for line in lines[at : at + 2])
    assert [len(block) for block in first + second] == [4] * 16
