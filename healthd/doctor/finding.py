"""What a check has found."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How grave it is; only ``wrong`` makes a set-up one that does not work."""

    OK = "ok"
    WARNING = "warning"
    """It works, and could be better."""
    WRONG = "wrong"
    SKIPPED = "skipped"
    """It could not be judged: what it depends on failed, or somebody else has to ask."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at, one stable lower-case word (``powered``, ``broker_tls``, …).
        status: how it is.
        found: what is there, in words.
        fix: how to fix it; empty where nothing has to be.
        of: which one, where there are several (a broker, an adapter); empty otherwise.
    """

    check: str
    status: Status
    found: str
    fix: str = ""
    of: str = ""


def ok(check: str, found: str, *, of: str = "") -> Finding:
    """It is as it should be."""
    return Finding(check, Status.OK, found, of=of)


def warning(check: str, found: str, fix: str, *, of: str = "") -> Finding:
    """It works, and could be better."""
    return Finding(check, Status.WARNING, found, fix, of)


def wrong(check: str, found: str, fix: str, *, of: str = "") -> Finding:
    """It does not work."""
    return Finding(check, Status.WRONG, found, fix, of)


def skipped(check: str, reason: str, fix: str = "", *, of: str = "") -> Finding:
    """It could not be judged."""
    return Finding(check, Status.SKIPPED, reason, fix, of)


def depend(checks: tuple[str, ...], failed: str, *, of: str = "") -> list[Finding]:
    """These checks make no sense after this one failed."""
    return [skipped(check, f"needs {failed}", of=of) for check in checks]
