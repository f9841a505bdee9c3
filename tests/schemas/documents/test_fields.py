import typing

import msgspec
import pytest

from valija_schemas import documents
from valija_schemas.documents import fields, labels
from valija_schemas.documents.base import Block
from valija_schemas.documents.blocks.case import RespondBy
from valija_schemas.documents.forms.trafficking_referral import Consent

BLOCKS = sorted(
    {block for type_ in documents.types().values() for block in fields.blocks_of(type_.struct)},
    key=lambda block: block.__name__,
)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_field_of_a_form_is_described_as_its_type_has_it(block):
    found = {field.name: field for field in fields.fields_of(block)}
    assert list(found) == [field.encode_name for field in msgspec.structs.fields(block)]
    for name, field in found.items():
        assert field.label
        assert field.help, f"{block.__name__}.{name} has no comment that says what it means"
        assert bool(field.codes) == (field.kind == "code")
        assert bool(field.groups) == (field.kind in {"group", "choice"})
        assert all(issubclass(group, Block) for group in field.groups)
        assert field.kind != "choice" or all(map(fields.tag_of, field.groups))


def test_codes_keep_the_order_in_which_the_source_lists_them():
    from valija_schemas.documents.blocks.case import LegalBasis, OffenceCode

    (instrument, *_) = fields.fields_of(LegalBasis)
    assert instrument.codes[0] == "untoc"
    offence = fields.fields_of(documents.types()["information-request/1"].struct)
    assert typing.get_args(OffenceCode)[-1] == "other"
    assert offence[0].name == "language"


def test_a_choice_is_made_by_what_its_group_calls_itself():
    from valija_schemas.documents.blocks.information import Subject
    from valija_schemas.documents.blocks.things import BankAccount

    entity = fields.fields_of(Subject)[0]
    assert fields.choice(entity, "bank-account") is BankAccount
    with pytest.raises(KeyError):
        fields.choice(entity, "spaceship")


def test_every_name_that_is_told_belongs_to_a_field_or_code():
    placed = [(block.__name__, field) for block in BLOCKS for field in fields.fields_of(block)]
    every = [field for _, field in placed]
    assert set(labels.FIELDS) <= {field.name for field in every} | {f"{block}.{field.name}" for block, field in placed}
    around = {(name, code) for name, codes in labels.AROUND.items() for code in codes}
    assert set(labels.CODES) <= around | {(field.name, code) for field in every for code in field.codes}


def test_names_read_as_words():
    assert labels.spaced("date_of_birth") == "Date of birth"
    assert fields.code_label("outcome", "first-lawful-sale") == "First lawful sale"
    assert fields.title_of(documents.types()["person-alert/1"]) == "Person alert"
    assert fields.title_of(documents.types()["pre-export-reply/1"]) == "Pre-export reply"
    assert {field.label for field in fields.fields_of(RespondBy)} == {"By", "Reasons"}
    assert "Who consents" in {field.label for field in fields.fields_of(Consent)}
