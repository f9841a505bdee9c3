"""The texts with a form: codes, numbers, dates and places, after the standard that each names.

Patterns mean the same in Python and in ECMA-262, so that msgspec and a JSON Schema validator judge alike. What a
pattern cannot say rides along as a `Check` and is listed in the schema as `$comment`. Descriptions are shown to the
officer whose text does not fit: they say how to write it, with an example.
"""

from typing import Annotated, Final

import msgspec

from valija_schemas.documents import checks, code_lists, time_zones
from valija_schemas.documents.checks import Check


def _form(pattern: str, description: str, *, check: Check | None = None, length_max: int | None = None) -> msgspec.Meta:
    if check is None:
        return msgspec.Meta(pattern=pattern, description=description, max_length=length_max)
    return msgspec.Meta(
        pattern=pattern,
        description=description,
        max_length=length_max,
        extra={"check": check},
        extra_json_schema={"$comment": f"Beyond this schema: {check.rule}."},
    )


_MONTH_DAY: Final = r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_CALENDAR: Final = "This day is not in the calendar. Correct the date."

# Texts. They begin with a letter or sign, so that a blank is not taken for an answer.
Name = Annotated[str, _form(r"^\S[^\n]*$", "one line of text, not blank, at most 200 characters", length_max=200)]
Reference = Annotated[
    str, _form(r"^\S[^\n]*$", "a reference in your own form, one line, at most 64 characters", length_max=64)
]
Text = Annotated[str, _form(r"^\S", "a text, not blank, at most 20,000 characters", length_max=20_000)]

# Places and languages.
Country = Annotated[
    str,
    _form(
        r"^[A-Z]{2}$",
        "a State or territory by its two capital letters in ISO 3166-1, such as MX or CO",
        check=Check(
            rule="country-code",
            holds=code_lists.COUNTRIES.__contains__,
            text="ISO 3166-1 gives this code to no State. Use its two letters, such as MX or CO.",
        ),
    ),
]
LanguageCode = Annotated[
    str,
    _form(
        r"^[a-z]{2,3}$",
        "a language by its code in ISO 639, such as es or quc",
        check=Check(
            rule="language-code",
            holds=code_lists.LANGUAGES.__contains__,
            text="ISO 639 gives this code to no language. Use its two or three letters, such as es or quc.",
        ),
    ),
]
Script = Annotated[
    str,
    _form(
        r"^[A-Z][a-z]{3}$",
        "a script by its code in ISO 15924, such as Latn, Cyrl or Arab",
        check=Check(
            rule="script-code",
            holds=code_lists.SCRIPTS.__contains__,
            text="ISO 15924 gives this code to no script. Use its four letters, such as Latn, Cyrl or Arab.",
        ),
    ),
]
TimeZone = Annotated[
    str,
    _form(
        r"^[A-Z][A-Za-z]*(/[A-Za-z0-9_+-]+)*$",
        "a time zone by its name in the IANA database, such as America/Bogota",
        length_max=64,
        check=Check(
            rule="time-zone",
            holds=time_zones.TIME_ZONES.__contains__,
            text="No time zone has this name. Write it as the IANA database does, such as America/Bogota.",
        ),
    ),
]
Latitude = Annotated[
    str,
    _form(
        r"^-?(90(\.0{1,6})?|[1-8]?[0-9](\.[0-9]{1,6})?)$",
        'degrees north in WGS 84 as a text, with a point, from -90 to 90, such as "19.4326"',
    ),
]
Longitude = Annotated[
    str,
    _form(
        r"^-?(180(\.0{1,6})?|(1[0-7][0-9]|[1-9]?[0-9])(\.[0-9]{1,6})?)$",
        'degrees east in WGS 84 as a text, with a point, from -180 to 180, such as "-99.1332"',
    ),
]

# Times.
Date = Annotated[
    str,
    _form(
        rf"^[0-9]{{4}}-{_MONTH_DAY}$",
        "a day after ISO 8601: year-month-day, such as 2026-03-31",
        check=Check(rule="calendar-date", holds=checks.date, text=_CALENDAR),
    ),
]
DatePart = Annotated[
    str,
    _form(
        rf"^[0-9]{{4}}(-(0[1-9]|1[0-2])|-{_MONTH_DAY})?$",
        "a year, a month or a day after ISO 8601, such as 1984, 1984-07 or 1984-07-21",
        check=Check(rule="calendar-date", holds=checks.date_part, text=_CALENDAR),
    ),
]
DateTime = Annotated[
    str,
    _form(
        rf"^[0-9]{{4}}-{_MONTH_DAY}T{_CLOCK}(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$",
        "a time after ISO 8601 with its offset from UTC, such as 2026-03-31T17:00:00-06:00",
        check=Check(rule="calendar-date", holds=checks.date_time, text=_CALENDAR),
    ),
]

