"""The result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a check; only ``wrong`` means that something does not work."""

    OK = "ok"
    WARNING = "warning"
    """It works, but could be better."""
    WRONG = "wrong"
    SKIPPED = "skipped"
    """Not checked: a check that it depends on failed, or another user has to run it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: the name of the check, one stable lower-case word (``powered``, ``broker_tls``, …).
        status: the result.
        found: what was found, as text.
        fix: how to fix it; empty if there is nothing to fix.
        of: which broker or adapter, if there are several; empty otherwise.
    """

    check: str
    status: Status
    found: str
    fix: str = ""
    of: str = ""


def ok(check: str, found: str, *, of: str = "") -> Finding:
    """Return a finding for a check that passed."""
    return Finding(check, Status.OK, found, of=of)


def warning(check: str, found: str, fix: str, *, of: str = "") -> Finding:
    """Return a finding for something that works, but could be better."""
    return Finding(check, Status.WARNING, found, fix, of)


def wrong(check: str, found: str, fix: str, *, of: str = "") -> Finding:
    """Return a finding for something that does not work."""
    return Finding(check, Status.WRONG, found, fix, of)


def skipped(check: str, reason: str, fix: str = "", *, of: str = "") -> Finding:
    """Return a finding for something that could not be checked."""
    return Finding(check, Status.SKIPPED, reason, fix, of)


def depend(checks: tuple[str, ...], failed: str, *, of: str = "") -> list[Finding]:
    """Return skipped findings for the checks that depend on one that failed."""
    return [skipped(check, f"needs {failed}", of=of) for check in checks]
