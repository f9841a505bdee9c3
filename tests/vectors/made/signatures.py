"""Ed25519 at its edges, from Wycheproof: SPEC.md sections 1.1 and 1.6.

Whether a signature counts is asked in two steps, when a key is admitted and when a note is read. Wycheproof leaves open
what becomes of keys of small and mixed order, on which verifiers disagree: here they are never registered.
"""

import json
from pathlib import Path
from typing import Final

from vectors import field, shape
from vectors.made import Group

_SOURCE: Final = json.loads(Path(__file__).parents[1].joinpath("wycheproof-ed25519.json").read_bytes())
_STOPS: Final = {
    "Valid": "What a good key signed counts.",
    "Ktv": "What a good key signed counts.",
    "TinkOverflow": "What a good key signed counts, whatever the numbers in between.",
    "InvalidEncoding": "A signature has one encoding.",
    "InvalidSignature": "Numbers at the edge of their range sign nothing.",
    "InvalidKtv": "A number just above its bound is not below it.",
    "SignatureMalleability": "A second signature must not be made of the first.",
    "SignatureWithGarbage": "A signature has 64 bytes.",
    "CompressedSignature": "A signature has 64 bytes.",
    "TruncatedSignature": "A signature has 64 bytes.",
    "SmallOrderPublicKey": "Under a key of small order signatures can be forged.",
    "MixedOrderPublicKey": "Verifiers disagree about what a key of mixed order signed.",
}


def groups(_: field.Recorded) -> list[shape.Group]:
    group = Group("ed25519-signature", "wycheproof-ed25519", "1.6")
    for case in _SOURCE["cases"]:
        group.add(
            str(case["id"]),
            "accept" if case["result"] == "valid" else "refused",
            _STOPS[case["flag"]],
            provenance=f"{_SOURCE['source']}, tcId {case['id']}, {_SOURCE['licence']}",
            key=case["key"],
            signature=case["signature"],
            data=bytes.fromhex(case["message"]),
        )
    return [group.made]
