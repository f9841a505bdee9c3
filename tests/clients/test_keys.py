"""Keys of a contact point over time: asked for, copied, put back, replaced; killed at any line, none is ever lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from valija import KeyringError, RefusedError, age, backup, client, config, database, durable, enrol, keyring, rotation
from valija.cli import main
from valija.cli.common import SETTINGS, USAGE
from valija.errors import KeyringExistsError
from valija.key_file import KeyFile
from valija.keyring import Keyring
from valija.registry import admission
from valija.registry.sample import SampleExchange
from valija.testing import MemoryBroker
from valija_schemas import limits, problem
from valija_schemas import note as notes
from valija_schemas.directory import read_request

MX, CO = "mx.enlace", "co.enlace"
REQUEST = json.loads((Path(__file__).parents[2] / "schemas/examples/information-request-1.json").read_text())
TYPE = "information-request/1"
USES = ("sign", "seal", "auth")


class Killed(BaseException):
    """The process ends here."""


class Agency:
    """mx.enlace on a machine with a keyring, a host key and a profile; its exchange, and a broker in memory."""

    def __init__(self, exchange: SampleExchange, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.exchange = exchange
        self.broker = MemoryBroker(self.exchange)
        self.line = self.broker.line(MX)
        first = self.exchange.keyrings[MX]
        self.first = enrol.make_request(
            first, name="Oficina de ejemplo", area="law-enforcement", state="MX", now_ms=self.exchange.now_ms
        )
        host = keyring.make_host_key(folder / "host-key")
        keyring.save(folder / "keyring", first.with_request(self.first), host.recipient)
        (folder / "profile.toml").write_text(
            f'exchange = "{self.exchange.origin}"\ncontact_point = "{MX}"\nbroker = "http://127.0.0.1:9"\n'
            f'root = "{self.exchange.root_digest}"\nkeyring = "keyring"\nhost_key = "host-key"\nstate = "state"\n'
        )
        monkeypatch.setattr("valija.cli.keys.Client", lambda config: client.Client(config, line=self.line))
        # A passphrase costs a guesser a second, and a test as well.
        monkeypatch.setattr(config, "read_passphrase", lambda path: age.Passphrase(path.read_text().strip(), 2))

    @property
    def config(self) -> config.Config:
        return config.load(None, None, {"VALIJA_CONFIG": str(self.folder / "profile.toml")})

    @property
    def keys(self) -> Keyring:
        return self.config.load_keyring()

    def run(self, *args: str, status: int = 0, **how: Any) -> Result:
        environ = {"VALIJA_CONFIG": str(self.folder / "profile.toml")}
        done = CliRunner().invoke(main, ["keys", *args], env=environ, **how)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        secrets = [line.split('"')[1] for line in self.keys.to_text().splitlines() if line.startswith("secret")]
        assert not any(secret in done.output for secret in secrets)
        return done

    def requests(self) -> list[Path]:
        return sorted(self.folder.glob("*.request"))

    def check(self, raw: bytes) -> admission.Kept:
        """What the officers' tool says to a request, after it admitted the first one."""
        request, digest = read_request(self.first, self.exchange.origin)
        directories = [book.directory for book in self.exchange.phonebooks]
        seen = admission.Seen(self.exchange.origin, [self.exchange.root], directories, [])
        seen._remember_request(admission.Kept(request, digest))
        return admission.check(raw, seen)

    def publish(self, raw: bytes) -> None:
        """The officers admit a request: the keys before it retire in a day."""
        asked, _ = read_request(raw, self.exchange.origin)
        end = self.exchange.now_ms + limits.DAY_MS

        def renew(point):
            if point.id != MX:
                return point
            new = {use: replace(getattr(point, use)[0], key=getattr(asked, use)) for use in USES}
            return replace(
                point,
                **{use: (new[use], replace(getattr(point, use)[0], status="retired", ended=end)) for use in USES},
            )

        self.exchange.next_directory(lambda d: replace(d, contact_points=tuple(map(renew, d.contact_points))))


