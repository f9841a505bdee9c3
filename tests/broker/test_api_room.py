"""One contact point cannot take a worker's memory: what it has open at once is bounded, and others do not notice."""

import asyncio

from harness import read_answer

from valija_schemas import api, problem

DEFAULT_LEASES = 16  # of a worker: open_bytes_max / lease_bytes_max


async def test_a_contact_point_that_opens_more_than_its_share_is_told_so_and_others_are_served(fresh):
    sender, greedy, other = fresh(), fresh(), fresh()
    body = api.encode(api.LeaseRequest(instance="greedy", have=(), limit=1, wait_ms=20_000))
    answers = []
    for _ in range(3 * DEFAULT_LEASES):
        reader, writer = await greedy.socket()
        writer.write(greedy.raw("POST", "/v1/leases", greedy.signed("POST", "/v1/leases", body), body))
        answers.append((asyncio.create_task(read_answer(reader)), writer))
    tasks = [task for task, _ in answers]
    async with asyncio.timeout(15):
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        while len(waiting) > 2 * DEFAULT_LEASES:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
    for task in done:
        answer = task.result()
        assert answer.status == 429
        assert problem.decode(answer.body).code == "busy"
        assert answer.headers["Retry-After"]
    await sender.accepted(sender.message(other))
    assert len(await other.lease()) == 1
    for task, writer in answers:
        task.cancel()
        writer.transport.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
    await sender.accepted(sender.message(greedy))
    async with asyncio.timeout(20):  # those who left are noticed in their own time
        while (await greedy.request("POST", "/v1/leases", body)).status == 429:
            await asyncio.sleep(0.2)


async def test_answers_that_are_not_read_are_bounded_and_the_mail_comes_again(fresh):
    sender, silent = fresh(), fresh()
    document = b'{"t":"' + b"x" * 900_000 + b'"}'
    await sender.accepted(sender.message(silent, document=document))
    body = api.encode(api.LeaseRequest(instance="silent", have=(), limit=1, wait_ms=0))
    writers = []
    for _ in range(20):
        _, writer = await silent.socket()
        writer.transport.pause_reading()
        writer.write(silent.raw("POST", "/v1/leases", silent.signed("POST", "/v1/leases", body), body))
        writers.append(writer)
    await asyncio.sleep(0.5)
    for writer in writers:
        writer.transport.abort()
    async with asyncio.timeout(20):  # those who left are noticed in their own time
        lent: tuple[api.Lent, ...] = ()
        while not lent:
            answer = await silent.ask_lease(instance="silent", wait_ms=500)
            if answer.status == 429:
                await asyncio.sleep(0.2)
            else:
                lent = api.read_lent(answer.body)
    assert lent[0].attempt == 1, "an answer that was not read is no delivery"
