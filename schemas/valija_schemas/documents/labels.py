"""English names of fields, groups and codes, where they do not follow from their spelling.

`date_of_birth` reads "Date of birth" by itself; `hs_code` and `H1` need to be told. A test holds every entry to a
field or code that exists.
"""

import re
from typing import Final, get_args

from valija_schemas.directory import Area
from valija_schemas.documents.blocks.case import Priority

#: The field's name, and what it is called; `<Group>.<field>` where it is called so in one group alone.
FIELDS: Final = {
    "BankAccount.holder": "Account holder",
    "Consent.by": "Who consents",
    "Proceeding.subject": "Subject matter",
    "apparent_age": "Apparent age (years)",
    "as_of": "As of",
    "assists": "Why it may assist",
    "at": "Time",
    "bic": "Bank code (BIC)",
    "by": "By",
    "cas": "CAS number",
    "dissemination": "Consent to dissemination",
    "dissemination_to": "Dissemination to",
    "dna": "DNA profiles",
    "email": "E-mail",
    "emails": "E-mails",
    "facts": "Summary of facts",
    "height_cm": "Height (cm)",
    "hs_code": "HS code",
    "iban": "IBAN",
    "icao_address": "ICAO 24-bit address",
    "imei": "IMEI",
    "imo": "IMO number",
    "imsi": "IMSI",
    "ip": "IP address",
    "issuing_state": "Issuing State",
    "mmsi": "MMSI",
    "radius_m": "Radius (m)",
    "sha256": "SHA-256",
    "size_type": "Size and type code",
    "vin": "Vehicle identification number (VIN)",
    "weight_kg": "Weight (kg)",
}

#: The field's name and the code, and what it says. A code that reads well by itself is not listed.
CODES: Final = {
    ("area", "non-judicial"): "Non-judicial",
    ("covers", "means-and-routes"): "Means and routes (TIP Protocol art. 10(1))",
    ("information", "1"): "1: not in doubt",
    ("information", "2"): "2: known personally to the source",
    ("information", "3"): "3: hearsay, corroborated",
    ("information", "4"): "4: hearsay, not corroborated",
    ("inquiry", "identity-whereabouts-activities"): "Identity, whereabouts and activities",
    ("instrument", "bilateral"): "Bilateral treaty",
    ("instrument", "cifta"): "Inter-American Convention against Illicit Firearms Manufacturing and Trafficking (CIFTA)",
    ("instrument", "domestic-law"): "Domestic law",
    ("instrument", "firearms-protocol"): "Firearms Protocol to UNTOC",
    ("instrument", "iacac"): "Inter-American Convention against Corruption",
    ("instrument", "iacat-2002"): "Inter-American Convention against Terrorism (2002)",
    ("instrument", "migrants-protocol"): "Smuggling of Migrants Protocol to UNTOC",
    ("instrument", "nassau-mla"): "Inter-American Convention on Mutual Assistance in Criminal Matters (Nassau)",
    ("instrument", "terrorism-financing-1999"): "Convention for the Suppression of the Financing of Terrorism (1999)",
    ("instrument", "tip-protocol"): "Trafficking in Persons Protocol to UNTOC",
    ("instrument", "un-1988"): "United Nations Convention against Illicit Traffic in Narcotic Drugs (1988)",
    ("instrument", "uncac"): "United Nations Convention against Corruption (UNCAC)",
    ("instrument", "untoc"): "United Nations Convention against Transnational Organized Crime (UNTOC)",
    ("kind", "information-evidence-expert-evaluation"): "Information, evidence and expert evaluations",
    ("kind", "search-seizure-freezing"): "Search, seizure and freezing",
    ("language", "en"): "English",
    ("language", "es"): "Spanish",
    ("language", "fr"): "French",
    ("language", "pt"): "Portuguese",
    ("refusal_ground", "prejudice-to-sovereignty-security-ordre-public"): (
        "Prejudice to sovereignty, security, ordre public or other essential interests"
    ),
    ("sex", "F"): "F: female",
    ("sex", "M"): "M: male",
    ("sex", "X"): "X: unspecified",
    ("source", "A"): "A: no doubt",
    ("source", "B"): "B: mostly reliable",
    ("source", "C"): "C: mostly unreliable",
    ("source", "X"): "X: cannot be assessed",
    ("table", "I"): "Table I",
    ("table", "II"): "Table II",
    ("topics", "prevention-detection-control"): "Prevention, detection and control",
    ("unit", "g"): "g",
    ("unit", "kg"): "kg",
    ("unit", "l"): "l",
    ("unit", "mg"): "mg",
    ("unit", "ml"): "ml",
    ("unit", "t"): "t",
    ("use", "H0"): "H0: crime prevention and prosecution, no further limit",
    ("use", "H1"): "H1: not in judicial proceedings without the sender's consent",
    ("use", "H2"): "H2: not passed on without the sender's consent",
    ("use", "H3"): "H3: another limit, said in the text",
}

#: Codes of the message around a document: they are in no form, and are shown and translated as those of forms are.
AROUND: Final[dict[str, tuple[str, ...]]] = {"area": get_args(Area), "priority": get_args(Priority)}

#: The member States of the Organization of American States, by ISO 3166-1 alpha-2. Others are shown as their code.
STATES: Final = {
    "AG": "Antigua and Barbuda",
    "AR": "Argentina",
    "BB": "Barbados",
    "BO": "Bolivia",
    "BR": "Brazil",
    "BS": "Bahamas",
    "BZ": "Belize",
    "CA": "Canada",
    "CL": "Chile",
    "CO": "Colombia",
    "CR": "Costa Rica",
    "CU": "Cuba",
    "DM": "Dominica",
    "DO": "Dominican Republic",
    "EC": "Ecuador",
    "GD": "Grenada",
    "GT": "Guatemala",
    "GY": "Guyana",
    "HN": "Honduras",
    "HT": "Haiti",
    "JM": "Jamaica",
    "KN": "Saint Kitts and Nevis",
    "LC": "Saint Lucia",
    "MX": "Mexico",
    "NI": "Nicaragua",
    "PA": "Panama",
    "PE": "Peru",
    "PY": "Paraguay",
    "SR": "Suriname",
    "SV": "El Salvador",
    "TT": "Trinidad and Tobago",
    "US": "United States of America",
    "UY": "Uruguay",
    "VC": "Saint Vincent and the Grenadines",
    "VE": "Venezuela",
}

_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def spaced(name: str) -> str:
    """`date_of_birth` or `first-lawful-sale` as words, the first with a capital."""
    words = name.replace("_", " ").replace("-", " ").replace("pre export", "pre-export")
    return words[:1].upper() + words[1:]


def title(class_name: str) -> str:
    """`BankAccount` as words: `Bank account`."""
    return spaced(_CAPITAL.sub(" ", class_name).lower())