@pytest.fixture
def agency(exchange, tmp_path, monkeypatch):
    del exchange.directory_raws[1:], exchange.phonebooks[1:]  # what the test before published
    return Agency(exchange, tmp_path, monkeypatch)


def test_rotation_adds_keys_and_a_request_that_follows_from_the_one_before(agency):
    before = agency.keys
    result = agency.run("rotate")
    after = agency.keys
    assert {key.public for key in before.held} < {key.public for key in after.held}
    (path,) = agency.requests()
    kept = agency.check(path.read_bytes())
    assert kept.request.previous == enrol.request_digest(agency.first)
    assert (kept.request.sign, kept.request.auth) == (after.sign.public.hex(), after.auth.public.hex())
    assert len(result.stdout.splitlines()) == 3
    assert after.requests == (agency.first, path.read_bytes())
    challenge, _ = admission.make_challenge(kept.request)
    assert len(enrol.answer_challenge(challenge, after)) == 65


def test_rotating_again_goes_on_with_the_request_that_waits(agency):
    agency.run("rotate")
    (path,) = agency.requests()
    raw, keys = path.read_bytes(), agency.keys.to_text()
    path.unlink()
    agency.run("rotate")
    assert (path.read_bytes(), agency.keys.to_text()) == (raw, keys)
    agency.run("rotate", "--again")
    newest = agency.keys.requests[-1]
    assert newest != raw
    assert agency.check(newest).request.previous == enrol.request_digest(agency.first)
    assert len(agency.keys.held) == 9, "keys that were asked for are kept, whichever the officers admit"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_rotation_killed_at_any_write_loses_nothing_and_goes_on(agency, monkeypatch, step, after):
    agency.run("show")
    before = agency.keys
    with monkeypatch.context() as patch:
        kill_at(patch, agency, step, after)
        with pytest.raises(Killed):
            agency.run("rotate")
    there = agency.keys
    assert {key.public for key in before.held} <= {key.public for key in there.held}
    assert all(there.signer("sign", agency.check(path.read_bytes()).request.sign) for path in agency.requests())
    agency.run("rotate")
    (path,) = agency.requests()
    assert agency.check(path.read_bytes()).digest == enrol.request_digest(agency.keys.requests[-1])
    assert len(agency.keys.held) == 6, "one set of new keys, however often it was begun"


def kill_at(patch: pytest.MonkeyPatch, agency: Agency, step: int, after: bool) -> None:
    """End the process at the write `step` of the files beside the profile, before or after it took effect."""
    count = iter(range(100))
    real = durable.write

    def write(path: Path, data: bytes, **how: Any) -> None:
        last = path.parent == agency.folder and next(count) == step
        if last and not after:
            raise Killed
        real(path, data, **how)
        if last:
            raise Killed

    patch.setattr(durable, "write", write)


async def test_a_program_that_runs_changes_over_when_the_directory_does(agency, tmp_path):
    old = agency.keys
    async with (
        client.Client(agency.config, line=agency.line) as mexico,
        agency.broker.client(CO, tmp_path) as colombia,
    ):
        await mexico.directory()
        keys = rotation.rotate(
            agency.config, mexico._open.library.phonebook.point(MX), given=None, lost=False, again=False,
            now_ms=agency.exchange.now_ms + 1,
        )[0]  # fmt: skip
        sent = await mexico.send(REQUEST, CO, type=TYPE)
        assert signed_by(agency, sent, old.sign.public), "until the directory names the new keys, the old ones sign"
        under_way = await colombia.send(REQUEST, MX, type=TYPE)

        agency.publish(keys.requests[-1])
        await mexico.directory()
        sent = await mexico.send(REQUEST, CO, type=TYPE)
        assert signed_by(agency, sent, keys.sign.public)
        await colombia.directory()
        sealed_anew = await colombia.send(REQUEST, MX, type=TYPE)
        opened = []
        async for message in mexico.inbox():
            async with message:
                opened.append(message.digest)
        assert opened == [under_way.digest, sealed_anew.digest], "mail under way was sealed to the old key"
        findings = {finding.check: finding.verdict for finding in await mexico.examine()}
        assert {findings[f"{use} key"] for use in USES} == {"ok"}
        assert (await mexico.monitor()).faults == ()
    assert len(agency.broker.receipts) == 3


