"""The operator's command at a console that lies: it signs what it shows, and shows what it signs, and nothing else."""

import contextlib
import hashlib
import http.server
import io
import pty
import threading
import time
import webbrowser

import msgspec
import pytest
from click.testing import CliRunner
from private_tls import Authority

from valija import age, keyring
from valija.connect import Endpoint
from valija.registry import cli_common, console_visit
from valija.registry.cli import main
from valija.registry.sample import sample_exchange
from valija_schemas import hold, limits, order, problem, session
from valija_schemas import note as notes
from valija_schemas.proposal import Preview, Proposal, Proposals, SignatureLine, proposals_max

NOW = 1_800_000_000_000
TOKEN = "t" * 43
A = "operator.a"


class LyingConsole:
    """Answers as a console, with what a test says; keeps what it was sent."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.shown: list = []  # an answer to each look; after the last one the session has ended
        self.notes, self.lines, self.ended, self.looks = [], [], 0, 0
        self.answers = {}  # (status, bytes) for a path, instead of what is usual
        self.origin, self.link = exchange.origin, None
        self.signed = lambda id_: problem_("not-found")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_any(handler):  # noqa: N805
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                status, answer = self.answer(handler.command, handler.path, body, handler.headers)
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(answer)))
                if 300 <= status < 400:
                    handler.send_header("Location", f"{self.url}/admin/v1/proposals")
                handler.end_headers()
                with contextlib.suppress(ConnectionError):
                    handler.wfile.write(answer)

            do_GET = do_POST = do_DELETE = do_any  # noqa: N815

            def log_message(handler, *_):  # noqa: N805
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, method, path, body, headers):
        if path in self.answers:
            return self.answers[path]
        if path == "/admin/v1/challenge":
            return json(session.Challenged(origin=self.origin, challenge="c" * 40, expires=NOW, time=NOW))
        if path == "/admin/v1/sessions":
            self.notes.append(body)
            who = session.SignedIn(operator=A, roles=("operator",), idle=NOW, expires=NOW)
            link = self.link or f"{self.url}/sign-in?link={'l' * 43}"
            return json(session.Begun(token=TOKEN, link=link, session=who))
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        if method == "DELETE":
            self.ended += 1
            return json(session.SignedIn(operator=A, roles=("operator",), idle=NOW, expires=NOW))
        if method == "POST":
            self.lines.append((path, msgspec.json.decode(body, type=SignatureLine).line))
            return self.signed(path.split("/")[-2])
        self.looks += 1
        return json(Proposals(proposals=tuple(self.shown.pop(0)))) if self.shown else problem_("not-signed-in")

    def line(self, who, text):
        return notes.signature_line(self.exchange.operator_keyrings[who].operator, text.encode()).decode()

    def text(self, **changes):
        values = {"action": "discard", "message": "ab" * 32, "contact_point": "ca.liaison", "time": NOW,
                  "reason": "nobody there can open it"}  # fmt: skip
        return order.text(self.exchange.origin, order.Action(**(values | changes))).decode()


def json(value):
    return 200, msgspec.json.encode(value)


def problem_(code, detail="words"):
    found = problem.Problem(type="x", title="title", status=409, detail=detail, code=code, retryable=False, time=NOW)
    return found.status, problem.encode(found)


def proposal(text, **changes):
    values = {
        "id": hashlib.sha256(text.encode()).hexdigest(), "text": text, "act": "replay", "message": "cd" * 32,
        "contact_point": "mx.enlace", "reason": "harmless", "by": "operator.b", "time": NOW, "ends": NOW, "needs": 1,
        "signed": (), "state": "open", "words": None, "note": None,
        "preview": Preview(letter=None, concerned=(), until=None),
    }  # fmt: skip
    return Proposal(**(values | changes))


@pytest.fixture(scope="module")
def exchange():
    return sample_exchange()


@pytest.fixture(scope="module")
def keys(exchange, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys")
    (path / "passphrase").write_text("correct horse\n")
    for who, held in (*exchange.operator_keyrings.items(), ("mx.enlace", exchange.keyrings["mx.enlace"])):
        keyring.save(path / who, held, age.Passphrase("correct horse", 1))
    return path


@pytest.fixture
def there(exchange, monkeypatch):
    monkeypatch.setattr(console_visit, "poll_s", 0.01)
    monkeypatch.setattr("valija.registry.core.now", lambda: NOW)
    monkeypatch.setattr("valija.registry.console.Console.__init__.__defaults__", (lambda: NOW,))
    monkeypatch.setattr("valija.registry.console.backoff_s", 0.01)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    found = LyingConsole(exchange)
    yield found
    found.server.shutdown()
    found.server.server_close()


def run(there, keys, *words, typed="", code=0, who=A):
    line = [
        "console",
        there.url,
        "--key",
        str(keys / who),
        "--passphrase-file",
        str(keys / "passphrase"),
        *map(str, words),
    ]
    result = CliRunner().invoke(main, list(map(str, line)), input=typed)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result.stdout, result.stderr


def test_what_is_shown_is_signed_and_nothing_that_stands_beside_it(there, keys, tmp_path):
    text = there.text()
    there.shown = [[proposal(text)], [proposal(text, state="done", signed=(A,), words="given \x1b[2Jup", note="other")]]
    there.signed = lambda id_: json(proposal(text, state="handed-in", signed=(A,), note=f"{text}\nlines\n"))
    stdout, said = run(there, keys, "--keep", tmp_path, typed="y\n")
    (kept,) = tmp_path.iterdir()
    assert (kept.name, kept.read_text()) == (f"discard.{proposal(text).id[:16]}.note", f"{text}\nlines\n")
    assert "discard\n" in said
    assert "reason: nobody there can open it" in said
    assert "contact point: ca.liaison" in said
    assert "harmless" not in said + stdout
    ((path, line),) = there.lines
    assert path == f"/admin/v1/proposals/{hashlib.sha256(text.encode()).hexdigest()}/signature"
    note = notes.parse(text.encode() + b"\n" + line.encode())
    assert order.signed_by(note, there.origin, there.exchange.root) == (A,)
    assert "the broker has it" in said
    assert "done: given \ufffd[2Jup" in said
    assert said.endswith("The session has ended.\n")


def test_a_no_signs_nothing_and_is_not_asked_again_and_the_end_of_input_signs_out(there, keys):
    first, second = there.text(), there.text(action="replay")
    there.shown = [[proposal(first)], [proposal(first)], [proposal(first), proposal(second)]]
    _, said = run(there, keys, typed="n\n")
    assert said.count("Sign this as operator.a?") == 2
    assert (there.lines, there.ended) == ([], 1)
    assert said.endswith("Signed out.\n")


def test_a_yes_that_was_typed_before_the_text_was_shown_signs_nothing(there, keys, monkeypatch):
    """A console that shows a second proposal right behind the first would else have it signed by a second y."""
    there.shown = [[proposal(there.text())]]
    outer, inner = pty.openpty()
    said = io.StringIO()
    signer = keyring.load(keys / A, age.Passphrase("correct horse")).operator
    with open(outer, "w") as typing, open(inner) as terminal:  # noqa: PTH123 - descriptors
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr", said)
        typing.write("y\n")
        typing.flush()
        visiting = threading.Thread(
            target=console_visit.visit,
            args=(Endpoint(there.url), there.origin, signer),
            kwargs={"browser": False, "stay": True},
        )
        visiting.start()
        for _ in range(2_000):
            if "Sign this as" in said.getvalue():
                break
            time.sleep(0.01)
        typing.write("n\n")
        typing.flush()
        visiting.join(60)
    assert "Not signed." in said.getvalue()
    assert there.lines == []


def test_a_reason_cannot_be_laid_out_as_another_order(there, keys, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_common, "terminal_columns", lambda: 80)
    blanks = " " * 60
    reason = f"nobody can open it{blanks}Proposed:{blanks}  replay{blanks}  contact point: mx.enlace".ljust(500, "x")
    there.shown = [[proposal(there.text(reason=reason))]]
    _, said = run(there, keys, typed="n\n")
    shown = said.partition("Proposed:\n")[2].partition("  digest: ")[0].splitlines()
    at = next(number for number, line in enumerate(shown) if line.startswith("  reason: "))
    assert all(line.startswith("    > ") for line in shown[at + 1 :])
    assert max(map(len, shown)) < 80
    assert shown[at].removeprefix("  reason: ") + "".join(line[6:] for line in shown[at + 1 :]) == reason
    (tmp_path / "order").write_text(
        f"{there.text(reason=reason)}\n{there.line('operator.b', there.text(reason=reason))}"
    )
    line = ["order", "sign", tmp_path / "order", "--operator", keys / A, "--passphrase-file", keys / "passphrase"]
    by_hand = CliRunner().invoke(main, [*map(str, line)], input="n\n").stderr
    assert "\n  > " in by_hand
    assert all("Proposed:" not in part or part.startswith(("  > ", "reason: ")) for part in by_hand.splitlines())


def test_a_time_beyond_the_calendar_ends_no_visit(there, keys):
    late = limits.integer_max
    who = session.SignedIn(operator=A, roles=("operator",), idle=late, expires=late)
    link = f"{there.url}/sign-in?link={'l' * 43}"
    there.answers["/admin/v1/sessions"] = json(session.Begun(token=TOKEN, link=link, session=who))
    there.shown = [[proposal(there.text(time=late))]]
    _, said = run(there, keys)
    assert f"an order of another time: {late} ms" in said
    assert said.endswith("The session has ended.\n")


def test_a_proposal_that_changes_while_it_is_shown_is_signed_as_it_was_shown_or_not_at_all(there, keys):
    shown, other = there.text(), there.text(contact_point="mx.enlace", reason="another one")
    id_ = proposal(shown).id
    there.shown = [[proposal(shown)], [proposal(other, id=id_)], [proposal(other, id=id_, state="open")]]
    there.signed = lambda _: json(proposal(other, id=id_, signed=(A,), state="open", needs=2))
    _, said = run(there, keys, typed="y\ny\ny\n")
    ((_, line),) = there.lines
    notes.parse(shown.encode() + b"\n" + line.encode())
    assert "another one" not in said
    with pytest.raises(order.OrderError, match="does not hold"):
        order.signed_by(notes.parse(other.encode() + b"\n" + line.encode()), there.origin, there.exchange.root)


def test_nothing_is_asked_about_a_text_that_is_no_order_of_now_and_of_this_exchange(there, keys):
    origin = there.origin
    old = there.text(time=NOW - 3_600_000)
    held = hold.Hold(action="hold", contact_point="ca.liaison", hold=None, directory=(1, "ab" * 32), time=NOW,
                     until=NOW + limits.HOUR_MS, reason="x")  # fmt: skip
    good = there.text()
    sign_in = session.SignIn(operator=A, address="https://other.example", challenge="c" * 40, time=NOW)
    for bad in (
        proposal(good, id="ab" * 32),
        proposal(old),
        proposal(there.text(time=NOW + 120_000)),
        proposal(good.replace(origin, "other.example")),
        proposal(hold.text("other.example", held).decode()),
        proposal(there.exchange.root_raw.decode().partition("\n\n")[0] + "\n"),
        proposal(there.exchange.directory_raws[0].decode().partition("\n\n")[0] + "\n"),
        proposal(session.text(origin, sign_in).decode()),
        proposal(good.replace('"reason":"nobody', '"reason":"\\u001b[2Jnobody')),
        proposal(good.replace("nobody", "\N{RIGHT-TO-LEFT OVERRIDE}nobody")),
        proposal(good.replace('"action":"discard"', '"action":"replay","action":"discard"')),
        proposal(good + "\n" + good),
        proposal(good[:-1]),
        proposal(good + "\n" + notes.signature_line(there.exchange.operators[1], good.encode()).decode()),
        proposal("\x1b]0;owned\x07"),
        proposal(""),
    ):
        there.shown = [[bad]]
        stdout, said = run(there, keys, typed="y\n")
        assert "Sign this" not in said, bad.text
        assert "Next: " in said
        assert not set("\x1b\x07\N{RIGHT-TO-LEFT OVERRIDE}") & set(stdout + said)
    assert there.lines == []


def test_a_flood_of_proposals_is_refused_and_asked_about_by_nobody(there, keys):
    text = there.text()
    there.shown = [[proposal(text)] * (proposals_max + 1)]
    _, said = run(there, keys, typed="y\n", code=1)
    assert "more than 200 proposals" in said
    there.shown = [[proposal(text, id=f"{number:064x}") for number in range(10_000)]]
    _, said = run(there, keys, typed="y\n", code=1)
    assert "longer than" in said
    assert (there.lines, there.ended) == ([], 2)


def test_who_signs_in_signs_the_address_that_was_typed_so_that_nobody_can_pass_it_on(there, keys):
    run(there, keys)
    (raw,) = there.notes
    exchange = there.exchange
    note, value = session.parse_sign_in(raw, exchange.origin)
    assert (value.operator, value.address, value.challenge) == (A, there.url, "c" * 40)
    signer = exchange.operator_keyrings[A].operator
    notes.verify_one(note, [notes.Verifier(signer.name, signer.public)])


def test_a_console_of_another_exchange_is_given_no_signature(there, keys):
    there.origin = "other.example"
    _, said = run(there, keys, code=1)
    assert "is the console of another exchange" in said
    assert there.notes == []


@pytest.mark.parametrize(
    "link", ["https://evil.example/sign-in?link=" + "l" * 43, "javascript:alert(1)", "{url}/sign-in?link=\x1b[2J", ""]
)
def test_a_link_to_somewhere_else_is_neither_opened_nor_shown(there, keys, link, monkeypatch):
    monkeypatch.setenv("BROWSER", "none")
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("it was opened"))
    there.link = link.format(url=there.url) or there.url
    stdout, said = run(there, keys, code=1)
    assert "a link to somewhere else" in said
    assert "\x1b" not in stdout + said


def test_what_is_no_console_is_said_in_words_and_shows_nothing_of_itself(there, keys):
    for answer, words in (
        ((200, b"<html>\x1b[2J"), "cannot be read"),
        ((200, b"[" * 100_000), "cannot be read"),
        ((200, b"\xff"), "cannot be read"),
        ((302, b""), "status 302"),
        ((500, b"<html>"), "status 500"),
        ((200, b"x" * (5 * 1024 * 1024)), "longer than"),
        (problem_("not-allowed", "\x1b[2Jgo away"), "go away"),
    ):
        there.answers["/admin/v1/challenge"] = answer
        stdout, said = run(there, keys, code=1)
        assert words in said
        assert "\x1b" not in stdout + said
    there.answers = {}
    there.server.shutdown()
    there.server.server_close()
    _, said = run(there, keys, code=1)
    assert "did not answer" in said


def test_a_console_that_is_away_for_a_while_is_asked_again_and_said_once(there, keys):
    text = there.text()
    there.answers["/admin/v1/proposals"] = (503, problem_("unavailable", "for a moment")[1])
    real = there.answer

    def answer(method, path, body, headers):
        if path == "/admin/v1/proposals":
            there.looks += 1
            if there.looks == 4:
                there.answers = {}
                there.shown = [[proposal(text)]]
        return real(method, path, body, headers)

    there.answer = answer
    _, said = run(there, keys, typed="n\n")
    assert said.count("for a moment") == 1
    assert "Sign this as operator.a?" in said


def test_the_link_is_opened_or_printed_and_a_session_outlives_the_command_that_only_prints_it(there, keys, monkeypatch):
    link = f"{there.url}/sign-in?link={'l' * 43}"
    stdout, said = run(there, keys, "--print-link")
    assert (stdout, there.ended, there.looks) == (f"{link}\n", 0, 0)
    assert "Signed in as operator.a (operator), until 2027-01-15 08:00 UTC." in said
    assert run(there, keys, "--no-browser")[0] == f"{link}\n"
    assert run(there, keys)[0] == f"{link}\n", "there is no screen to open a browser on"
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert run(there, keys)[0] == ""
    assert opened == [link]


def test_only_ones_own_keyring_of_an_operator_signs_in(there, keys):
    assert "not of operator.b" in run(there, keys, "--as", "operator.b", code=1)[1]
    run(there, keys, "--as", A)
    _, said = run(there, keys, who="mx.enlace", code=1)
    assert "Next: " in said
    assert len(there.notes) == 1


def test_nobody_signs_in_at_a_console_that_does_not_prove_its_name(there, keys, tmp_path):
    authority = Authority(tmp_path)
    there.server.socket = authority.server().wrap_socket(there.server.socket, server_side=True)
    there.url = there.url.replace("http://", "https://")
    _, said = run(there, keys, "--proxy", "none", code=1)
    assert "does not prove its name" in said
    assert there.notes == []
    run(there, keys, "--proxy", "none", "--ca-file", authority.file)
    assert len(there.notes) == 1
    there.url = "http://console.exchange.example"
    assert "is not encrypted" in run(there, keys, code=1)[1]
