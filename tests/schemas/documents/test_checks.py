"""Check digits, against numbers that the standards and registries publish."""

import re
from pathlib import Path

import pytest

from valija_schemas.documents import checks, code_lists, codes

PUBLISHED = (
    (checks.imo, "9074729"),
    (checks.imo, "8814275"),
    (checks.container, "CSQU3054383"),  # ISO 6346
    (checks.iban, "GB29NWBK60161331926819"),  # the IBAN registry's examples
    (checks.iban, "DE89370400440532013000"),
    (checks.iban, "CR05015202001026284066"),
    (checks.iban, "BR1800360305000010009795493C1"),
    (checks.cas, "7732-18-5"),  # water
    (checks.cas, "299-42-3"),  # ephedrine
    (checks.cas, "58-08-2"),  # caffeine
    (checks.cas, "62-44-2"),  # phenacetin
    (checks.imei, "490154203237518"),  # 3GPP TS 23.003 by way of its common example
)


@pytest.mark.parametrize(("check", "number"), PUBLISHED)
def test_published_numbers_hold(check, number):
    assert check(number)


@pytest.mark.parametrize(("check", "number"), PUBLISHED)
def test_one_wrong_digit_does_not_hold(check, number):
    for place, digit in enumerate(number):
        if digit.isdigit():
            assert not check(number[:place] + str((int(digit) + 1) % 10) + number[place + 1 :])


def test_imei_without_check_digit_or_with_version_is_not_summed():
    assert checks.imei("49015420323751")
    assert checks.imei("4901542032375100")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("2023-04-31", False),
        ("0000-01-01", False),
        ("1984", True),
        ("1984-12", True),
    ],
)
def test_days_are_those_of_the_calendar(text, holds):
    assert checks.date_part(text) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("192.0.2.7", True),
        ("2001:db8::7", True),
        ("2001:0db8::7", False),
        ("::ffff:1", True),
        ("192.0.2.07", False),
        ("1", False),
    ],
)
def test_ip_addresses_have_one_spelling(text, holds):
    assert checks.ip_address(text) is holds


def test_country_codes_are_the_assigned_ones():
    assert len(code_lists.COUNTRIES) == 249
    listed = Path("/usr/share/zoneinfo/iso3166.tab")
    if listed.exists():
        assert set(re.findall(r"(?m)^([A-Z]{2})\t", listed.read_text())) == code_lists.COUNTRIES


def patterns():
    for name, type_ in vars(codes).items():
        for meta in getattr(type_, "__metadata__", ()):
            yield name, meta.pattern or meta.extra_json_schema["pattern"]


@pytest.mark.parametrize(("name", "pattern"), list(patterns()))
def test_patterns_are_anchored_and_use_only_what_python_and_ecma_share(name, pattern):
    assert pattern.startswith("^")
    assert pattern.endswith("$") or name == "Text"
    assert not re.search(r"\\[^Sn.\\+]|\(\?", pattern)