def signed_by(agency: Agency, sent: Any, public: bytes) -> bool:
    found, _ = agency.broker.accepted[sent.digest]
    name = f"{agency.exchange.origin}/{MX}"
    return found.note.signatures[0].key_id == notes.key_id(name, public)


def test_what_was_admitted_is_named_or_said_to_be_lost(agency, tmp_path):
    host = keyring.load_host_key(tmp_path / "host-key")
    forgetful = Keyring.from_text(agency.exchange.keyrings[MX].to_text())
    keyring.save(tmp_path / "keyring", forgetful, host.recipient, replace=True)
    refused = agency.run("rotate", status=SETTINGS)
    assert "--lost" in refused.stderr
    (tmp_path / "other").write_bytes(
        enrol.make_request(agency.exchange.keyrings[CO], name="x", area="judicial", state="CO")
    )
    assert "request of co.enlace" in agency.run("rotate", "--previous", str(tmp_path / "other"), status=SETTINGS).stderr
    (tmp_path / "first").write_bytes(agency.first)
    agency.run("rotate", "--previous", str(tmp_path / "first"), "--lost", status=USAGE)
    agency.run("rotate", "--previous", str(tmp_path / "first"))
    assert agency.check(agency.keys.requests[-1]).request.previous == enrol.request_digest(agency.first)
    keyring.save(tmp_path / "keyring", forgetful, host.recipient, replace=True)
    agency.run("rotate", "--lost")
    assert read_request(agency.keys.requests[-1], agency.exchange.origin)[0].previous is None


def test_a_request_is_never_older_than_the_one_before(agency):
    point = agency.exchange.phonebook.point(MX)
    first = rotation.rotated(agency.keys, point, None, agency.exchange.now_ms - limits.DAY_MS)
    asked, _ = read_request(first.requests[-1], agency.exchange.origin)
    assert asked.time == agency.exchange.now_ms + 1


def test_two_rotations_at_once_do_not_lose_each_other_s_keys(agency, tmp_path):
    agency.run("show")
    lock = database.hold(tmp_path / "keyring.lock")
    agency.run("rotate", status=SETTINGS)
    assert len(agency.keys.held) == 3
    lock.close()
    agency.run("rotate")


def test_rotation_works_with_the_directory_that_is_held(agency):
    agency.line.down = True
    agency.run("rotate", status=69)
    agency.line.down = False
    agency.run("rotate")
    agency.line.down = True
    assert "that is held" in agency.run("rotate").stderr


def test_whose_keys_were_revoked_makes_others_though_the_broker_refuses_it(agency, monkeypatch):
    agency.run("rotate")
    told = problem.of(problem.Code.NOT_SIGNED, time_ms=agency.exchange.now_ms)

    async def newest():
        raise RefusedError(told)

    monkeypatch.setattr(agency.line, "newest", newest)
    waiting = agency.requests()
    agency.run("rotate", "--again")
    assert len(agency.requests()) == len(waiting) + 1