# Amounts: a decimal is a text, since no two readers of JSON agree about fractions.
Decimal = Annotated[
    str, _form(r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$", 'a decimal number as a text, with a point, such as "12.5"')
]
Currency = Annotated[
    str,
    _form(
        r"^[A-Z]{3}$",
        "a currency by its three letters in ISO 4217, such as USD",
        check=Check(
            rule="currency-code",
            holds=code_lists.CURRENCIES.__contains__,
            text="ISO 4217 gives this code to no currency. Use its three letters, such as USD or COP.",
        ),
    ),
]

# Contact and communication.
Phone = Annotated[
    str, _form(r"^\+[1-9][0-9]{1,14}$", "a telephone number after E.164: + and the digits alone, such as +525550123456")
]
Email = Annotated[str, _form(r"^[^@ \n]+@[^@ \n]+$", "an e-mail address, such as enlace@example.org", length_max=254)]
Imei = Annotated[
    str,
    _form(
        r"^[0-9]{14,16}$",
        "an IMEI: 15 digits (14 without its check digit, 16 with the software version)",
        check=Check(
            rule="imei-check-digit",
            holds=checks.imei,
            text="The check digit does not fit this IMEI. Compare the digits with your source.",
        ),
    ),
]
Imsi = Annotated[str, _form(r"^[0-9]{6,15}$", "an IMSI after E.212: up to 15 digits")]
IpAddress = Annotated[
    str,
    _form(
        r"^[0-9a-f:.]{2,45}$",
        "an IPv4 or IPv6 address in lower case, such as 192.0.2.7 or 2001:db8::7",
        check=Check(
            rule="ip-address",
            holds=checks.ip_address,
            text="This is not an IP address in its usual spelling. Write it as 192.0.2.7 or 2001:db8::7.",
        ),
    ),
]

# Documents, conveyances, accounts, substances.
IdentityDocumentKind = Annotated[
    str,
    _form(
        r"^(P[A-Z]?|V[A-Z]?|[ACI][A-UW-Z]?|other)$",
        "the document code of ICAO Doc 9303: P and a letter for passports, V visas, A, C or I identity cards, "
        "AC crew member certificates; or other",
    ),
]
ImoNumber = Annotated[
    str,
    _form(
        r"^[0-9]{7}$",
        "an IMO ship number: seven digits, without the letters IMO",
        check=Check(
            rule="imo-check-digit",
            holds=checks.imo,
            text="The check digit does not fit this IMO number. Compare the digits with your source.",
        ),
    ),
]
Mmsi = Annotated[str, _form(r"^[0-9]{9}$", "an MMSI after ITU-R M.585: nine digits")]
ContainerNumber = Annotated[
    str,
    _form(
        r"^[A-Z]{3}[UJZ][0-9]{7}$",
        "a container number after ISO 6346: four letters and seven digits without spaces, such as CSQU3054383",
        check=Check(
            rule="container-check-digit",
            holds=checks.container,
            text="The check digit does not fit this container number. Compare letters and digits with your source.",
        ),
    ),
]
ContainerType = Annotated[str, _form(r"^[0-9A-Z]{4}$", "a size and type code of ISO 6346, such as 22G1")]
Vin = Annotated[
    str, _form(r"^[A-HJ-NPR-Z0-9]{17}$", "a vehicle identification number after ISO 3779: 17 signs, no I, O or Q")
]
AircraftRegistration = Annotated[
    str, _form(r"^[A-Z0-9]{1,5}(-[A-Z0-9]{1,5})?$", "an aircraft registration in capitals, such as XA-ABC or N123AB")
]
AircraftAddress = Annotated[str, _form(r"^[0-9a-f]{6}$", "an ICAO 24-bit aircraft address: six hex digits, lower case")]
AircraftType = Annotated[str, _form(r"^[A-Z][A-Z0-9]{1,3}$", "an aircraft type after ICAO Doc 8643, such as C172")]
Iban = Annotated[
    str,
    _form(
        r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$",
        "an IBAN after ISO 13616, in capitals and without spaces",
        check=Check(
            rule="iban-check-digits",
            holds=checks.iban,
            text="The check digits do not fit this IBAN. Compare it with your source; another number goes in number.",
        ),
    ),
]
Bic = Annotated[
    str, _form(r"^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$", "a bank's BIC after ISO 9362: 8 or 11 signs")
]
Network = Annotated[
    str, _form(r"^[a-z][a-z0-9-]{0,31}$", "the network of a virtual asset in lower case, such as bitcoin or tron")
]
CasNumber = Annotated[
    str,
    _form(
        r"^[1-9][0-9]{1,6}-[0-9]{2}-[0-9]$",
        "a CAS registry number with its hyphens, such as 299-42-3",
        check=Check(
            rule="cas-check-digit",
            holds=checks.cas,
            text="The check digit does not fit this CAS number. Compare the digits with your source.",
        ),
    ),
]
HsCode = Annotated[
    str, _form(r"^[0-9]{4}([0-9]{2})?$", "a heading or subheading of the Harmonized System: 4 or 6 digits, no point")
]

# Files.
MediaType = Annotated[
    str,
    _form(
        r"^[a-z]+/[a-z0-9][a-z0-9.+-]*$",
        "a media type in lower case, such as image/jpeg or application/pdf",
        length_max=127,
    ),
]
FileLabel = Annotated[
    str,
    _form(
        r"^[^./\\\n][^/\\\n]*$",
        "a name without / or \\ and without a dot in front, such as fingerprints.png",
        length_max=120,
    ),
]
Content = Annotated[
    bytes,
    msgspec.Meta(
        description="the bytes of the file in base64 (RFC 4648 section 4), with padding and without line breaks",
        extra_json_schema={
            "pattern": r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
        },
    ),
]
