"""`valija verify`: what a file of evidence proves, offline."""

from pathlib import Path

import click
import msgspec

from valija.bundle import bundle_bytes_max
from valija.cli import common
from valija.errors import ConfigError
from valija.verify import Report, verify_and_open
from valija_schemas.keys import blocks


@click.command("verify", cls=common.Command)
@click.argument("file")
@click.option("--root", metavar="DIGEST", help="Of root 1, by a channel that you trust; else the profile's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option(
    "--content",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="NEW",
    help="Write what the message says to the file NEW, if FILE discloses it and is proved.",
)
@common.profile_options
@common.reported
def command(
    file: str, profile: str | None, settings: tuple[str, ...], root: str | None, as_json: bool, content: Path | None
) -> None:
    r"""Say what FILE, written by `valija prove`, proves, by whom, when, and on which root it rests. Needs no network.

    Status 0: everything in it was checked and holds. 10: something in it is false. 11: something could not be checked.

    \b
    valija verify case.zip --root DIGEST
    valija verify case.zip --json
    valija verify case.zip --root DIGEST --content case.json
    """
    if root is None:
        root = _root_of_profile(profile, settings)
    root = common.root_digest(root)
    try:
        data = common.read_file(file, bundle_bytes_max)
    except ConfigError as error:
        common.words(f"Error: {error}")
        common.words(f"Next: {error.hint}")
        raise SystemExit(common.UNCHECKED) from None
    report, document = verify_and_open(data, root)
    if content is not None and document is not None:
        common.write_new(content, document)
    elif content is not None:
        common.words(f"Nothing is written to {content}.")
    step = "compare the root's digest with a registry officer, and ask for the file again"
    tell(report, "json" if as_json else "table", step)
    if content is not None and document is None:
        common.words("The file holds no key of its content.")
        common.words("Next: ask its sender or a recipient to run `valija prove --disclose`.")
        raise SystemExit(common.UNCHECKED)


def _root_of_profile(profile: str | None, settings: tuple[str, ...]) -> str:
    try:
        return common.load_config(profile, settings).root
    except ConfigError as error:
        if profile is not None or settings:
            raise
        hint = "Give --root DIGEST, which you have from a registry officer: then no profile is needed."
        raise ConfigError(f"without a profile nothing says what to rest on: {error}", hint=hint) from None


def tell(report: Report, form: str, step: str) -> None:
    """Print a report, on standard error where it is `words`, and end with its status.

    `step` is what a person can do next where it is not proved.
    """
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        for finding in report.findings:
            click.echo(f"{finding.result}\t{finding.part}\t{common.printable(finding.words)}", err=form == "words")
    if report.result == "proved":
        common.words("PROVED. It rests on:")
        digest = blocks(report.anchor).splitlines()  # as an officer reads it out
        for line in ("root 1 with the digest", *(f"  {line}" for line in digest), *report.relied_on):
            common.words(f"  {line}")
        common.words("A line that is `stated` rests on the broker's word; one that is `silent` proves nothing.")
        return
    false = report.result == "false"
    common.words("FALSE: do not rely on it." if false else "NOT PROVED: something could not be checked.")
    common.words(f"Next: {step}.")
    raise SystemExit(common.FALSE if false else common.UNCHECKED)
