"""Code lists and check digits are those of libraries that others keep, but for the differences that are listed here."""

import re
from importlib import resources
from random import Random

import pycountry
import pytest
import tzdata
from stdnum import casrn, iban, imei, imo, iso6346
from stdnum.iso7064 import mod_97_10

from valija_schemas.documents import checks, code_lists, codes, time_zones

# Withdrawn while documents with them may still be read: a list only grows (SPEC.md 8.1). Amounts of past years are in
# these currencies: the guilder of the Antilles, the lev, the convertible peso, the kuna, the old leone, the old dollar.
CURRENCIES_OF_THE_PAST = {"ANG", "BGN", "CUC", "HRK", "SLL", "ZWL"}
# ISO 639-3 found these to be the same as another language, or none; `bh` was a group of languages.
LANGUAGES_OF_THE_PAST = set("ajp bh dek kgm ksa nom nte plj pmk prp slq szd tmk tpw xss zkb zua".split())  # noqa: SIM905
# What no form of ours takes: a `+`, `-` or digit in the first part, which no place has, and the zone that nobody set.
NO_TIME_ZONES = set("CST6CDT EST5EDT Factory GB-Eire GMT+0 GMT-0 GMT0 MST7MDT NZ-CHAT PST8PDT W-SU".split())  # noqa: SIM905

LISTS = (
    (code_lists.COUNTRIES, {country.alpha_2 for country in pycountry.countries}, set()),
    (code_lists.CURRENCIES, {currency.alpha_3 for currency in pycountry.currencies}, CURRENCIES_OF_THE_PAST),
    (code_lists.SCRIPTS, {script.alpha_4 for script in pycountry.scripts}, set()),
    (
        code_lists.LANGUAGES,
        {language.alpha_3 for language in pycountry.languages}
        | {language.alpha_2 for language in pycountry.languages if hasattr(language, "alpha_2")},
        LANGUAGES_OF_THE_PAST,
    ),
)


@pytest.mark.parametrize(("ours", "theirs", "past"), LISTS)
def test_a_code_list_is_that_of_the_standard_and_what_was_withdrawn_since(ours, theirs, past):
    assert ours - theirs == past
    assert theirs - ours == set()


def test_time_zones_are_those_of_the_database_whose_version_the_page_names():
    listed = set((resources.files(tzdata) / "zones").read_text().split())
    assert listed - time_zones.TIME_ZONES == NO_TIME_ZONES
    assert time_zones.TIME_ZONES - listed == set()
    assert f"version {tzdata.IANA_VERSION}," in time_zones.__doc__


def digits(random, count):
    return "".join(random.choices("0123456789", k=count))


def container(random):
    owner = "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3))
    return owner + random.choice("UJZ") + digits(random, 7)


def cas(random):
    return f"{random.randint(1, 9)}{digits(random, random.randint(1, 6))}-{digits(random, 2)}-{digits(random, 1)}"


NUMBERS = (
    (codes.ImoNumber, checks.imo, imo.is_valid, lambda random: digits(random, 7)),
    (codes.ContainerNumber, checks.container, iso6346.is_valid, container),
    (codes.CasNumber, checks.cas, casrn.is_valid, cas),
    (codes.Imei, checks.imei, imei.is_valid, lambda random: digits(random, random.choice((14, 15, 15, 15, 16)))),
    (
        codes.Iban,
        checks.iban,
        lambda number: mod_97_10.is_valid(number[4:] + number[:4]),
        lambda random: "CR" + random.choice(("05", digits(random, 2))) + "0" + digits(random, 17),
    ),
)


@pytest.mark.parametrize(("type_", "holds", "is_valid", "draw"), NUMBERS)
def test_a_check_digit_is_judged_as_the_library_does(type_, holds, is_valid, draw):
    random = Random(6346)
    pattern = re.compile(type_.__metadata__[0].pattern)
    judged = {True: 0, False: 0}
    for _ in range(1500):
        number = draw(random)
        assert pattern.search(number)
        assert holds(number) == is_valid(number), number
        judged[holds(number)] += 1
    assert min(judged.values()) >= 5


def test_the_form_of_an_iban_in_each_country_is_left_to_its_check_digits():
    # The registry of forms changes with every country that joins; the digits find 96 of 97 errors without it.
    number = "XX" + "00" + "12345678901"
    number = "XX" + iban.calc_check_digits(number) + number[4:]
    assert checks.iban(number)
    assert not iban.is_valid(number)


def test_a_container_has_a_category_that_the_standard_defines():
    # The library takes R for refrigerated ones; ISO 6346 has U, J and Z.
    number = "CSQR305438"
    assert iso6346.is_valid(number + iso6346.calc_check_digit(number))
    assert not re.search(codes.ContainerNumber.__metadata__[0].pattern, number + "0")
