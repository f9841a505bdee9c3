"""What a sender allowed is kept: nothing is passed on or given out past it, but by a consent that is on record."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from valija import HandlingError, StateError, UsageError, seal
from valija.cases.handling import Consent, closed_for, export_faults, forwarding_faults
from valija.client import Client
from valija.received import Message
from valija_schemas import documents, message
from valija_schemas import note as notes

EXAMPLES = Path(__file__).parents[3] / "schemas/examples"
TYPES = ("information-request", "response", "dissemination-consent-request", "dissemination-consent-reply")
REQUEST, RESPONSE, ASKING, ANSWER = (json.loads((EXAMPLES / f"{name}-1.json").read_text()) for name in TYPES)
MX, CO, CA, PE = "mx.enlace", "co.enlace", "ca.liaison", "pe.enlace"
TYPE = "information-request/1"
WHY = "El puerto de destino es de ejemplo."
DAY = "2026-03-01"


async def handled(client: Client, *, until: int = 1) -> list[Message]:
    found: list[Message] = []
    async for received in client.inbox():
        async with received:
            found.append(received)
    assert len(found) == until
    return found


def under(*use: str, text: str | None = None, level: str = "none", until: str | None = None) -> dict[str, Any]:
    handling = REQUEST["handling"] | {"use": list(use), "text": text, "retain_until": None}
    return REQUEST | {"handling": handling, "confidentiality": {"level": level, "until": until}}


def document(*use: str, **how: Any) -> documents.Document:
    return documents.from_builtins(TYPE, under(*use, **how))


def named(exchange: Any, id_: str) -> dict[str, Any]:
    point = exchange.phonebook.point(id_)
    return {"name": point.name, "country": point.state, "functions": "Enlace de ejemplo"}


async def asks(client: Client, digest: str, exchange: Any, *to: str, **changes: Any) -> str:
    wanted = ASKING | {"regarding": {"message": digest}, "recipients": [named(exchange, id_) for id_ in to]}
    wanted |= {"scope": "whole", "parts": None}
    sent = await client.reply(digest, wanted | changes, type="dissemination-consent-request/1")
    return sent.digest


async def grants(client: Client, digest: str, **changes: Any) -> None:
    given = ANSWER | {"regarding": {"message": digest}, "answer": "granted", "conditions": None, "reasons": None}
    await client.reply(digest, given | {"valid_until": None} | changes, type="dissemination-consent-reply/1")


# What the codes mean


def test_h2_and_confidentiality_close_a_document_for_others_until_it_ends():
    assert not list(closed_for(document("H0"), DAY))
    assert not list(closed_for(document("H1", "H3", text="Solo en papel"), DAY))
    assert len(list(closed_for(document("H2", level="permanent"), DAY))) == 2
    assert list(closed_for(document("H1", level="temporary", until=DAY), DAY))
    assert not list(closed_for(document("H1", level="temporary", until="2026-02-28"), DAY))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"points": (CA,)}, True),
        ({"proposed": (("  CONTACT   point", "CA"),)}, True),
        ({"proposed": (("Contact Point", "MX"),)}, False),
        ({"points": (PE,)}, False),
        ({"points": (CA,), "whole": False}, False),
        ({"points": (CA,), "valid_until": "2026-02-28"}, False),
        ({"points": (CA,), "valid_until": DAY}, True),
    ],
)
def test_a_consent_counts_for_whom_it_names_for_the_whole_and_until_its_last_day(exchange, change, counts):
    point = replace(exchange.phonebook.point(CA), name="Contact point")
    consent = Consent(message="0" * 64, by=MX, at=0, reply=None, **change)
    assert forwarding_faults(document("H2"), [point], [consent], DAY) == (
        [] if counts else [f"{CA}: H2 forbids to pass it on without its sender's consent"]
    )


@pytest.mark.parametrize(
    ("use", "purpose", "faults"),
    [
        (("H0",), "other", 0),
        (("H1",), "judicial", 1),
        (("H1",), "other", 0),
        (("H2",), "other", 1),
        (("H2",), "judicial", 1),
        (("H1", "H2"), "internal", 0),
        (("H3",), "internal", 1),
    ],
)
def test_each_purpose_meets_the_codes_that_speak_of_it(use, purpose, faults):
    given = document(*use, text="Solo en papel" if "H3" in use else None)
    found = list(export_faults(given, purpose, [], DAY, confirmed=False))
    assert len(found) == faults
    assert "H3" not in use or "Solo en papel" in found[0]
    consent = Consent(message="0" * 64, by=MX, at=0, reply=None, in_proceedings=True)
    assert not list(export_faults(given, purpose, [consent], DAY, confirmed=True))
    half = replace(consent, in_proceedings=False)
    assert bool(list(export_faults(given, purpose, [half], DAY, confirmed=True))) == (purpose == "judicial")


# Passing on


async def test_what_h2_closes_is_passed_on_to_whom_its_sender_consented_and_keeps_its_limits(
    exchange, broker, tmp_path
):
    async with (
        broker.client(MX, tmp_path) as sender,
        broker.client(CO, tmp_path) as holder,
        broker.client(CA, tmp_path) as third,
    ):
        sent = await sender.send(under("H1", "H2"), CO, type=TYPE)
        await handled(holder)
        await holder.reply(sent.digest, RESPONSE, type="response/1")
        with pytest.raises(HandlingError, match=r"ca[.]liaison: H2 forbids") as error:
            await holder.forward(sent.digest, CA, why=WHY)
        assert "dissemination-consent-request" in error.value.hint
        asked = await asks(holder, sent.digest, exchange, CA)
        with pytest.raises(HandlingError):
            await holder.forward(sent.digest, CA, why=WHY)
        await handled(sender, until=2)
        await grants(sender, asked, answer="granted-with-conditions", conditions="Sin copias")
        await handled(holder)
        with pytest.raises(HandlingError, match=r"pe[.]enlace: H2"):
            await holder.forward(sent.digest, [CA, PE], why=WHY)
        await holder.forward(sent.digest, CA, why=WHY, key="passed-on")

        (received,) = await handled(third)
        found = received.document
        assert (received.type, received.thread, received.in_reply_to) == (
            "spontaneous-information/1", received.id, None,
        )  # fmt: skip
        assert (found.handling.use, found.handling.consent_contact) == (("H1", "H2"), MX)
        assert (found.handling.purpose, found.restrictions) == (REQUEST["handling"]["purpose"], "Sin copias")
        assert found.authority.name == ASKING["authority"]["name"]
        assert sent.digest in found.items[0].text
        assert json.loads(found.items[0].files[0].content) == under("H1", "H2")
        case = await holder.case(sent.thread)
        (consent,) = case.consents[sent.digest]
        assert (consent.by, consent.conditions, consent.by_hand) == (MX, "Sin copias", False)


async def test_a_refusal_and_a_consent_of_somebody_else_let_nothing_pass(exchange, broker, tmp_path):
    async with (
        broker.client(MX, tmp_path) as sender,
        broker.client(CO, tmp_path) as holder,
        broker.client(CA, tmp_path) as third,
    ):
        sent = await sender.send(under("H2"), [CO, CA], type=TYPE)
        await handled(holder)
        await handled(third)
        asked = await asks(holder, sent.digest, exchange, PE)
        await handled(sender)
        await grants(sender, asked, answer="refused", reasons="Fuente en peligro")
        await asks(holder, sent.digest, exchange, PE)
        order = third.order(
            ANSWER | {"regarding": {"message": asked}, "answer": "granted", "conditions": None, "reasons": None},
            CO,
            type="dissemination-consent-reply/1",
        )
        await third._open.sending.send(replace(order, thread=sent.thread))
        await handled(holder, until=2)
        with pytest.raises(HandlingError):
            await holder.forward(sent.digest, PE, why=WHY)


async def test_a_reply_to_others_than_those_who_have_it_passes_it_on(broker, tmp_path):
    async with (
        broker.client(MX, tmp_path) as sender,
        broker.client(CO, tmp_path) as holder,
        broker.client(CA, tmp_path) as third,
    ):
        sent = await sender.send(under("H2"), [CO, CA], type=TYPE)
        (received,) = await handled(holder)
        await holder.reply(received, RESPONSE, type="response/1", to=[MX, CA])
        for work in (
            holder.reply(received, RESPONSE, type="response/1", to=[MX, PE]),
            holder.send(RESPONSE, [MX, PE], type="response/1", in_reply_to=sent.digest),
            holder.dry_run(holder.order(RESPONSE, [MX, PE], type="response/1", in_reply_to=sent.digest)),
        ):
            with pytest.raises(HandlingError, match=r"pe[.]enlace: H2"):
                await work
        async for one in third.inbox():
            async with one:
                if one.type == TYPE:
                    with pytest.raises(HandlingError):
                        await one.reply(RESPONSE, type="response/1", to=[MX, PE])
        assert len(broker.accepted) == 2


async def test_an_exercise_is_passed_on_as_one_and_what_is_ours_or_refused_is_not(broker, tmp_path):
    async with (
        broker.client(MX, tmp_path) as sender,
        broker.client(CO, tmp_path) as holder,
        broker.client(CA, tmp_path) as third,
    ):
        sent = await sender.send(under("H0"), CO, type=TYPE, exercise=True)
        with pytest.raises(UsageError, match="our own"):
            await sender.forward(sent.digest, CA, why=WHY)
        await handled(holder)
        with pytest.raises(UsageError, match="in whose name"):
            await holder.forward(sent.digest, CA, why=WHY)
        await holder.forward(sent.digest, CA, why=WHY, authority=RESPONSE["authority"])
        (received,) = await handled(third)
        assert received.exercise
        assert received.document.handling.use == ("H0",)
        await sender.send(under("H0"), CO, type=TYPE)
        async for one in holder.inbox():
            async with one:
                await one.reject("Duplicado de ejemplo")
        with pytest.raises(UsageError, match="refused here"):
            await holder.forward(one.digest, CA, why=WHY, authority=RESPONSE["authority"])


async def test_what_was_changed_on_our_disk_is_not_passed_on_as_its_sender_s(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(under("H2"), CO, type=TYPE)
        await handled(holder)
        raw = holder._open.inbox.get(sent.digest).raw
    # Anybody can seal to us: a thief of the folder takes H2 off, and signs with a key that is not the sender's.
    header = replace(message.read(raw, exchange.origin).header, body=None, body_length=0)
    theirs = notes.Ed25519Signer(f"{exchange.origin}/{MX}", Ed25519PrivateKey.generate())
    own = exchange.keyrings[CO].seal.recipient
    forged = seal.write(header, documents.encode(document("H0")), [own], exchange.origin, theirs)
    digest = message.read(forged, exchange.origin).digest
    with sqlite3.connect(tmp_path / CO / "inbox.sqlite") as db:
        db.execute("UPDATE valija_messages SET raw = ?, digest = ?", (forged, digest))
    async with broker.client(CO, tmp_path) as holder:
        with pytest.raises(StateError, match="does not verify"):
            await holder.forward(digest, CA, why=WHY, authority=RESPONSE["authority"])
        assert len(broker.accepted) == 1


async def consented(sender: Client, holder: Client, exchange: Any, *use: str) -> tuple[str, str]:
    """A message that its holder asked to pass on to Canada: its digest, and that of the request."""
    sent = await sender.send(under(*use), CO, type=TYPE)
    await handled(holder)
    asked = await asks(holder, sent.digest, exchange, CA, in_proceedings=False)
    await handled(sender)
    return sent.digest, asked


async def forwards(holder: Client, digest: str) -> None:
    await holder.forward_order(digest, CA, why=WHY, authority=RESPONSE["authority"])


async def test_a_consent_that_was_taken_back_counts_no_more(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        digest, asked = await consented(sender, holder, exchange, "H2")
        await grants(sender, asked)
        await handled(holder)
        await forwards(holder, digest)
        await grants(sender, asked, answer="refused", reasons="Fuente en peligro")
        await handled(holder)
        with pytest.raises(HandlingError):
            await forwards(holder, digest)


async def test_a_consent_in_an_exercise_lets_nothing_real_pass(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(under("H2"), CO, type=TYPE)
        await handled(holder)
        wanted = ASKING | {"regarding": {"message": sent.digest}, "recipients": [named(exchange, CA)]}
        wanted |= {"scope": "whole", "parts": None}
        asked = await holder.send(wanted, MX, type="dissemination-consent-request/1", exercise=True)
        await handled(sender)
        await grants(sender, asked.digest)
        await handled(holder)
        with pytest.raises(HandlingError):
            await forwards(holder, sent.digest)


async def test_a_consent_is_for_the_one_request_that_it_names(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        digest, asked = await consented(sender, holder, exchange, "H2")
        other, other_asked = await consented(sender, holder, exchange, "H2")
        await grants(sender, asked, regarding={"message": other_asked})
        await handled(holder)
        await forwards(holder, other)
        with pytest.raises(HandlingError):
            await forwards(holder, digest)


async def test_a_consent_that_was_put_into_the_folder_lets_nothing_pass(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        digest, asked = await consented(sender, holder, exchange, "H2")
        await grants(sender, asked, answer="refused", reasons="Fuente en peligro")
        (received,) = await handled(holder)
        raw = holder._open.inbox.get(received.digest).raw
    header = replace(message.read(raw, exchange.origin).header, body=None, body_length=0)
    theirs = notes.Ed25519Signer(f"{exchange.origin}/{MX}", Ed25519PrivateKey.generate())
    own = exchange.keyrings[CO].seal.recipient
    given = ANSWER | {"regarding": {"message": asked}, "answer": "granted", "conditions": None, "reasons": None}
    given["valid_until"] = None
    json_ = documents.encode(documents.from_builtins("dissemination-consent-reply/1", given))
    forged = seal.write(header, json_, [own], exchange.origin, theirs)
    with sqlite3.connect(tmp_path / CO / "inbox.sqlite") as db:
        changed = (forged, message.read(forged, exchange.origin).digest, received.digest)
        db.execute("UPDATE valija_messages SET raw = ?, digest = ? WHERE digest = ?", changed)
    async with broker.client(CO, tmp_path) as holder:
        with pytest.raises(StateError, match="does not verify"):
            await forwards(holder, digest)


async def test_conditions_under_h0_travel_as_a_limit_of_their_own(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(under("H0"), CO, type=TYPE)
        await handled(holder)
        free = RESPONSE | {"handling": RESPONSE["handling"] | {"use": ["H0"]}}
        await holder.reply(sent.digest, free, type="response/1")
        (answer,) = await handled(sender)
        order = await sender.forward_order(answer, CA, why=WHY)
        found = json.loads(order.json)
        assert (found["handling"]["use"], found["handling"]["text"]) == (["H3"], RESPONSE["conditions_of_use"])


# A consent by hand, and export


async def test_a_consent_by_hand_is_kept_sealed_counts_and_is_shown_as_such(broker, tmp_path):
    letter = tmp_path / "carta.txt"
    letter.write_text("Autorizado. Oficina de ejemplo.")
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(under("H2"), CO, type=TYPE)
        await handled(holder)
        await holder.record_consent(sent.digest, letter, by="Fiscalía de ejemplo", points=[CA])
        await holder.forward(sent.digest, CA, why=WHY, authority=RESPONSE["authority"])
        (consent,) = (await holder.case(sent.digest)).consents[sent.digest]
        assert (consent.by, consent.by_hand, consent.proof) == ("Fiscalía de ejemplo", True, "carta.txt")
        kept = b"".join(path.read_bytes() for path in (tmp_path / CO).glob("consents.sqlite*"))
        assert sent.digest.encode() in kept
        for word in ("Autorizado", "Fiscal", CA):
            assert word.encode() not in kept


async def test_an_export_writes_every_paper_and_its_handling_or_nothing(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(under("H1", "H3", text="Solo en papel"), CO, type=TYPE)
        await handled(holder)
        answer = await holder.reply(sent.digest, RESPONSE, type="response/1")
        folder = tmp_path / "papers"
        for purpose, confirmed, text in (("judicial", True, "H1 forbids"), ("internal", False, "Solo en papel")):
            with pytest.raises(HandlingError, match=text):
                await holder.export_case(sent.thread, folder, purpose, handling_confirmed=confirmed)
            assert not folder.exists()
        written = await holder.export_case(sent.thread, folder, "other", handling_confirmed=True)
        assert set(written) == set(folder.iterdir())
        assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *written))
        index = (folder / "INDEX.txt").read_text()
        for expected in (
            sent.digest,
            answer.digest,
            "Handling: H1: not in",
            "Handling: Solo en papel",
            "Exported for other use",
        ):
            assert expected in index
        first = (folder / "001-mx.enlace-information-request-1.json").read_text()
        assert json.loads(first) == under("H1", "H3", text="Solo en papel")
        stem = "001-mx.enlace-information-request-1"
        suffixes = {path.name.removeprefix(stem) for path in written if path.name.startswith(stem)}
        assert suffixes == {".json", ".message", ".acceptance", ".evidence.zip"}
        with pytest.raises(StateError, match="there already"):
            await holder.export_case(sent.thread, folder, "other", handling_confirmed=True)
        # Our own limits bind others.
        await sender.export_case(sent.thread, tmp_path / "ours", "other")


async def test_a_text_of_a_sender_writes_no_line_of_the_index(broker, tmp_path):
    faked = "Consent of mx.enlace on 2026-03-01 (message 0000) for everybody"
    given = under("H1", "H3", text=f"Solo en papel\n{faked}")
    given["handling"]["purpose"] += f"\n\n2.\n   {faked}"
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(given, CO, type=TYPE)
        await handled(holder)
        with pytest.raises(HandlingError, match=r"\n  [|] Consent of"):
            await holder.export_case(sent.thread, tmp_path / "none", "internal")
        await holder.export_case(sent.thread, tmp_path / "papers", "internal", handling_confirmed=True)
        lines = (tmp_path / "papers/INDEX.txt").read_text().split("\n")
        assert not {"2.", f"   {faked}"} & {*lines}
        assert [line.split("|")[0] for line in lines if faked in line] == ["     ", "     "]


async def test_what_h2_closes_is_not_given_out_in_the_message_that_passed_it_on(exchange, broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        digest, asked = await consented(sender, holder, exchange, "H2")
        await grants(sender, asked)
        await handled(holder)
        passed = await holder.forward(digest, CA, why=WHY, authority=RESPONSE["authority"])
        await holder.export_case(passed.thread, tmp_path / "other", "other")
        folder = tmp_path / "papers"
        with pytest.raises(HandlingError, match=r"spontaneous-information/1 of co[.]enlace: H2 forbids"):
            await holder.export_case(passed.thread, folder, "judicial")
        assert not folder.exists()
        await grants(sender, asked, answer="refused", reasons="Fuente en peligro")
        await handled(holder)
        with pytest.raises(HandlingError, match="H2 forbids"):
            await holder.export_case(passed.thread, folder, "other")


@pytest.mark.parametrize(("purpose", "kept"), [("internal", False), ("other", True), ("judicial", True)])
def test_a_document_whose_limits_are_not_understood_does_not_leave_the_house(purpose, kept):
    assert bool(list(export_faults(None, purpose, [], DAY, confirmed=True))) == kept
    consent = Consent(message="0" * 64, by=MX, at=0, reply=None, in_proceedings=True)
    assert not list(export_faults(None, purpose, [consent], DAY, confirmed=True))
    half = replace(consent, in_proceedings=False)
    assert bool(list(export_faults(None, purpose, [half], DAY, confirmed=True))) == (purpose == "judicial")


async def test_who_passes_a_document_on_cannot_consent_in_its_sender_s_place(exchange, broker, tmp_path):
    async with (
        broker.client(MX, tmp_path) as sender,
        broker.client(CO, tmp_path) as holder,
        broker.client(CA, tmp_path) as third,
    ):
        sent = await sender.send(under("H2"), CO, type=TYPE)
        await handled(holder)
        asked = await asks(holder, sent.digest, exchange, CA)
        await handled(sender)
        await grants(sender, asked)
        await handled(holder)
        passed = await holder.forward(sent.digest, CA, why=WHY)
        await handled(third)
        asked = await asks(third, passed.digest, exchange, PE)
        await handled(holder)
        await grants(holder, asked)
        await handled(third)
        with pytest.raises(HandlingError, match=r"pe[.]enlace: H2"):
            await third.forward(passed.digest, PE, why=WHY)


async def test_an_index_that_says_whose_a_message_is_opens_nothing(broker, tmp_path):
    async with broker.client(MX, tmp_path) as sender, broker.client(CO, tmp_path) as holder:
        sent = await sender.send(under("H2"), CO, type=TYPE)
        await handled(holder)
        await holder.case(sent.digest)
        for change in (f"sender = '{CO}'", f'recipients = \'["{CO}", "{CA}"]\''):
            with sqlite3.connect(tmp_path / CO / "cases.sqlite") as db:
                db.execute(f"UPDATE valija_messages SET {change}")
            with pytest.raises(StateError, match="index is damaged"):
                await holder.forward(sent.digest, CA, why=WHY, authority=RESPONSE["authority"])
        assert len(broker.accepted) == 1
