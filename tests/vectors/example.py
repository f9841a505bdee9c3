"""Writes schemas/vectors/example anew, and what SPEC.md section 6 quotes of it: `make vectors EXAMPLE=1`.

The document, names, ids and times stay. The keys are drawn and, but for one, thrown away: no run makes the same bytes.
"""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec

from valija import age
from valija.enrol import make_request
from valija.registry.sample import sample_exchange
from valija.seal import write
from valija_schemas import directory as directories
from valija_schemas import evidence, http_signature, keys, limits, message
from valija_schemas import note as notes

SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
FOLDER: Final = SCHEMAS / "vectors" / "example"
SPEC: Final = SCHEMAS / "SPEC.md"
ORIGIN: Final = "exchange.example"
POINTS: Final = (
    ("ca.liaison", "CA", "law-enforcement"),
    ("co.enlace", "CO", "law-enforcement"),
    ("mx.enlace", "MX", "law-enforcement"),
)


def now(name: str, type_: Any = dict) -> Any:
    """What the note `name` says today."""
    return msgspec.json.decode((FOLDER / name).read_bytes().split(b"\n")[1], type=type_)


def make() -> tuple[dict[str, bytes], dict[str, str]]:
    """Every file that changes, and the cells of the table."""
    directory = now("directory.1.note", directories.Directory)
    exchange = sample_exchange(
        ORIGIN, POINTS, (), directory.issued, directory.routes, directory.treaties, directory.bilateral
    )
    book = (1, exchange.phonebook.digest)
    canada, mexico = exchange.keyrings["ca.liaison"], exchange.keyrings["mx.enlace"]

    header = now("message.note", message.Header)
    seals = [exchange.keyrings[id_].seal.recipient for id_ in header.to]
    header = msgspec.structs.replace(
        header,
        to=dict(zip(header.to, (seal.key_id for seal in seals), strict=True)),
        directory=book,
        body=None,
        body_length=0,
    )
    raw = write(header, (FOLDER / "document.json").read_bytes(), seals, ORIGIN, mexico.sign)
    sent = message.read(raw, ORIGIN)
    note = raw.removesuffix(sent.body)
    plaintext = age.decrypt(sent.body, canada.seal, position=0)

    subject = evidence.subject_of(sent.header, sent.note)
    said = {name: now(name) for name in ("acceptance.note", "handover.event", "receipt.note", "freshness.note")}
    events = {
        name: evidence.event_text(
            ORIGIN, said[name]["event"], subject, to=tuple(said[name]["to"]), time=said[name]["time"], directory=book
        )
        for name in ("acceptance.note", "handover.event")
    }
    receipt = said["receipt.note"]
    comment = (FOLDER / "ca.liaison.key").read_bytes().split(b"\n")[0]
    salt = secrets.token_bytes(32)

    asked = now("request.note")

    old = (FOLDER / "http-request").read_text()
    method, target, _ = old.split(" ", 2)
    times = {name: int(re.findall(rf"{name}=(\d+)", old)[0]) for name in ("created", "expires")}
    request = http_signature.Request(method=method, authority="broker.exchange.example", target=target)
    fields = http_signature.sign(request, canada.auth, **times, nonce=re.findall('nonce="(.*?)"', old)[0])
    lines = [f"{method} {target} HTTP/1.1", f"Host: {request.authority}", *map(": ".join, fields.items()), ""]
    parsed = http_signature.parse(
        method, target, [tuple(part.encode() for part in line.split(": ", 1)) for line in lines[1:-1]],
        {request.authority},
    )  # type: ignore[arg-type]  # fmt: skip

    files = {
        "root.1.note": exchange.root_raw,
        "directory.1.note": exchange.directory_raws[0],
        "freshness.note": exchange.freshness(now_ms=said["freshness.note"]["issued"]),
        "request.note": make_request(
            canada, state="CA", name=asked["name"], area=asked["area"], now_ms=asked["time"]
        ),
        "plaintext": plaintext,
        "message.note": note,
        "body.age": sent.body,
        "message": raw,
        "ca.liaison.key": b"\n".join([comment, canada.seal.to_text().encode(), b""]),
        "acceptance.note": notes.sign(events["acceptance.note"], [exchange.broker_keys.evidence_signer]),
        "handover.event": events["handover.event"],
        "handover.salt": salt.hex().encode(),
        "receipt.note": evidence.receipt_note(
            ORIGIN, receipt["event"], subject, canada.sign,
            recipient=receipt["recipient"], time=receipt["time"], directory=book, log=tuple(receipt["log"]),
        ),
        "http-request": "\n".join(lines).encode() + b"\n",
        "http-signature-base": parsed.base,
    }  # fmt: skip
    cells = {
        "digest of root 1": exchange.root_digest,
        "digest of directory version 1": book[1],
        "digest of the message: SHA-256 of the two lines of its note": sent.digest,
        "SHA-256 of its whole note": hashlib.sha256(note).hexdigest(),
        "SHA-256 of its body": hashlib.sha256(sent.body).hexdigest(),
        "seal key id of `ca.liaison`": canada.seal.recipient.key_id,
        "`sign` key of `mx.enlace`": mexico.sign.public.hex(),
        "key id of that key on signature lines": notes.key_id(mexico.sign.name, mexico.sign.public).hex(),
        "`auth` key of `ca.liaison`": canada.auth.public.hex(),
        "its `keyid`": keys.auth_key_id(canada.auth.public),
        "bytes inside the seal before and after padding": f"{len(plaintext.rstrip())}, {len(plaintext)}",
        "salt of the handover event": salt.hex(),
        "its commitment (5.3)": evidence.commitment(salt, events["handover.event"]).hex(),
    }
    return files, cells


def cut(quoted: str, data: str) -> str:
    """`data`, cut where `quoted` is: each line keeps what stands before its first `[...]` and after its last."""
    made = []
    for line, whole in zip(quoted.split("\n"), data.split("\n"), strict=False):
        before, *_, after = line.split("[...]") if "[...]" in line else (None, "")
        if before is None:
            made.append(whole)
        elif after:
            made.append(f"{whole[: len(before)]}[...]{whole[-len(after) :]}")
        else:  # the padding, or the payload, is left out too
            made.append(f"{cut(line.removesuffix('[...]'), whole.rstrip())}[...]")
    return "\n".join(made)


def main() -> None:
    """Write the files, then the page."""
    root = notes.parse((FOLDER / "root.1.note").read_bytes(), limits.directory_bytes_max).digest
    files, cells = make()
    page = SPEC.read_text("utf-8").replace(f"\n    {root}\n", f"\n    {cells['digest of root 1']}\n")
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)

    def quote(found: re.Match[str]) -> str:
        data = (FOLDER / found[2]).read_bytes().decode("utf-8", "replace")
        text = cut(found[4], data) if found[3] else data.removesuffix("\n")
        return f"{found[1]}{text}\n```\n"

    page = re.sub(
        r"(<!-- vectors/example/([a-z0-9.-]+)(, cut)? -->\n```text\n)(.*?)\n```\n", quote, page, flags=re.DOTALL
    )
    for name, value in cells.items():
        page = re.sub(
            rf"^(\| {re.escape(name)} \| `)[0-9a-f, ]+(` \|)$", rf"\g<1>{value}\g<2>", page, flags=re.MULTILINE
        )
    SPEC.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
