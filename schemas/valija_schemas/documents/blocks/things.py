"""Conveyances, accounts, communications, firearms, substances: what a case leaves traces with."""

from typing import Annotated, Literal

import msgspec

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block, Faults, rule

Year = Annotated[int, msgspec.Meta(ge=1850, le=2199, description="a year")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535, description="a port number from 1 to 65535")]


class Money(Block, frozen=True, kw_only=True):
    """An amount of money. Currency after ISO 4217, or the symbol of a virtual asset in capitals."""

    amount: codes.Decimal  #: In units of the currency: "1250.00".
    currency: codes.Currency  #: `USD`


class Vehicle(Block, frozen=True, kw_only=True, tag_field="kind", tag="vehicle"):
    """A road vehicle. VIN after ISO 3779."""

    plate: codes.Reference | None = None  #: As on the plate.
    country: codes.Country | None = None  #: Where it is registered.
    vin: codes.Vin | None = None  #: Vehicle identification number.
    make: codes.Name | None = None  #: Manufacturer.
    model: codes.Name | None = None  #: Model.
    year: Year | None = None  #: Model year.
    colour: codes.Name | None = None  #: In words.
    remarks: codes.Text | None = None  #: What else tells it apart.

    @rule("vehicle-identifier")
    def can_be_told_apart(self) -> Faults:
        """A vehicle has a plate, a VIN, a make or remarks."""
        if self.plate is None and self.vin is None and self.make is None and self.remarks is None:
            yield "", "This vehicle cannot be told apart. Give its plate, its VIN, its make, or remarks."


class Vessel(Block, frozen=True, kw_only=True, tag_field="kind", tag="vessel"):
    """A ship or boat. IMO number after resolution A.1117(30), MMSI after ITU-R M.585."""

    name: codes.Name | None = None  #: As painted or registered.
    imo: codes.ImoNumber | None = None  #: Seven digits; stays with the hull for life.
    mmsi: codes.Mmsi | None = None  #: Nine digits; changes with the flag.
    call_sign: codes.Reference | None = None  #: Of its radio.
    flag: codes.Country | None = None  #: The State whose flag it flies.
    remarks: codes.Text | None = None  #: What else tells it apart.

    @rule("vessel-identifier")
    def can_be_told_apart(self) -> Faults:
        """A vessel has an IMO number, an MMSI, a call sign, a name or remarks."""
        if all(part is None for part in (self.imo, self.mmsi, self.call_sign, self.name, self.remarks)):
            yield "", "This vessel cannot be told apart. Give its IMO number, MMSI, call sign or name, or remarks."


class Aircraft(Block, frozen=True, kw_only=True, tag_field="kind", tag="aircraft"):
    """An aircraft. Registration after ICAO annex 7, type after ICAO Doc 8643."""

    registration: codes.AircraftRegistration | None = None  #: Nationality and registration marks.
    icao_address: codes.AircraftAddress | None = None  #: The 24-bit address that its transponder sends.
    type_designator: codes.AircraftType | None = None  #: `C172`
    flight: codes.Reference | None = None  #: A flight number.
    remarks: codes.Text | None = None  #: What else tells it apart.

    @rule("aircraft-identifier")
    def can_be_told_apart(self) -> Faults:
        """An aircraft has a registration, an ICAO address, a flight number or remarks."""
        if all(part is None for part in (self.registration, self.icao_address, self.flight, self.remarks)):
            yield "", "This aircraft cannot be told apart. Give its registration, address or flight, or remarks."


class Container(Block, frozen=True, kw_only=True, tag_field="kind", tag="container"):
    """A freight container. Number, size and type after ISO 6346."""

    number: codes.ContainerNumber  #: Owner code, category, serial number, check digit.
    size_type: codes.ContainerType | None = None  #: `22G1`
    seals: tuple[codes.Reference, ...] = ()  #: Numbers of the seals on its doors.
    remarks: codes.Text | None = None  #: What else is known about it.


class BankAccount(Block, frozen=True, kw_only=True, tag_field="kind", tag="bank-account"):
    """An account at a bank or another institution. IBAN after ISO 13616, BIC after ISO 9362."""

    bank: codes.Name | None = None  #: The institution that keeps it.
    bic: codes.Bic | None = None  #: The institution's code.
    country: codes.Country | None = None  #: Where it is kept.
    iban: codes.Iban | None = None  #: Without spaces.
    number: codes.Reference | None = None  #: Where there is no IBAN.
    currency: codes.Currency | None = None  #: `COP`
    holder: codes.Name | None = None  #: As the institution writes it.

    @rule("account-number")
    def has_a_number(self) -> Faults:
        """A bank account has an IBAN or a number, and a number comes with its bank or BIC."""
        if self.iban is None and self.number is None:
            yield "", "This account cannot be found. Give its IBAN or its number."
        elif self.iban is None and self.bank is None and self.bic is None:
            yield ".bank", "A number alone does not name the account. Add the bank or its BIC."


