"""What nothing can be faster than: the cryptography of a message, and Valkey taking its bytes."""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bench import field
from bench.figures import Run, benchmark
from bench.log_proofs import timed
from valija_broker import embedded
from valija_broker.embedded import EmbeddedValkey
from valija_schemas import note as notes


@benchmark("floor.crypto")
async def crypto(run: Run) -> None:
    """The cryptography of one acceptance, one thread; each run is the median of 2,000 calls.

    Verification by libsodium (PyNaCl) stands beside it where that is installed, in turn with the other.
    """
    found = field.sandbox(run.folder / "x")
    note, body = notes.split(field.messages(found, 1).messages[0])
    signature = note.signatures[0].value
    raw = found.exchange.keyrings["p0000"].sign.public
    key, signer = Ed25519PublicKey.from_public_bytes(raw), found.exchange.broker_keys.evidence
    large = os.urandom(field.LARGE)
    calls: dict[str, Callable[[], Any]] = {
        "Ed25519 verify, of a message's note": lambda: key.verify(signature, note.text),
        "the same with the key loaded from 32 bytes": lambda: notes.holds(raw, signature, note.text),
        "Ed25519 sign, of an acceptance": lambda: signer.sign(note.text),
        "SHA-256 of a body of 4 KiB": lambda: hashlib.sha256(body).digest(),
        "SHA-256 of 64 KiB": lambda: hashlib.sha256(large).digest(),
    }
    if importlib.util.find_spec("nacl"):
        from nacl.signing import VerifyKey

        sodium = VerifyKey(raw)
        calls["Ed25519 verify by PyNaCl"] = lambda: sodium.verify(note.text, signature)
    else:
        run.say("PyNaCl is not installed, so that its verification was not measured.")
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(5):
        for name, call in calls.items():
            times[name].append(timed(call, 2_000))
    for name, every in times.items():
        run.add(name, "us", every)
    ours, other = times["Ed25519 verify, of a message's note"], times.get("Ed25519 verify by PyNaCl")
    if other:
        run.add("cryptography : PyNaCl", "times", [a / b for a, b in zip(ours, other, strict=True)])
    sign = times["Ed25519 sign, of an acceptance"]
    run.add("verify and sign", "us", [a + b for a, b in zip(ours, sign, strict=True)])


@benchmark("floor.valkey")
async def valkey(run: Run) -> None:
    """Valkey alone: SET of a message's bytes with `appendfsync always`, 64 connections, one command on its way each."""
    lines = embedded.acl_lines
    embedded.acl_lines = lambda hashes: [*lines(hashes), "admin on nopass ~* &* +@all"]
    found = field.sandbox(run.folder / "x")
    try:
        for size in (field.SMALL, field.LARGE):
            data = field.messages(found, 1, size).messages[0]
            rates, load = [], []
            for repetition in range(3):
                folder = run.folder / f"v{size}-{repetition}"
                async with EmbeddedValkey(folder, maxmemory_bytes=8 << 30) as server:
                    work = [command("SET", b"m:%d" % n, data) for n in range(50_000 if size == field.SMALL else 6_000)]
                    outcome = await field.replay(
                        run.folder, server.endpoint.url.removeprefix("unix://"), work, 64, seconds=2.0,
                        first=command("AUTH", b"admin", b"any"),
                    )  # fmt: skip
                field.require(outcome, "+")
                rates.append(outcome.counted / outcome.seconds)
                load.append(outcome.cpu / outcome.seconds)
            label = f"{size // 1024} KiB documents"
            run.add(f"SET, {label}", "msg/s", rates)
            run.add(f"CPU of the load process, {label}", "cores", load)
    finally:
        embedded.acl_lines = lines


def command(name: str, *parts: bytes) -> bytes:
    """A command in RESP."""
    every = (name.encode(), *parts)
    return b"*%d\r\n" % len(every) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in every)
