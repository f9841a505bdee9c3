"""Persons, organisations and the places where they are."""

from typing import Annotated, Final, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, rule

_PRECISION_LENGTHS: Final = {"day": (10,), "month": (7,), "year": (4,), "estimated": (4, 7, 10)}


class PersonName(Block, frozen=True, kw_only=True):
    """A name as its bearer's State writes it. Script after ISO 15924, Latin letters after ICAO Doc 9303 part 3."""

    family_name: codes.Name | None = None  #: The primary identifier of ICAO Doc 9303.
    forename: codes.Name | None = None  #: The secondary identifier: all given names.
    script: codes.Script = "Latn"  #: The script of the two fields above.
    transliteration: codes.Name | None = None  #: The whole name in Latin letters, as its passport writes it.

    @rule("name-empty")
    def has_a_part(self) -> Faults:
        """A name has a family name or a forename."""
        if self.family_name is None and self.forename is None:
            yield "", "This name is empty. Give a family name or a forename, or remove it."

    @rule("name-transliteration")
    def can_be_searched_in_latin_letters(self) -> Faults:
        """A name in another script has a transliteration into Latin letters."""
        if self.script != "Latn" and self.transliteration is None:
            yield ".transliteration", "Add the name in Latin letters, so that the receiver can search for it."


class BirthDate(Block, frozen=True, kw_only=True):
    """A date of birth, as exact as it is known."""

    date: codes.DatePart  #: ISO 8601.
    precision: Literal["day", "month", "year", "estimated"]  #: How much of it is known.

    @rule("birth-date-precision")
    def date_is_as_long_as_it_is_precise(self) -> Faults:
        """A date of birth shows a day, a month or a year as its precision says; an estimate may show any of them."""
        if len(self.date) not in _PRECISION_LENGTHS[self.precision]:
            yield (
                ".date",
                "The precision is {precision}. Write the date as exactly as that, or correct the precision.",
                {"precision": self.precision},
            )


class BirthPlace(Block, frozen=True, kw_only=True):
    """A place of birth."""

    place: codes.Name | None = None  #: Town and region.
    country: codes.Country | None = None  #: The State that the place belongs to today.

    @rule("birth-place-empty")
    def has_a_part(self) -> Faults:
        """A place of birth has a place or a State."""
        if self.place is None and self.country is None:
            yield "", "This place of birth is empty. Give a place or a State, or remove it."


class IdentityDocument(Block, frozen=True, kw_only=True):
    """An identity or travel document. Kinds after ICAO Doc 9303 parts 4 to 7, States after ISO 3166-1 alpha-2."""

    kind: codes.IdentityDocumentKind  #: Its document code, the first letters of the machine readable zone.
    name: codes.Name | None = None  #: What the issuing State calls it.
    number: codes.Reference  #: As printed.
    issuing_state: codes.Country | None = None  #: Null where an organization issued it.
    issued: codes.Date | None = None  #: The first day of validity.
    expires: codes.Date | None = None  #: The last day of validity.

    @rule("identity-document-name")
    def other_has_a_name(self) -> Faults:
        """An identity document of another kind has a name."""
        if self.kind == "other" and self.name is None:
            yield ".name", "Say what document this is: birth certificate, driving licence, national register."

    @rule("identity-document-dates")
    def expires_after_it_was_issued(self) -> Faults:
        """An identity document does not expire before it is issued."""
        if self.issued is not None and self.expires is not None and self.expires < self.issued:
            yield ".expires", "The document expires before it was issued. Correct one of the dates."


class Address(Block, frozen=True, kw_only=True):
    """A postal address; the lines as they are written on an envelope there."""

    street: codes.Name | None = None  #: Street, number, unit.
    locality: codes.Name | None = None  #: Town or municipality.
    region: codes.Name | None = None  #: State, province or department.
    postal_code: codes.Reference | None = None  #: As written there.
    country: codes.Country  #: The State.


class Person(Block, frozen=True, kw_only=True, tag_field="kind", tag="person"):
    """A natural person. Sex after ICAO Doc 9303 (M, F, X unspecified); nationalities after ISO 3166-1 alpha-2."""

    names: tuple[PersonName, ...] = ()  #: The same name in several scripts, or several names. Empty: not known.
    aliases: tuple[codes.Name, ...] = ()  #: What the person is also called.
    sex: Literal["M", "F", "X"] | None = None  #: Null: not known.
    date_of_birth: BirthDate | None = None  #: With its precision.
    place_of_birth: BirthPlace | None = None  #: Town and State.
    nationalities: tuple[codes.Country, ...] = ()  #: Empty: not known.
    documents: tuple[IdentityDocument, ...] = ()  #: Identity and travel documents.
    addresses: tuple[Address, ...] = ()  #: Where the person lives or stays.
    phones: tuple[codes.Phone, ...] = ()  #: E.164.
    emails: tuple[codes.Email, ...] = ()  #: Addresses that the person uses.
    role: Literal["suspect", "victim", "witness", "missing", "other"]  #: In the case.


class Organisation(Block, frozen=True, kw_only=True, tag_field="kind", tag="organisation"):
    """A company, an association or another body."""

    name: codes.Name  #: As registered.
    aliases: tuple[codes.Name, ...] = ()  #: Commercial and other names.
    legal_form: codes.Name | None = None  #: `S.A. de C.V.`
    registration_number: codes.Reference | None = None  #: In the register of companies.
    tax_number: codes.Reference | None = None  #: RFC, NIT, CNPJ, RUC and the like.
    country: codes.Country | None = None  #: Where it is registered.
    registered: codes.Date | None = None  #: Since when.
    addresses: tuple[Address, ...] = ()  #: Seat and branches.
    phones: tuple[codes.Phone, ...] = ()  #: E.164.
    emails: tuple[codes.Email, ...] = ()  #: Addresses that it uses.
    role: Literal["suspect", "victim", "witness", "other"]  #: In the case.


class Point(Block, frozen=True, kw_only=True):
    """A point on the Earth in WGS 84 (EPSG:4326), in degrees."""

    latitude: codes.Latitude  #: Degrees north.
    longitude: codes.Longitude  #: Degrees east.
    radius_m: Annotated[int, msgspec.Meta(ge=0, le=20_000_000)] | None = None  #: How far off it may be, in metres.


class Location(Block, frozen=True, kw_only=True, tag_field="kind", tag="location"):
    """A place: an address, a point, or both."""

    name: codes.Name | None = None  #: What people call it: a port, a border crossing.
    address: Address | None = None  #: Its postal address.
    point: Point | None = None  #: Its coordinates.

    @rule("location-empty")
    def can_be_found(self) -> Faults:
        """A location has an address or a point."""
        if self.address is None and self.point is None:
            yield "", "This place cannot be found. Give an address (the State is enough) or a point."
