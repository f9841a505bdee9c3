"""The profile of a contact point: where its broker, its keys and its state are. One short TOML file, no secrets.

A value comes from the option of a command, else from the environment (`VALIJA_BROKER`), else from the file, else from a
default. The file is `<name>.toml` in the user's configuration folder, where `VALIJA_PROFILE` says the name, else
`valija profile use` did, else it is `default`; or it is the one that `VALIJA_CONFIG` names. Keys and passphrases are
never values: a setting names the file that holds one.

The promise: an unknown key is an error that names the nearest known one; a path is relative to the file that names it.

Before this room: `client` and `cli`. After it: `valija_schemas.settings`. Rules: clients/README.md.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import platformdirs

from valija import age, durable
from valija import keyring as keyrings
from valija.errors import ConfigError
from valija.key_file import KeyFile
from valija_schemas import keys, settings

ENVIRONMENT_PREFIX: Final = "VALIJA_"
PROFILE_DEFAULT: Final = "default"
_CHOSEN: Final = "current"  # In the configuration folder: the name that `valija profile use` chose.
_OTHERS: Final = (
    "VALIJA_PROFILE",
    "VALIJA_CONFIG",
    "VALIJA_VALKEY_BIN",
)  #: Variables that are no setting of a profile.
_OTHER_PROGRAMS: Final = ("VALIJA_BROKER_", "VALIJA_REGISTRY_")
passphrase_bytes_max: Final = 4096

PathSetting = Literal["keyring", "host_key", "passphrase_file", "state", "ca_file", "proxy_password_file", "authority"]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A profile. deploy and clients/README.md show one with comments."""

    exchange: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,252}$")]  #: First line of every note.
    contact_point: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9.-]{0,63}$")]
    broker: str  #: `https://broker.example`; `http://` on this machine only.
    root: Annotated[str, msgspec.Meta(pattern=r"^\s*([0-9a-fA-F]\s*){64}$")]
    """Digest of root 1, compared by another channel; in a file also in blocks of four, as an officer reads it."""
    keyring: str  #: A file.
    host_key: str = ""  #: The file that opens the keyring; or
    passphrase_file: str = ""  #: the file whose one line does.
    state: str = ""  #: A folder; several machines may share one mailbox, each with its own.
    ca_file: str = ""  #: For a broker whose certificate is of a CA of its own.
    proxy: str = ""  #: `http://proxy.example:3128`; empty: that of the system; `none`: none.
    proxy_password_file: str = ""  #: The file whose one line is `user:password`, for the proxy.
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    language: Literal["", "en", "es", "fr", "pt"] = ""  #: What documents are shown in; empty: as the locale says.
    authority: str = ""  #: The file that says who we are in documents, for `valija new`.
    folder: str = ""  #: What relative paths are relative to; set by `load`.

    def path(self, name: PathSetting) -> Path | None:
        """The path that a setting names, or None where it is not set."""
        value: str = getattr(self, name)
        return Path(self.folder, value).expanduser() if value else None

    @property
    def state_folder(self) -> Path:
        """Where outbox, inbox and the verified directory lie."""
        own = platformdirs.user_state_path("valija") / self.exchange / self.contact_point
        return self.path("state") or own

    @property
    def keyring_path(self) -> Path:
        """The keyring file.

        Raises:
            ConfigError: none is named.
        """
        path = self.path("keyring")
        if path is None:
            raise ConfigError("`keyring` names no file")
        return path

    def open_keys(self) -> KeyFile:
        """The private keys, for a program that runs while they are rotated; raises as `load_keyring`."""
        return KeyFile(self.keyring_path, self.load_keyring)

    def load_keyring(self) -> keyrings.Keyring:
        """The private keys, opened.

        Raises:
            ConfigError: the keyring belongs to somebody else, or nothing says how to open it.
            KeyringError: it cannot be opened.
        """
        path = self.keyring_path
        found = keyrings.load(path, self.identity())
        if (found.origin, found.id) != (self.exchange, self.contact_point):
            raise ConfigError(
                f"{path} holds the keys of {found.origin}/{found.id}, not of {self.exchange}/{self.contact_point}"
            )
        return found

    def identity(self) -> age.SealIdentity | age.Passphrase:
        """What opens the keyring on this machine.

        Raises:
            ConfigError, KeyringError: it is not there or cannot be used.
        """
        host_key, passphrase = self.path("host_key"), self.path("passphrase_file")
        if (host_key is None) == (passphrase is None):
            raise ConfigError("one of `host_key` and `passphrase_file` must say how the keyring is opened")
        return keyrings.load_host_key(host_key) if host_key else read_passphrase(passphrase or Path())


