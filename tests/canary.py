"""Secrets that are looked for everywhere: documents, private keys, passphrases, in every spelling that they could have.

Linux alone: what a process holds is read from /proc, the pages that are present, as a core file would hold them.
"""

import base64
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness import Peer

PAGE: Final = 4096
_present: Final = 1 << 63  # in /proc/PID/pagemap, with the swapped ones at 1 << 62


def spellings(name: str, secret: bytes) -> dict[str, bytes]:
    """A secret as bytes, in hexadecimal and in base64."""
    return {
        f"{name}, raw": secret,
        f"{name}, hex": secret.hex().encode(),
        f"{name}, base64": base64.b64encode(secret)[: len(secret) * 4 // 3 - 1],
        f"{name}, url": base64.urlsafe_b64encode(secret)[: len(secret) * 4 // 3 - 1],
    }


def private_keys(peer: Peer) -> dict[str, bytes]:
    """Every private key of a contact point; the seal key also as its keyring spells it."""
    keys, found = peer.keys, {}
    for use, signer in (("sign", keys.sign), ("auth", keys.auth)):
        found |= spellings(f"{peer.id} {use}", signer._key.private_bytes_raw())
    text = keys.seal.to_text().encode()
    return found | spellings(f"{peer.id} seal", keys.seal._seed) | {f"{peer.id} seal, text": text}


def in_bytes(data: bytes, needles: Mapping[str, bytes]) -> set[str]:
    """Which of `needles` stand in `data`."""
    return {name for name, needle in needles.items() if needle in data}


def in_files(folder: Path, needles: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Which of `needles` stand in which file under `folder`."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = in_bytes(path.read_bytes(), needles)
    return found


def in_memory(pid: int, needles: Mapping[str, bytes]) -> set[str]:
    """Which of `needles` stand in the memory of a process that it can write to."""
    found: set[str] = set()
    with Path(f"/proc/{pid}/mem").open("rb") as memory, Path(f"/proc/{pid}/pagemap").open("rb") as pages:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match:
                for start, length in _runs(pages, int(match[1], 16), int(match[2], 16)):
                    try:
                        memory.seek(start)
                        found |= in_bytes(memory.read(length), needles)
                    except (OSError, ValueError):  # given back meanwhile, or the kernel's own page
                        continue
    return found


def _runs(pages: object, begin: int, end: int) -> list[tuple[int, int]]:
    """Start and length of what is present between two addresses."""
    pages.seek(begin // PAGE * 8)  # type: ignore[attr-defined]
    raw = pages.read((end - begin) // PAGE * 8)  # type: ignore[attr-defined]
    found: list[tuple[int, int]] = []
    for at, (entry,) in enumerate(struct.iter_unpack("<Q", raw)):
        if entry & (_present | _present >> 1):
            start = begin + at * PAGE
            if found and sum(found[-1]) == start:
                found[-1] = (found[-1][0], found[-1][1] + PAGE)
            else:
                found.append((start, PAGE))
    return found


async def use(sender: Peer, recipient: Peer, canary: str) -> str:
    """Mail with the canary inside, accepted, refused and damaged in many ways; the digest of the accepted one."""
    document = f'{{"text":"{canary}"}}'.encode()
    good = sender.message(recipient, document=document)
    event = await sender.accepted(good)
    for data in (
        good,
        sender.message(recipient, document=document, id=event.id),
        sender.message(recipient, document=document, type="unknown-thing/1"),
        sender.message(recipient, document=document, expires=1, sent=0),
        good[:-1],
        good + b"\0",
        good.replace(b'"routine"', b'"urgent"'),
    ):
        assert (await sender.submit(data)).status in {202, 400, 409, 422, 403}
    await sender.batch([good, b"garbage", sender.message(recipient, document=document)])
    fields = sender.signed("GET", "/v1/limits")
    assert (await sender.send("GET", "/v1/directory", b"", fields)).status == 401
    lent = await recipient.lease()
    assert await recipient.done(lent[0]) == ["done"]
    assert await recipient.release(lent[1].token, dead=True) == ["done"]
    await sender.feed(7)
    return event.message
