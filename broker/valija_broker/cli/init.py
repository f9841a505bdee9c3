"""`valija-broker init`: the keys and folders of a new broker."""

from pathlib import Path

import click

from valija_broker import config
from valija_broker.cli.common import config_option
from valija_broker.keys import PUBLIC_NAME, Keys
from valija_schemas.keys import fingerprint


@click.command("init")
@config_option
def command(path: Path) -> None:
    """Make the data folder and the broker's keys, and write the public halves for the registry officers."""
    settings = config.load(path)
    settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.directory_path.mkdir(mode=0o755, parents=True, exist_ok=True)
    keys = Keys.generate()
    keys.save(settings.keys_path)
    tell(keys, settings.keys_path, write_public(keys, settings.data_path / PUBLIC_NAME))
    click.echo(f"Published roots and directories are taken from {settings.directory_path}", err=True)


def write_public(keys: Keys, public: Path) -> Path:
    """Write what the officers put into the root; where it lies."""
    names = keys.public
    evidence = ", ".join(f'"{key}"' for key in names.evidence)
    public.write_text(
        "# The public keys of the broker, for `valija-registry init --broker`. Compare them by another channel.\n"
        f'evidence = [{evidence}]\nfreshness = "{names.freshness}"\nlog = "{names.log}"\n'
        f'log_ml_dsa = "{names.log_ml_dsa}"\n',
        encoding="utf-8",
    )
    return public


def tell(keys: Keys, private: Path, public: Path) -> None:
    """Say where both halves lie, and what is to be read out."""
    click.echo(f"Private keys: {private} (keep a copy offline: the root names these keys)", err=True)
    click.echo(f"For the officers: {public}", err=True)
    for name, key in keys.public.named():
        click.echo(f"  {name}  {fingerprint(bytes.fromhex(key))}", err=True)
    click.echo("Read these to the officers by telephone: `valija-registry sign` shows them the same.", err=True)
