"""`valija profile`: several contact points, or exchanges, on one machine."""

import os
import tomllib
from pathlib import Path
from typing import Any

import click

from valija import config as configs
from valija.cli import common
from valija.connect import Endpoint
from valija.errors import ConfigError, ValijaError

_FILE: Any = click.Path(path_type=Path, dir_okay=False)


@click.group("profile")
def command() -> None:
    """List, show, use and write profiles. A profile says who we are and where broker, keys and state lie."""


@command.command("list", cls=common.Command)
@common.output_option
@common.reported
def list_(output: str) -> None:
    """List the profiles of this user. `used` is the one that commands without --profile use."""
    used = configs.profile_path()
    printer = common.Printer(output, ["used", "name", "exchange", "contact_point", "broker", "fault"])
    paths = sorted(configs.profiles_folder().glob("*.toml"))
    for path in [*paths, *([used] if used.is_file() and used not in paths else [])]:
        record: dict[str, Any] = {"used": path == used, "name": path.stem if path in paths else str(path)}
        try:
            # Without the environment: what the file itself says.
            found = configs.load(None, None, {"VALIJA_CONFIG": str(path)})
            record |= {"exchange": found.exchange, "contact_point": found.contact_point, "broker": found.broker}
        except ConfigError as error:
            record["fault"] = str(error)
        printer.add(record)
    printer.close()


@command.command("show", cls=common.Command)
@click.argument("name", required=False, shell_complete=common.complete_profile)
@common.output_option
@common.reported
def show(name: str | None, output: str) -> None:
    """Show every setting of the profile NAME, or of the one that is used, and whence it comes.

    The environment goes over the file: `from` says `environment`, `file` or `default`.
    """
    path = configs.profile_path(name)
    found = configs.load(name)
    written = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    printer = common.Printer(output, ["setting", "value", "from"])
    for setting in found.__struct_fields__:
        if setting == "folder":
            continue
        whence = "default"
        if f"{configs.ENVIRONMENT_PREFIX}{setting.upper()}" in os.environ:
            whence = "environment"
        elif setting in written:
            whence = "file"
        value = getattr(found, setting)
        if setting == "state":
            value = str(found.state_folder)
        printer.add({"setting": setting, "value": value or None, "from": whence})
    printer.close()
    common.words(f"Profile: {path}")


@command.command("use", cls=common.Command)
@click.argument("name", shell_complete=common.complete_profile)
@common.reported
def use(name: str) -> None:
    """Let commands without --profile use the profile NAME from now on.

    VALIJA_PROFILE and VALIJA_CONFIG go over it. A program that runs by itself should name its profile.
    """
    configs.choose(name)
    common.words(f"Commands without --profile use {name} now.")
    for variable in ("VALIJA_PROFILE", "VALIJA_CONFIG"):
        if os.environ.get(variable):
            common.words(f"But {variable} is set here, and goes over it.")


@command.command("new", cls=common.Command)
@click.argument("name")
@click.option("--exchange", metavar="NAME", required=True, help="The exchange, as the registry authority names it.")
@click.option("--contact-point", metavar="ID", required=True, help="Who we are in it.")
@click.option("--broker", metavar="URL", required=True, help="https://...")
@click.option("--root", metavar="DIGEST", required=True, help="Digest of root 1, compared by another channel.")
@click.option("--keyring", type=_FILE, help="The keyring; need not be there yet.")
@click.option("--host-key", type=_FILE, help="What opens it: a host key; `valija keys restore` makes one.")
@click.option("--passphrase-file", type=_FILE, help="What opens it: the first line of this file.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Outbox, inbox, verified directory.")
@click.option("--ca-file", type=_FILE, help="The CA of the broker's certificate.")
@click.option("--proxy", metavar="URL", help="The proxy on the way to the broker, or `none`.")
@click.option("--proxy-password-file", type=_FILE, help="One line, user:password, for the proxy.")
@common.reported
def new(name: str, **options: Any) -> None:
    """Write the profile NAME for keys that there are, or that a backup brings. New keys are made by `valija init`."""
    path = configs.profile_path(name)
    options["root"] = common.root_digest(options["root"])
    folder, who = configs.profiles_folder() / path.stem, options["contact_point"]
    options["keyring"] = options["keyring"] or folder / f"{who}.keyring"
    if options["passphrase_file"] is None:
        options["host_key"] = options["host_key"] or folder / f"{who}.host-key"
    elif options["host_key"] is not None:
        raise ConfigError("a keyring is opened by a host key or by a passphrase, not by both")
    values = {
        setting: str(value.resolve()) if isinstance(value, Path) else value
        for setting, value in options.items()
        if value is not None
    }
    try:
        Endpoint(
            values["broker"], proxy=values.get("proxy", "none"), proxy_password_file=options["proxy_password_file"]
        )
    except ValijaError as error:
        raise ConfigError(f"this would be no profile: {error}", hint=error.hint) from None
    configs.write_profile(path, values)
    common.words(f"Profile: {path}")
    common.words(f"Next: valija doctor --profile {name}; or first valija keys restore, from a backup.")