def test_keys_are_shown_with_what_the_directory_says(agency):
    def states() -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for line in json.loads(agency.run("show", "--output", "json").stdout):
            found[line["use"], line["state"]] = found.get((line["use"], line["state"]), 0) + 1
        return found

    assert states() == {(use, None): 1 for use in USES}, "no directory was fetched yet"
    agency.run("rotate")
    assert states() == {(use, state): 1 for use in USES for state in ("active", "unknown")}
    assert "not admitted yet" in agency.run("show").stderr
    agency.publish(agency.keys.requests[-1])
    agency.run("rotate")
    assert states() == {(use, state): 1 for use in USES for state in ("active", "retired", "unknown")}
    shown = agency.run("show", "--output", "json").stdout
    assert agency.keys.seal.recipient.to_text() in shown


# Copies


def test_a_backup_is_opened_once_before_it_is_called_one_and_restores_every_key(agency, tmp_path):
    agency.run("rotate")
    (tmp_path / "words").write_text("sample words\n")
    words = ("--passphrase-file", str(tmp_path / "words"))
    agency.run("backup", str(tmp_path / "copy"), *words)
    assert (
        age.decrypt((tmp_path / "copy").read_bytes(), age.Passphrase("sample words")) == agency.keys.to_text().encode()
    )
    agency.run("backup", str(tmp_path / "copy"), *words, status=SETTINGS)
    text = agency.keys.to_text()
    agency.run("restore", str(tmp_path / "copy"), *words)  # the same keys are there: nothing to do

    for name in ("keyring", "host-key"):
        (tmp_path / name).rename(tmp_path / f"lost-{name}")
    result = CliRunner().invoke(
        main, ["keys", "restore", str(tmp_path / "copy"), *words], env={"VALIJA_CONFIG": str(tmp_path / "profile.toml")}
    )
    assert result.exit_code == 0, result.output
    assert agency.keys.to_text() == text, "the request that waits as well"
    assert (tmp_path / "keyring").stat().st_mode & 0o077 == 0


def test_a_restore_never_writes_over_other_keys(agency, tmp_path):
    (tmp_path / "words").write_text("sample words\n")
    words = ("--passphrase-file", str(tmp_path / "words"))
    agency.run("backup", str(tmp_path / "copy"), *words)
    agency.run("rotate")
    text = agency.keys.to_text()
    refused = agency.run("restore", str(tmp_path / "copy"), *words, status=SETTINGS)
    assert "never written over" in refused.stderr
    assert agency.keys.to_text() == text
    stranger = Keyring.generate(agency.exchange.origin, CO)
    keyring.save(tmp_path / "strange", stranger, age.Passphrase("sample words", 2))
    assert CO in agency.run("restore", str(tmp_path / "strange"), *words, status=SETTINGS).stderr
    (tmp_path / "words").write_text("other words\n")
    agency.run("restore", str(tmp_path / "copy"), *words, status=SETTINGS)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_a_restore_killed_at_any_write_is_run_again(agency, monkeypatch, tmp_path, step, after):
    text = agency.keys.to_text()
    (tmp_path / "words").write_text("sample words\n")
    command = ("keys", "restore", str(tmp_path / "copy"), "--passphrase-file", str(tmp_path / "words"))
    agency.run("backup", str(tmp_path / "copy"), *command[3:])
    for name in ("keyring", "host-key"):
        (tmp_path / name).rename(tmp_path / f"lost-{name}")
    environ = {"VALIJA_CONFIG": str(tmp_path / "profile.toml")}
    with monkeypatch.context() as patch:
        kill_at(patch, agency, step, after)
        with pytest.raises(Killed):
            CliRunner().invoke(main, command, env=environ)
    assert CliRunner().invoke(main, command, env=environ).exit_code == 0
    assert agency.keys.to_text() == text


def test_a_backup_for_others_is_opened_by_each_of_them(agency, tmp_path):
    holders = [keyring.make_host_key(tmp_path / name) for name in ("one", "two")]
    named = [word for holder in holders for word in ("--recipient", holder.recipient.to_text())]
    result = agency.run("backup", str(tmp_path / "copy"), *named)
    assert "only they can" in result.stderr
    for name in ("one", "two"):
        assert (
            keyring.load(tmp_path / "copy", keyring.load_host_key(tmp_path / name)).to_text() == agency.keys.to_text()
        )
    agency.run("restore", str(tmp_path / "copy"), "--identity", str(tmp_path / "two"))
    agency.run("backup", str(tmp_path / "c"), "--recipient", "age1x", status=USAGE)
    agency.run("backup", str(tmp_path / "c"), *named, "--passphrase-file", str(tmp_path / "one"), status=USAGE)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("at", [40, -1])
