"""`valija doctor`: whether everything on this machine, on the way and at the broker is as it must be."""

import json
from typing import Final

import click

from valija import config as configs
from valija.cli import common
from valija.client import Client
from valija.clock import now_ms
from valija.doctor import Report, examine_held, examine_log_held, examine_machine, examine_way
from valija.doctor_directory import examine_ourselves, examine_validity
from valija.errors import ConfigError, ValijaError

_MARKS: Final = {"ok": "ok", "warning": "WARNING", "wrong": "WRONG", "not checked": "-"}


@click.command("doctor", cls=common.Command)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of check, verdict, detail, hint and code.")
@click.option("--offline", is_flag=True, help="Look at this machine alone; ask nobody.")
@click.option("--no-round-trip", is_flag=True, help="Send no exercise to ourselves.")
@common.profile_options
@common.reported
def command(profile: str | None, settings: tuple[str, ...], as_json: bool, offline: bool, no_round_trip: bool) -> None:
    """Look at settings, files, keys, clock, TLS, directory, log and mailbox, and say of each how it is.

    Ends with a message to ourselves, marked as an exercise. Status 0 if nothing is wrong, warnings or not; else that of
    the first line that is wrong, as the other commands would end.
    """
    report = Report()
    try:
        config = common.load_config(profile, settings)
    except ConfigError as error:
        report.wrong("settings", error)
    else:
        report.ok("settings", f"{config.contact_point} in {config.exchange}, from {configs.profile_path(profile)}")
        common.run(_examine(config, report, offline=offline, round_trip=not no_round_trip))
    _show(report, as_json)
    wrong = next((finding.error for finding in report.findings if finding.error is not None), None)
    if wrong is not None:
        raise SystemExit(common.status_of(wrong))


async def _examine(config: configs.Config, report: Report, *, offline: bool, round_trip: bool) -> None:
    keys = examine_machine(config, report)
    # A broker that does not answer at once is not asked with patience either: a person waits.
    alone = offline or not await examine_way(config, report, now_ms)
    if keys is None:
        report.unknown("directory", "without keys the broker cannot be asked")
    elif alone:
        store = examine_held(config, report)
        if store is not None:
            examine_validity(report, store.roots, store.phonebook, store.freshness, now_ms(), offline=True)
            examine_ourselves(report, keys, store.phonebook, now_ms())
        examine_log_held(config, report)
    else:
        try:
            async with Client(config, keys=keys) as client:
                report.findings.extend(await client.examine(round_trip=round_trip))
        except ValijaError as error:
            report.wrong("state", error)


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        lines = [
            {
                "check": finding.check,
                "verdict": finding.verdict,
                "detail": finding.detail,
                "hint": finding.hint,
                "code": finding.error.code if finding.error else None,
            }
            for finding in report.findings
        ]
        click.echo(json.dumps(lines, ensure_ascii=False, indent=2))
        return
    for finding in report.findings:
        click.echo(f"{_MARKS[finding.verdict]:8}{finding.check:11}{common.printable(finding.detail)}")
        if finding.hint:
            click.echo(f"{'':19}{common.printable(finding.hint)}")
