"""`valija-broker check`: one look at one part, for a monitoring system.

It ends with 0 (good), 1 (warning), 2 (critical), 3 (unknown), as such systems expect it.
"""

import sys
from pathlib import Path
from typing import Final, NoReturn, get_args

import click
import msgspec

from valija_broker.cli import common
from valija_broker.cli.common import config_option
from valija_broker.errors import BadConfig, BrokerError
from valija_schemas import admin
from valija_schemas.printable import printable

PARTS: Final[tuple[str, ...]] = get_args(admin.Check.__annotations__["name"])

_STATUS: Final[dict[admin.Verdict, int]] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
_NAGIOS: Final[dict[admin.Verdict, str]] = {
    "ok": "OK", "warning": "WARNING", "critical": "CRITICAL", "unknown": "UNKNOWN",
}  # fmt: skip


@click.command("check")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "nagios", "prometheus"]),
    default="text",
    show_default=True,
    help="What the monitoring reads.",
)
@click.option("--warning", metavar="NAME=N,...", help="Warn above this figure of the part, as --format json names it.")
@click.option("--critical", metavar="NAME=N,...", help="As --warning, and critical. `NAME=N:` stands for below.")
@click.argument("part", type=click.Choice(PARTS))
def command(path: Path, form: str, warning: str | None, critical: str | None, part: str) -> None:
    """Look at PART of the broker once, and end with 0 (good), 1 (warning), 2 (critical) or 3 (could not be looked at).

    The verdict is that of `valija-broker health`; --warning and --critical can make it graver.
    """
    limits: list[tuple[admin.Verdict, dict[str, tuple[float, bool]]]] = [
        ("critical", _limits(critical)),
        ("warning", _limits(warning)),
    ]
    try:
        shown = common.observed(path, lambda live: _looked(live, part))()
        found: admin.Check = shown.record
    except (BrokerError, OSError) as error:
        if isinstance(error, BadConfig):
            raise
        found = admin.Check(
            name=part, verdict="critical" if part == "broker" else "unknown", code="not-seen",  # type: ignore[arg-type]  # a choice
            words=f"This could not be looked at: {error}.", said={"error": str(error)}, values={},
        )  # fmt: skip
    for verdict, bounds in limits:
        for name, (bound, below) in bounds.items():
            if name not in found.values:
                raise click.UsageError(
                    f"{part} has no figure {name!r} now; it has {', '.join(found.values) or 'none'}."
                )
            value = found.values[name]
            beyond = value < bound if below else value > bound
            if beyond and _STATUS[verdict] > _STATUS[found.verdict] % 3:
                words = f"{name} is {_figure(value)}, {'below' if below else 'above'} {_figure(bound)}. {found.words}"
                found = msgspec.structs.replace(found, verdict=verdict, words=words)
    _end(found, form)


async def _looked(live: object, part: str) -> common.Shown:
    health: admin.Health = await live.health()  # type: ignore[attr-defined]  # a `Live`
    return common.Shown(record=next(check for check in health.checks if check.name == part), rows=())


def _limits(text: str | None) -> dict[str, tuple[float, bool]]:
    """Bounds by the name of a figure, and whether the figure must not be below."""
    found = {}
    for item in text.split(",") if text else ():
        name, equals, bound = item.partition("=")
        try:
            found[name] = (float(bound.removesuffix(":")), bound.endswith(":"))
        except ValueError:
            raise click.UsageError(f"{item!r}: write a name and a number, such as oldest_age_s=3600.") from None
        if not equals:
            raise click.UsageError(f"{item!r}: write a name and a number, such as oldest_age_s=3600.")
    return found


def _figure(value: float) -> str:
    """Every digit before the point, three after it: not all that read performance data know an exponent."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _end(found: admin.Check, form: str) -> NoReturn:
    status = _STATUS[found.verdict]
    said = printable(found.words).replace("\n", " ")
    if form == "json":
        click.echo(common.safe_json(msgspec.json.encode(found)))
    elif form == "nagios":  # https://nagios-plugins.org/doc/guidelines.html: a line, a bar, figures
        figures = " ".join(f"{name}={_figure(value)}" for name, value in found.values.items())
        line = f"VALIJA {found.name.upper()} {_NAGIOS[found.verdict]} - {said.replace('|', '/')}"
        click.echo(f"{line} | {figures}" if figures else line)
    elif form == "prometheus":  # for the text file collector of a node's own exporter
        click.echo(
            "# HELP valija_check_status 0 good, 1 warning, 2 critical, 3 unknown.\n# TYPE valija_check_status gauge"
        )
        click.echo(f'valija_check_status{{part="{found.name}"}} {status}')
        for name, value in found.values.items():
            click.echo(f'valija_check_value{{part="{found.name}",name="{name}"}} {_figure(value)}')
    else:
        click.echo(f"{found.name}: {found.verdict}: {said}")
    sys.exit(status)