def test_a_backup_that_the_disk_changed_is_not_called_one(agency, tmp_path, monkeypatch, at):
    real = durable.write

    def write(path: Path, data: bytes, **how: Any) -> None:
        bad = bytearray(data)
        bad[at] ^= 1
        real(path, bytes(bad), **how)

    monkeypatch.setattr(durable, "write", write)
    (tmp_path / "words").write_text("sample words\n")
    refused = agency.run(
        "backup", str(tmp_path / "copy"), "--passphrase-file", str(tmp_path / "words"), status=SETTINGS
    )
    assert "not read back" in refused.stderr


def test_a_passphrase_is_asked_for_twice_and_not_shown(agency, tmp_path, monkeypatch):
    monkeypatch.setattr(age.Passphrase.__init__, "__defaults__", (2,))
    result = agency.run("backup", str(tmp_path / "copy"), input="sample words\nsample words\n")
    assert "sample words" not in result.output
    agency.run("backup", str(tmp_path / "copy2"), input="sample words\nother\n", status=130)
    assert keyring.load(tmp_path / "copy", age.Passphrase("sample words")).id == MX


# The file, read again


def test_a_key_file_is_read_again_only_where_a_key_is_missing_and_it_changed(tmp_path):
    host = keyring.make_host_key(tmp_path / "host")
    first = Keyring.generate("exchange.example", MX)
    keyring.save(tmp_path / "keyring", first, host.recipient)
    reads = []

    def load() -> Keyring:
        reads.append(1)
        return keyring.load(tmp_path / "keyring", host)

    keys = KeyFile(tmp_path / "keyring", load)
    assert (keys.origin, keys.id) == ("exchange.example", MX)
    second = first.rotate()
    with pytest.raises(keyring.KeyMissingError):
        keys.seal_identity(second.seal.recipient.key_id)
    assert len(reads) == 1
    keyring.save(tmp_path / "keyring", second, host.recipient, replace=True)
    assert keys.signer("sign", first.sign.public.hex()).public == first.sign.public
    assert len(reads) == 1
    assert keys.auth.public == second.auth.public
    assert keys.seal_identity(first.seal.recipient.key_id).recipient == first.seal.recipient
    assert len(reads) == 2
    (tmp_path / "keyring").write_bytes(b"damaged")
    assert keys.sign.public == second.sign.public, "what was read goes on serving"
    (tmp_path / "keyring").unlink()
    assert keys.auth.public == second.auth.public


def test_a_keyring_remembers_its_requests_and_reads_those_that_remember_none(tmp_path):
    ring = Keyring.generate("exchange.example", MX)
    raw = enrol.make_request(ring, name='Oficina "ejemplo" \\ ñ', area="judicial", state="MX")
    again = Keyring.from_text(ring.with_request(raw).to_text())
    assert again.requests == (raw,)
    assert again.rotate().requests == (raw,)
    old = "\n".join(line for line in ring.to_text().splitlines() if line not in {"requests = [", "]"})
    assert Keyring.from_text(old).requests == ()


def test_nothing_is_written_over_by_a_backup_in_the_place_of_a_keyring(agency, tmp_path):
    with pytest.raises(KeyringExistsError):
        backup.write(tmp_path / "keyring", agency.keys, [age.Passphrase("sample words", 2)])
    with pytest.raises(KeyringError):
        backup.write(tmp_path / "absent" / "copy", agency.keys, [age.Passphrase("sample words", 2)])
