"""What `valija-broker doctor` says, line by line. Before this room: `doctor`, `doctor_reach`."""

import contextlib
from collections.abc import Iterator
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

    @contextlib.contextmanager
    def looking(self, check: str) -> Iterator[None]:
        """One look. Whatever ends it is told, and the next one is taken: what is amiss may be what nobody foresaw."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as the docstring says
            text = f"this could not be looked at: {type(error).__name__}: {error}"
            self.warning(check, text, "Run it as the broker's user. If you did, tell us: section 5.6 of the runbook.")

    def _add(self, check: str, verdict: Verdict, detail: str, hint: str | None = None) -> None:
        self.findings.append(Finding(check=check, verdict=verdict, detail=detail, hint=hint))
