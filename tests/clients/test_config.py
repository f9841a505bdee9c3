"""The profile: an option over the environment over the file over a default, and no secret in any of them."""

from pathlib import Path

import pytest

from valija import Config, ConfigError, KeyringError, config, keyring
from valija_schemas import keys

DIGEST = "0" * 64
TEXT = f"""
exchange = "exchange.example"
contact_point = "mx.enlace"
broker = "https://b.example"
root = "{DIGEST}"
keyring = "mx.keyring"
""".lstrip()


def load(tmp_path: Path, text: str = TEXT, options=None, **environ: str) -> Config:
    path = tmp_path / "profile.toml"
    path.write_text(text)
    return config.load(None, options, {"VALIJA_CONFIG": str(path), **environ})


def test_an_option_goes_over_the_environment_over_the_file_over_a_default(tmp_path):
    assert load(tmp_path).log_level == "warning"
    text = TEXT + 'log_level = "error"\n'
    assert load(tmp_path, text).log_level == "error"
    assert load(tmp_path, text, VALIJA_LOG_LEVEL="info").log_level == "info"
    assert load(tmp_path, text, {"log_level": "debug"}, VALIJA_LOG_LEVEL="info").log_level == "debug"


def test_an_unknown_key_names_the_nearest_one(tmp_path):
    with pytest.raises(ConfigError, match="did you mean `keyring`"):
        load(tmp_path, TEXT + 'keyrings = "x"\n')
    with pytest.raises(ConfigError, match="did you mean `broker`"):
        load(tmp_path, VALIJA_BROKR="x")
    with pytest.raises(ConfigError, match="did you mean `state`"):
        load(tmp_path, options={"stat": "x"})


def test_variables_of_the_other_programs_are_let_alone(tmp_path):
    load(tmp_path, VALIJA_BROKER_LISTEN__PORT="1", VALIJA_VALKEY_BIN="/x", VALIJA_PROFILE="x", HOME="/x")


def test_the_digest_of_the_root_may_be_written_as_an_officer_reads_it(tmp_path):
    digest = "0123456789abcdef" * 4
    text = TEXT.replace(f'"{DIGEST}"', f'"""{keys.blocks(digest).upper()}"""')
    assert "0123 4567" in text
    assert load(tmp_path, text).root == digest
    assert load(tmp_path, VALIJA_ROOT=f" {keys.blocks(digest)}\n").root == digest


def test_a_missing_or_wrong_value_says_which(tmp_path):
    with pytest.raises(ConfigError, match="root"):
        load(tmp_path, TEXT.replace(DIGEST, "abc"))
    with pytest.raises(ConfigError, match="broker"):
        load(tmp_path, TEXT.replace("broker", "# broker"))
    with pytest.raises(ConfigError, match="TOML"):
        load(tmp_path, "exchange = ")


def test_paths_are_relative_to_the_file_that_names_them(tmp_path):
    found = load(tmp_path, TEXT + 'state = "here"\n')
    assert found.path("keyring") == tmp_path / "mx.keyring"
    assert found.state_folder == tmp_path / "here"
    assert found.path("ca_file") is None


def test_without_a_file_everything_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(config.platformdirs, "user_config_path", lambda _: tmp_path)
    values = dict(line.split(" = ") for line in TEXT.splitlines())
    environ = {f"VALIJA_{name.upper()}": value.strip('"') for name, value in values.items()}
    assert config.load(None, None, environ).contact_point == "mx.enlace"
    with pytest.raises(ConfigError):
        config.load("other", None, environ)


def test_a_profile_name_cannot_lead_out_of_its_folder():
    for name in ("../x", "a/b", ".hidden", "a\\b", "C:x"):
        with pytest.raises(ConfigError):
            config.profile_path(name, {})
    assert config.profile_path("exercise-2", {}).name == "exercise-2.toml"
    assert config.profile_path(None, {"VALIJA_PROFILE": "exercise"}).name == "exercise.toml"


def test_the_keyring_is_opened_by_a_host_key_or_a_passphrase_file_and_by_one_of_them(tmp_path):
    keys = keyring.Keyring.generate("exchange.example", "mx.enlace")
    host = keyring.make_host_key(tmp_path / "host-key")
    keyring.save(tmp_path / "mx.keyring", keys, host.recipient)
    assert load(tmp_path, TEXT + 'host_key = "host-key"\n').load_keyring().id == "mx.enlace"
    (tmp_path / "words").write_text("a sample passphrase\n")
    for text in (TEXT, TEXT + 'host_key = "host-key"\npassphrase_file = "words"\n'):
        with pytest.raises(ConfigError):
            load(tmp_path, text).load_keyring()
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError):
        load(tmp_path, TEXT + 'passphrase_file = "empty"\n').load_keyring()
    with pytest.raises(KeyringError):
        load(tmp_path, TEXT + 'passphrase_file = "words"\n').load_keyring()


def test_anothers_keyring_is_refused(tmp_path):
    host = keyring.make_host_key(tmp_path / "host-key")
    keyring.save(tmp_path / "mx.keyring", keyring.Keyring.generate("exchange.example", "ca.liaison"), host.recipient)
    with pytest.raises(ConfigError, match=r"ca\.liaison"):
        load(tmp_path, TEXT + 'host_key = "host-key"\n').load_keyring()


def test_a_written_profile_is_read_again_and_never_written_over(tmp_path):
    path = tmp_path / "new.toml"
    values = {"exchange": "exchange.example", "contact_point": "mx.enlace", "broker": "https://b.example"}
    config.write_profile(path, values | {"root": DIGEST, "keyring": 'C:\\k "x".keyring'})
    found = config.load(None, None, {"VALIJA_CONFIG": str(path)})
    assert found.keyring == 'C:\\k "x".keyring'
    with pytest.raises(ConfigError):
        config.write_profile(path, values)
