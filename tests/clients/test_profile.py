"""Several contact points on one machine: each by its name, one of them the usual, and the shell knows them."""

import json

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from valija import ConfigError, config
from valija.cli import main
from valija.cli.common import SETTINGS, USAGE

DIGEST = "0" * 64


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path)

    def run(*args: str, status: int = 0, **environ: str):
        # Nothing of the machine that runs the test counts.
        clean = {f"VALIJA_{name.upper()}": None for name in (*config.Config.__struct_fields__, "config", "profile")}
        done = CliRunner().invoke(main, args, env=clean | environ)
        assert done.exit_code == status, done.output
        return done

    return run


def new(run, name: str, *more: str, status: int = 0):
    who = ("--exchange", f"{name}.example", "--contact-point", f"mx.{name}", "--broker", "https://b.example")
    return run("profile", "new", name, *who, "--root", DIGEST, *more, status=status)


def used(run, **environ: str) -> str:
    listed = json.loads(run("profile", "list", "--output", "json", **environ).stdout)
    (name,) = [each["name"] for each in listed if each["used"]]
    return name


def test_one_of_several_profiles_is_used_until_another_is_chosen(run, tmp_path):
    for name in ("one", "two"):
        new(run, name)
    run("profile", "use", "two")
    assert used(run) == "two"
    assert json.loads(run("profile", "show", "--output", "json").stdout)[0]["value"] == "two.example"
    run("profile", "use", "one")
    assert used(run) == "one"
    assert used(run, VALIJA_PROFILE="two") == "two"
    assert used(run, VALIJA_CONFIG=str(tmp_path / "two.toml")) == "two"
    assert "goes over it" in run("profile", "use", "one", VALIJA_PROFILE="two").stderr
    run("profile", "use", "absent", status=SETTINGS)
    assert used(run) == "one"
    run("profile", "use", "../one", status=SETTINGS)
    (tmp_path / "one.toml").unlink()
    with pytest.raises(ConfigError, match="there is no"):
        config.load(None, None, {})


def test_a_profile_that_cannot_be_read_does_not_hide_the_others(run, tmp_path):
    new(run, "good")
    (tmp_path / "bad.toml").write_text('exchang = "x"\n')
    found = {each["name"]: each for each in json.loads(run("profile", "list", "--output", "json").stdout)}
    assert "did you mean `exchange`" in found["bad"]["fault"]
    assert found["good"]["contact_point"] == "mx.good"


def test_a_profile_shows_whence_each_setting_comes(run):
    new(run, "one", "--proxy", "none")
    shown = {
        each["setting"]: (each["value"], each["from"])
        for each in json.loads(run("profile", "show", "one", "--output", "json", VALIJA_LOG_LEVEL="debug").stdout)
    }
    assert shown["log_level"] == ("debug", "environment")
    assert shown["proxy"] == ("none", "file")
    assert shown["ca_file"] == (None, "default")
    assert set(shown) == set(config.Config.__struct_fields__) - {"folder"}


def test_a_new_profile_is_whole_or_is_not_there(run, tmp_path):
    new(run, "one")
    assert "is there already" in new(run, "one", status=SETTINGS).stderr
    new(run, "two", "--proxy", "http://a:b@proxy.example", status=SETTINGS)
    new(run, "three", "--host-key", "a", "--passphrase-file", "b", status=SETTINGS)
    new(run, "../four", status=SETTINGS)
    run("profile", "new", "five", status=USAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["one.toml"]
    found = config.load("one", None, {})
    assert found.path("keyring") == tmp_path / "one" / "mx.one.keyring"
    assert found.path("host_key") == tmp_path / "one" / "mx.one.host-key"


def test_a_shell_is_told_commands_options_and_profiles(run):
    new(run, "office-one")
    complete = ShellComplete(main, {}, "valija", "_VALIJA_COMPLETE")

    def offered(*words: str) -> set[str]:
        return {item.value for item in complete.get_completions(list(words[:-1]), words[-1])}

    assert {"send", "keys", "doctor"} <= offered("")
    assert offered("keys", "ro") == {"rotate"}
    assert "--dry-run" in offered("send", "--d")
    assert offered("doctor", "--profile", "off") == {"office-one"}
    assert offered("profile", "use", "off") == {"office-one"}
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert "_VALIJA_COMPLETE" in run("completion", shell).stdout


def test_the_program_answers_the_script_of_a_shell(run):
    asked = {"_VALIJA_COMPLETE": "bash_complete", "COMP_WORDS": "valija keys ro", "COMP_CWORD": "2"}
    assert CliRunner().invoke(main, [], prog_name="valija", env=asked).stdout == "plain,rotate\n"
