"""The harness of the benchmarks: that figures are what they say. No figure is asserted here or anywhere."""

import asyncio
from pathlib import Path

import pytest
from bench import figures
from bench.figures import Aim, Done, Figure, Results
from bench.load import Work, run

PAGE = Path(__file__).parents[2] / "broker/MEASURED.md"


def figure(*values: float, aim: Aim | None = None) -> Figure:
    return Figure(benchmark="x.y", name="speed", unit="msg/s", values=values, aim=aim)


def results(*found: Figure) -> Results:
    done = Done(name="x.y", how="How it was done.", seconds=1.0, others=0.3, figures=found, notes=("A condition.",))
    return Results(
        command="make bench", machine={"kernel": "some"}, load_before="0", load_after="1", seconds=60.0, done=(done,)
    )


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(n) for n in range(1, 101)]
    assert [figures.percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert figures.percentile([3.0, 1.0], 0.01) == 1


@pytest.mark.parametrize(
    ("aim", "verdict"), [(Aim(">=", 2), "kept"), (Aim("<=", 2), "kept"), (Aim(">=", 2.1), "missed"), (None, "")]
)
def test_an_aim_is_held_against_the_median(aim, verdict):
    assert figure(1, 2, 900, aim=aim).verdict == verdict


def test_the_page_shows_every_repetition_and_keeps_what_a_person_wrote():
    made = figures.markdown(results(figure(10, 30, 20, aim=Aim(">=", 25))))
    assert "| speed | 20 | msg/s | 10 to 30 | 3 | >= 25: missed |" in made
    assert "How it was done." in made
    assert "A condition." in made
    assert "other programs took 0.3 cores" in made
    page = figures.replaced(f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n", made)
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert figures.replaced(page, made) == page
    with pytest.raises(ValueError, match="marks"):
        figures.replaced("a page without", made)


def test_the_page_has_its_marks():
    assert figures.BEGIN in PAGE.read_text()
    assert figures.END in PAGE.read_text()


async def test_the_load_process_counts_answers_by_status_and_time():
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        while data := await reader.read(100):
            status = b"202 Accepted" if data == b"good" else b"503 No"
            head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\n\r\n"
            writer.write(head[:20])  # an answer may come in pieces
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(head[20:] + b"abc")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = await run(address, Work(b"", [b"good", b"bad", b"good"]), 2, 100.0, 5.0)
    server.close()
    await asyncio.gather(*served)
    assert found.statuses == {"202": 2, "503": 1}
    assert sorted(found.answered) == [0, 1, 2]
    assert len(found.latencies) == found.counted == 3
    assert min(found.latencies) > 0
