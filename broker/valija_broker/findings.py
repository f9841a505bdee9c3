"""What `valija-broker doctor` says, line by line. Before this room: `doctor`, `doctor_reach`."""

from typing import Final, Literal

import msgspec

Verdict = Literal["ok", "warning", "wrong", "not checked"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    check: str
    verdict: Verdict
    detail: str
    hint: str | None = None  #: What to do, where something is to be done.


class Report:
    """Findings, in the order in which they were made."""

    def __init__(self) -> None:
        self.findings: Final[list[Finding]] = []

    def ok(self, check: str, detail: str) -> None:
        """As it must be."""
        self._add(check, "ok", detail)

    def warning(self, check: str, detail: str, hint: str) -> None:
        """It works; look at it."""
        self._add(check, "warning", detail, hint)

    def wrong(self, check: str, detail: str, hint: str) -> None:
        """It does not work, or not long any more."""
        self._add(check, "wrong", detail, hint)

    def unknown(self, check: str, why: str) -> None:
        """It could not be looked at, or there is nothing to look at."""
        self._add(check, "not checked", why)

    def _add(self, check: str, verdict: Verdict, detail: str, hint: str | None = None) -> None:
        self.findings.append(Finding(check=check, verdict=verdict, detail=detail, hint=hint))
