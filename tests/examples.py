"""What the pages and the docstrings show, word for word: type-checked by `make types`, run by the journey.

Each function holds one of their examples. What an example takes for granted comes in as an argument.
"""
# fmt: off

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from valija import sync
from valija_schemas import documents

Store = Callable[[str, object], None]


def the_readme_sends(request: Mapping[str, Any]) -> None:
    from valija.sync import Client

    with Client.from_env() as valija:
        sent = valija.send(request, "co.enlace", type="information-request/1", key="PE-00431")
        valija.wait(sent, until="acknowledged", timeout=3600)


def the_readme_sends_to_a_group(valija: sync.Client, request: Mapping[str, Any]) -> None:
    found = valija.expand("state:PE+area:judicial", "information-request/1")
    sent = valija.send(request, found.ids, type="information-request/1", key="PE-00432")


def the_readme_looks_up_the_legal_basis(valija: sync.Client, request: Mapping[str, Any]) -> None:
    order = valija.order(request, "pe.judicial", type="mutual-legal-assistance-request/1")
    for line in valija.advise(order).lines():
        print(line)


def the_readme_writes_a_request() -> documents.Document:
    from valija_schemas.documents.blocks import Authority, Case, Handling, LegalBasis, Offence, Question
    from valija_schemas.documents.forms.information_request import InformationRequest

    office = Authority(name="Oficina de ejemplo", country="MX", functions="Enlace policial", phone="+12025550141")
    request = InformationRequest(
        language="es",
        authority=office,
        case=Case(
            reference="PE-00431",
            title="Operación Espécimen",
            offences=(Offence(code="money-laundering", citation="Código Penal Federal, art. 400 bis"),),
        ),
        legal_basis=(LegalBasis(instrument="untoc", article="27(1)"),),
        handling=Handling(use=("H1", "H2"), purpose="Investigación del caso citado"),
        inquiry=("means-and-methods",),
        questions=(Question(number=1, text="¿Qué rutas se conocen?"),),
    )
    return request


def the_readme_writes_an_answer() -> documents.Document:
    from pathlib import Path

    from valija_schemas.documents.blocks import Answer, Authority, File, Grading, Handling
    from valija_schemas.documents.forms.response import Response

    office = Authority(name="Oficina de ejemplo", country="CO", functions="Enlace policial", phone="+12025550142")
    answer = Response(
        language="es",
        authority=office,
        handling=Handling(use=("H1",), purpose="El caso PE-00431"),
        outcome="full",
        answers=(
            Answer(
                question=1,
                text="Dos, que el mapa muestra.",
                grading=Grading(source="B", information="3"),
                files=(File.of("mapa.png", "image/png", Path("mapa.png").read_bytes()),),
            ),
        ),
    )
    return answer


def the_readme_receives(valija: sync.Client, store: Store, answer: Mapping[str, Any]) -> None:
    for message in valija.inbox(follow=True):
        with message:
            store(message.sender, message.document)
            message.reply(answer, type="response/1")


def the_readme_receives_exactly_once(message: sync.Message) -> None:
    with message, message.transaction() as db:
        db.execute("INSERT INTO requests VALUES (?, ?)", (message.sender, message.json))


async def the_readme_tests(folder: Path, request: Mapping[str, Any], store: Store) -> None:
    from valija.registry.sample import sample_exchange
    from valija.testing import MemoryBroker

    broker = MemoryBroker(sample_exchange())
    async with broker.client("mx.enlace", folder) as sender, broker.client("co.enlace", folder) as recipient:
        sent = await sender.send(request, "co.enlace", type="information-request/1")
        async for message in recipient.inbox():
            async with message:
                store(message.sender, message.document)
        await sender.wait(sent, timeout=10)


async def valija_client(document: documents.Document) -> None:
    from valija import Client

    async with Client.from_env() as valija:
        sent = await valija.send(document, "co.enlace", key="PE-00431")
        await valija.wait(sent, until="acknowledged", timeout=3600)


def valija_sync() -> None:
    from valija.sync import Client

    with Client.from_env() as valija:
        for message in valija.inbox():
            with message:
                ...


async def valija_testing(folder: Path) -> None:
    from valija.registry.sample import sample_exchange
    from valija.testing import MemoryBroker

    broker = MemoryBroker(sample_exchange())
    async with broker.client("mx.enlace", folder) as sender: ...


def valija_itself() -> None:
    from valija.sync import Client


def valija_itself_with_an_event_loop() -> None:
    from valija import Client
