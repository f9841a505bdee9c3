"""An officers' folder at the point where root 1 is published, and the command run as a person would."""

import copy
import shutil

import pytest
from click.testing import CliRunner

from valija import age, enrol, keyring
from valija.keyring import Keyring
from valija.registry.cli import main
from valija.registry.folder import Registry
from valija.registry.sample import SampleBroker

origin = "exchange.example"
organisations = {"a": "Registry of the South", "b": "Registry of the North", "c": "Secretariat"}


class Ceremony:
    """The officers' folder, the folder that the broker watches, and a contact point's machine."""

    def __init__(self, home):
        self.registry = home / "registry"
        self.watched = home / "watched"
        self.point = home / "point"
        for folder in (self.registry, self.point):
            folder.mkdir()
        self.passphrase = home / "passphrase"
        self.passphrase.write_text("correct horse battery staple\n")
        self.keyrings = {}
        self.officers = []

    def copy(self, home):
        """The same at another place, to go on from there."""
        shutil.copytree(self.passphrase.parent, home, dirs_exist_ok=True)
        other = copy.copy(self)
        other.registry, other.watched, other.point = home / "registry", home / "watched", home / "point"
        other.passphrase, other.keyrings = home / "passphrase", dict(self.keyrings)
        return other

    def run(self, *words, code=0, typed=None):
        """stdout and stderr of the command, whose exit code must be `code`."""
        result = CliRunner().invoke(main, ["--registry", str(self.registry), *map(str, words)], input=typed)
        assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
        assert code in (0, 75) or "Next: " in result.stderr or "Usage" in result.stderr
        return result.stdout, result.stderr

    def officer_file(self, name):
        return self.registry / f"officer.{name}.keyring"

    def make_officer(self, name):
        stdout, _ = self.run(
            *("officer", name, "--organisation", organisations.get(name, f"New {name}"), "--origin", origin),
            *("--passphrase-file", self.passphrase, "--work-factor", "2"),
        )
        return stdout

    def root_file(self, officers, more="", name="exchange.toml"):
        public = SampleBroker(origin).public()
        (self.registry / "broker.toml").write_text(
            f'evidence = "{public.evidence[0]}"\nfreshness = "{public.freshness}"\nlog = "{public.log}"\n'
            f'log_ml_dsa = "{public.log_ml_dsa}"\n'
        )
        head = f'origin = "{origin}"\nbroker = "broker.toml"\nthreshold = {{keys = 2, organisations = 2}}\n'
        path = self.registry / name
        path.write_text(head + more + "".join(officers))
        return path

    def sign(self, file, *officers, code=0):
        said = ""
        for name in officers:
            _, said = self.run(
                *("sign", self.registry / file, "--officer", self.officer_file(name)),
                *("--passphrase-file", self.passphrase, "--yes"),
                code=code,
            )
        return said

    def publish(self, *files, code=0):
        return self.run("publish", "--to", self.watched, *files, code=code)

    def request(self, id_, ring=None, state="MX", previous=None, **changes):
        self.keyrings[id_] = ring = ring or Keyring.generate(origin, id_)
        words = {"name": f"Sample contact point of {state}", "area": "law-enforcement", "state": state} | changes
        path = self.point / f"{id_}.request"
        path.write_bytes(enrol.make_request(ring, previous=previous, **words))
        return path

    def answer(self, id_):
        path = self.point / f"{id_}.answer"
        challenge = (self.registry / f"{id_}.challenge").read_bytes()
        path.write_bytes(enrol.answer_challenge(challenge, self.keyrings[id_]))
        return path

    def admit(self, id_, command=("admit",), **changes):
        request = self.request(id_, **changes)
        self.run(*command, request, code=75)
        return self.run(*command, request, "--answer", self.answer(id_))

    def rotate(self, id_, ring, *options, previous="", **changes):
        """Other keys for a contact point, from its machine to the draft."""
        last = enrol.request_digest((self.point / f"{id_}.request").read_bytes())
        chained = last if previous == "" else previous
        return self.admit(id_, ("rotate", *options), ring=ring, previous=chained, **changes)

    def sign_and_publish(self, version, *officers):
        self.sign(f"directory.{version}.draft", *(officers or "ab"))
        return self.publish()

    def drafted(self):
        """The contact points of the draft, by id."""
        return {point.id: point for point in Registry(self.registry).points()}


@pytest.fixture
def empty(tmp_path):
    return Ceremony(tmp_path)


@pytest.fixture(scope="session")
def _rooted(tmp_path_factory):
    made = Ceremony(tmp_path_factory.mktemp("rooted"))
    made.officers = [made.make_officer(name) for name in "abc"]
    made.run("init", made.root_file(made.officers))
    made.sign("root.1.draft", "a", "b")
    made.publish()
    return made


@pytest.fixture(scope="session")
def _running(_rooted, tmp_path_factory):
    made = _rooted.copy(tmp_path_factory.mktemp("running"))
    made.admit("mx.enlace")
    made.sign_and_publish(1)
    return made


@pytest.fixture
def ceremony(_rooted, tmp_path):
    """Root 1 is published."""
    return _rooted.copy(tmp_path)


@pytest.fixture
def running(_running, tmp_path):
    """So is a directory with one contact point."""
    return _running.copy(tmp_path)


@pytest.fixture
def load_officer(ceremony):
    def load(name):
        return keyring.load(ceremony.officer_file(name), age.Passphrase("correct horse battery staple"))

    return load
