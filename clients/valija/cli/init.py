"""`valija init`: an agency's first step, and its answer to the officers' challenge."""

from pathlib import Path
from typing import Any, Final

import click
import platformdirs

from valija import age, durable, enrol
from valija import config as configs
from valija import keyring as keyrings
from valija.cli import common
from valija.connect import check_url
from valija.errors import ConfigError, UsageError

_AREAS: Final = ("judicial", "non-judicial", "law-enforcement", "administrative", "political")


@click.command("init", cls=common.Command)
@click.option("--exchange", metavar="NAME", help="The exchange, as the registry authority names it.")
@click.option("--contact-point", metavar="ID", help="Who you are to be: mx.enlace.")
@click.option("--broker", metavar="URL", help="https://...")
@click.option("--root", metavar="DIGEST", help="Digest of root 1, which you compared by another channel.")
@click.option("--name", help="The name of the office, as others will read it.")
@click.option("--area", type=click.Choice(_AREAS))
@click.option("--state", metavar="MX", help="The State that it belongs to; or:")
@click.option("--organisation", help="the organisation.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Seal the keyring with the first line of this file, instead of with a host key made here.",
)
@click.option("--ca-file", type=click.Path(path_type=Path, dir_okay=False), help="The CA of the broker's certificate.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where keys and request are written.")
@click.option("--answer", metavar="CHALLENGE", help="Answer the officers' challenge in this file; make nothing.")
@click.option("--profile", metavar="NAME", help="The profile to write; also VALIJA_PROFILE.")
@common.reported
def command(answer: str | None, profile: str | None, **options: Any) -> None:
    r"""Make the keys of a contact point, its profile, and the request that the registry officers admit.

    No secret is shown or taken from the command line. Read the fingerprints to the officers by telephone.

    \b
    valija init --exchange exchange.example --contact-point mx.enlace --broker https://broker.example \
      --root DIGEST --name "Oficina de ejemplo" --state MX --area law-enforcement
    valija init --answer mx.enlace.challenge > mx.enlace.answer
    """
    if answer is not None:
        keyring = configs.load(profile).load_keyring()
        challenge = common.read_file(answer, enrol.challenge_bytes_max)
        click.echo(enrol.answer_challenge(challenge, keyring).decode(), nl=False)
        common.words("Next: send this line back by the channel that the challenge came by.")
        return
    wanted = ("exchange", "contact_point", "broker", "root", "name", "area")
    missing = [f"--{name.replace('_', '-')}" for name in wanted if not options[name]]
    if missing:
        raise UsageError(f"missing: {', '.join(missing)}", hint="valija init --help shows an example.")
    if bool(options["state"]) == bool(options["organisation"]):
        raise UsageError("name either the --state or the --organisation that the office belongs to")
    _make(configs.profile_path(profile), **options)


def _make(
    path: Path,
    *,
    exchange: str,
    contact_point: str,
    broker: str,
    root: str,
    name: str,
    area: Any,
    state: str | None,
    organisation: str | None,
    passphrase_file: Path | None,
    ca_file: Path | None,
    folder: Path | None,
) -> None:
    check_url(broker)
    root = common.root_digest(root)
    folder = folder or platformdirs.user_config_path("valija") / path.stem
    files = {kind: folder / f"{contact_point}.{kind}" for kind in ("keyring", "host-key", "request")}
    for taken in (path, *files.values()):
        if taken.exists():
            raise ConfigError(
                f"{taken} is there already, and keys are never written over",
                hint="Choose another --profile or --folder; or move the file away if nobody was admitted with it.",
            )
    keyring = keyrings.Keyring.generate(exchange, contact_point)
    # Before anything is written, so that a name that is not well-formed leaves nothing behind.
    request = enrol.make_request(keyring, name=name, area=area, state=state, organisation=organisation)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from None
    opener: age.Recipient
    if passphrase_file is None:
        opener = keyrings.make_host_key(files["host-key"]).recipient
        opened_by = {"host_key": str(files["host-key"].resolve())}
    else:
        opener = configs.read_passphrase(passphrase_file)
        opened_by = {"passphrase_file": str(passphrase_file.resolve())}
    # A crash from here on leaves keys that nobody was admitted with; the message above says what to do then.
    keyrings.save(files["keyring"], keyring.with_request(request), opener)
    try:
        durable.write(files["request"], request)
    except OSError as error:
        raise ConfigError(f"{files['request']} cannot be written: {error.strerror}") from None
    values = {"exchange": exchange, "contact_point": contact_point, "broker": broker, "root": root}
    values |= {"keyring": str(files["keyring"].resolve()), **opened_by}
    values |= {"ca_file": str(ca_file.resolve())} if ca_file else {}
    configs.write_profile(path, values)
    common.show_fingerprints(keyring)
    common.words(f"Keys: {files['keyring']} (make a copy: valija keys backup)")
    common.words(f"Profile: {path}")
    common.words(f"Request: {files['request']}")
    common.words("Next: give the request to the registry officers, and read them the three fingerprints by telephone.")