class VirtualAssetAddress(Block, frozen=True, kw_only=True, tag_field="kind", tag="virtual-asset-address"):
    """An address for virtual assets (FATF recommendation 15). Which asset it is worth depends on the network."""

    network: codes.Network  #: The network that the address belongs to.
    address: codes.Name  #: As that network writes it.
    asset: codes.Reference | None = None  #: A token on that network: `USDT`.
    provider: codes.Name | None = None  #: The service that holds it, where known.


class Communication(Block, frozen=True, kw_only=True, tag_field="kind", tag="communication"):
    """A means of communication: what is known about one line, device or account.

    Phone after E.164, IMEI after 3GPP TS 23.003, IMSI after E.212, IP addresses after RFC 5952.
    """

    phone: codes.Phone | None = None  #: The subscriber's number.
    imei: codes.Imei | None = None  #: The device.
    imsi: codes.Imsi | None = None  #: The SIM.
    email: codes.Email | None = None  #: The mailbox.
    ip: codes.IpAddress | None = None  #: With the time, since addresses change hands.
    port: Port | None = None  #: Source port, where many share one address.
    handle: codes.Name | None = None  #: A user name, with its service.
    service: codes.Name | None = None  #: The application or provider.
    at: codes.DateTime | None = None  #: When it was used.

    @rule("communication-empty")
    def has_an_identifier(self) -> Faults:
        """A communication has a phone, IMEI, IMSI, e-mail address, IP address or handle."""
        if all(part is None for part in (self.phone, self.imei, self.imsi, self.email, self.ip, self.handle)):
            yield "", "Give at least one identifier: phone, IMEI, IMSI, e-mail, IP address or handle."

    @rule("ip-time")
    def address_has_a_time(self) -> Faults:
        """An IP address comes with the time of its use; a port comes with an IP address."""
        if self.ip is not None and self.at is None:
            yield ".at", "Providers give an IP address to many users in turn. Say when it was used, with the offset."
        if self.port is not None and self.ip is None:
            yield ".port", "A port belongs to an IP address. Add the address, or leave the port empty."

    @rule("handle-service")
    def handle_has_a_service(self) -> Faults:
        """A handle comes with the service on which it is used."""
        if self.handle is not None and self.service is None:
            yield ".service", "The same handle exists on many services. Name the service."


class Firearm(Block, frozen=True, kw_only=True, tag_field="kind", tag="firearm"):
    """A firearm, by its markings (CIFTA art. VI; Firearms Protocol art. 8)."""

    serial_number: codes.Reference | None = None  #: As stamped; what can still be read where it was obliterated.
    obliterated: bool = False  #: Whether somebody tried to remove it.
    make: codes.Name | None = None  #: Manufacturer.
    firearm_type: Literal[
        "pistol", "revolver", "rifle", "shotgun", "submachine-gun", "machine-gun", "other"
    ]  #: Its type.
    calibre: codes.Reference | None = None  #: As marked: `9x19 mm`.
    model: codes.Name | None = None  #: As marked.
    country_of_origin: codes.Country | None = None  #: Where it was made.
    importer: codes.Name | None = None  #: As marked.
    markings: codes.Text | None = None  #: Any other mark.

    @rule("firearm-identifier")
    def can_be_told_apart(self) -> Faults:
        """A firearm has a serial number, an obliterated one, a make or other markings."""
        if self.serial_number is None and not self.obliterated and self.make is None and self.markings is None:
            yield "", "This firearm cannot be told apart. Give its serial number (or obliterated), make or markings."


class Substance(Block, frozen=True, kw_only=True, tag_field="kind", tag="substance"):
    """A drug, a precursor, an explosive or another substance. CAS registry number, Harmonized System code, SI units."""

    name: codes.Name  #: As in the tables of the treaty, or as found.
    cas: codes.CasNumber | None = None  #: `299-42-3`
    hs_code: codes.HsCode | None = None  #: `293941`
    quantity: codes.Decimal | None = None  #: In the unit below.
    unit: Literal["t", "kg", "g", "mg", "l", "ml", "piece"] | None = None  #: Tonne, kilogram, litre and so on.

    @rule("substance-unit")
    def quantity_has_a_unit(self) -> Faults:
        """A quantity comes with its unit, and a unit with its quantity."""
        if self.quantity is not None and self.unit is None:
            yield ".unit", "Say in which unit the quantity is: kg, g, l and so on."
        if self.unit is not None and self.quantity is None:
            yield ".quantity", "Say how much it is, or leave the unit empty."