def first_line(path: Path) -> str:
    """The first line of a file that holds a secret.

    Raises:
        ConfigError: it cannot be read; the text does not repeat any of it.
    """
    try:
        with path.open("rb") as file:
            return file.read(passphrase_bytes_max).split(b"\n", maxsplit=1)[0].rstrip(b"\r").decode()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the first line of {path} is not text") from None


def read_passphrase(path: Path) -> age.Passphrase:
    """The passphrase in a file: its first line.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """
    try:
        return age.Passphrase(first_line(path))
    except age.AgeError:
        raise ConfigError(f"the first line of {path} is no passphrase") from None


def profiles_folder() -> Path:
    """Where profiles lie by name."""
    return platformdirs.user_config_path("valija")


def chosen_name(environ: Mapping[str, str] = os.environ) -> str | None:
    """The profile that the environment names, else the one that `valija profile use` chose, else None."""
    if environ.get("VALIJA_PROFILE"):
        return environ["VALIJA_PROFILE"]
    try:
        return (profiles_folder() / _CHOSEN).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def choose(name: str) -> None:
    """Let commands without `--profile` use the profile `name` from now on.

    Raises:
        ConfigError: there is none of this name, or it cannot be written down.
    """
    path = profile_path(name)
    if not path.is_file():
        raise ConfigError(f"there is no {path}", hint="See `valija profile list`.")
    try:
        durable.write(path.parent / _CHOSEN, f"{name}\n".encode(), replace=True)
    except OSError as error:
        raise ConfigError(f"{path.parent / _CHOSEN} cannot be written: {error.strerror}") from None


def profile_path(profile: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The file of a profile: that of `profile`, else the one that the environment names, else the chosen one.

    Raises:
        ConfigError: the name could lead out of the configuration folder.
    """
    if profile is None and environ.get("VALIJA_CONFIG"):
        return Path(environ["VALIJA_CONFIG"]).expanduser()
    name = profile or chosen_name(environ) or PROFILE_DEFAULT
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise ConfigError(f"{name!r} is no name for a profile")
    return profiles_folder() / f"{name}.toml"


def load(
    profile: str | None = None,
    options: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The profile, with the environment over the file and `options` over both.

    Raises:
        ConfigError: the text names the key and what would be right.
    """
    path = profile_path(profile, environ)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if profile or environ.get("VALIJA_CONFIG") or chosen_name(environ):
            raise ConfigError(f"there is no {path}", hint="`valija init` makes a profile.") from None
        text = ""  # everything may come from the environment
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    over = {
        name: value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _OTHERS and not name.startswith(_OTHER_PROGRAMS)
    }
    over |= {
        f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in (options or {}).items() if value is not None
    }
    try:
        found = settings.load(Config, text, over, ENVIRONMENT_PREFIX)
    except settings.SettingsError as error:
        if text:
            raise ConfigError(f"{path}: {error}") from None
        hint = "`valija init` makes a profile; clients/README.md explains its keys."
        raise ConfigError(f"there is no {path}, and the environment does not say all: {error}", hint=hint) from None
    if found.folder:
        raise ConfigError(f"{path}: unknown setting `folder`")
    return msgspec.structs.replace(found, root=keys.unblocked(found.root), folder=str(path.parent))


def write_profile(path: Path, values: Mapping[str, str]) -> None:
    """Write a new profile.

    Raises:
        ConfigError: something is there, or it cannot be written, or a value is none.
    """
    comments = {
        "exchange": "The exchange, as the registry authority names it.",
        "contact_point": "Who we are in it.",
        "broker": "Where its broker is.",
        "root": "Digest of root 1. Compare it by another channel, a telephone call say, before you write it here.",
        "keyring": "Our private keys, sealed.",
        "host_key": "What opens the keyring on this machine.",
        "passphrase_file": "What opens the keyring on this machine.",
        "state": "Outbox, inbox and verified directory.",
        "ca_file": "The CA of the broker's certificate.",
        "proxy": "The proxy on the way to the broker.",
        "proxy_password_file": "What the proxy wants to hear.",
    }
    lines = ["# A profile of Valija. It holds no secrets; the files that it names do."]
    for name, value in values.items():
        lines += [f"# {comments[name]}", f"{name} = {msgspec.json.encode(value).decode()}"]
    text = "\n".join(lines) + "\n"
    try:
        settings.load(Config, text, {}, ENVIRONMENT_PREFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, text.encode())
    except settings.SettingsError as error:
        raise ConfigError(f"this would be no profile: {error}") from None
    except FileExistsError:
        raise ConfigError(f"{path} is there already", hint="Choose another profile with --profile.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
