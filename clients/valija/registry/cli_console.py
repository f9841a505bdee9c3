"""The command `valija-registry console`: an operator signs in at the broker's console, and signs what is proposed.

The browser that it opens has no key. Whatever is clicked there comes to this terminal as the text of an order; this
shows it, asks, and signs what it showed.

Before this room: `cli`. After it: `console_visit`. Rules: schemas/SPEC.md sections 5.5 and 5.6.
"""

from pathlib import Path

import click

from valija import age, keyring
from valija.errors import RegistryError
from valija.registry.cli_common import FILE, passphrase_option, read_passphrase


@click.command("console")
@click.argument("url")
@click.option("--key", "keys_file", type=FILE, required=True, help="Your keyring, as `operator` made it.")
@click.option("--as", "who", metavar="ID", help="Who you are; refused where the keyring is somebody else's.")
@click.option("--no-browser", is_flag=True, help="Print the link instead of opening a browser.")
@click.option("--print-link", is_flag=True, help="Print the link and end; nothing can be signed then.")
@click.option(
    "--keep",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write what you signed into this folder once it is handed in, with all signatures: a hold, for the officers.",
)
@click.option("--ca-file", type=FILE, help="The CA of the console, where it has one of its own.")
@click.option("--proxy", default="", help="The proxy on the way, or `none`; else that of the system.")
@click.option("--proxy-password-file", type=FILE, help="`user:password` for the proxy, on its first line.")
@passphrase_option
def console(
    url: str,
    keys_file: Path,
    who: str | None,
    no_browser: bool,
    print_link: bool,
    keep: Path | None,
    ca_file: Path | None,
    proxy: str,
    proxy_password_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Sign in at the broker's console at URL, open it in a browser, and sign what is proposed there.

    What somebody clicks in a browser is shown here, word by word, and signed only if you say yes. Ctrl-C signs out,
    and ends the session of the browser, too.
    """
    from valija.connect import Endpoint  # noqa: PLC0415 - the other commands work offline, and start without it
    from valija.registry import console_visit  # noqa: PLC0415

    endpoint = Endpoint(url, ca_file=ca_file, proxy=proxy, proxy_password_file=proxy_password_file)
    held = keyring.load(keys_file, age.Passphrase(read_passphrase(passphrase_file)))
    if who is not None and held.id != who:
        raise RegistryError(f"this is the keyring of {held.id}, not of {who}", hint="Take your own.")
    console_visit.visit(
        endpoint, held.origin, held.operator, browser=not (no_browser or print_link), stay=not print_link, keep=keep
    )
