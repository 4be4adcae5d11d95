"""Errors in the settings: what is reported about each of them, and how they are logged."""

import re
from dataclasses import dataclass

from healthd.errors import Fatal, FileUnavailable
from healthd.log import get_logger

# The value of an unknown key is never shown: the key may be misspelt and the value a password.
UNKNOWN = "an unknown key"

_UNAVAILABLE = (
    "check the path in the settings; if it is right, another program is replacing the file, or its "
    "disk is not mounted yet"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in the settings.

    Attributes:
        source: the file, or ``environment``.
        key: where, such as ``peripherals[0].address``; empty for the whole file.
        found: the value as written.
        expected: what would be accepted.
    """

    source: str
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        """Return the problem in one line."""
        place = f"{self.source}: {self.key}" if self.key else self.source
        return f"{place}: found {self.found}, expected {self.expected}"


class SettingsError(Fatal):
    """The settings are invalid; ``problems`` lists every error in them."""

    def __init__(self, problems: list[Problem]) -> None:
        """Use the problems as the message, one per line."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class NoSettings(SettingsError):
    """The file exists, but there are no settings in it."""


def log_problems(error: Fatal, next_try: str) -> None:
    """Log an error in the settings, one line per problem.

    Args:
        error: what was found.
        next_try: when a file that is unavailable now is read again.
    """
    log = get_logger()
    if isinstance(error, FileUnavailable):
        log.critical("file unavailable", error=str(error), hint=f"{_UNAVAILABLE}; {next_try}")
        return
    if not isinstance(error, SettingsError):
        log.critical("bad settings", error=str(error))
        return
    for problem in error.problems:
        log.critical(
            "bad setting",
            file=problem.source,
            key=problem.key,
            found=problem.found,
            expected=problem.expected,
        )


def unavailable(key: str, file: object, error: OSError) -> FileUnavailable:
    """Return the error for a file that cannot be read.

    Args:
        key: the key of the settings that names the file.
        file: its path.
        error: why it cannot be read.
    """
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        fix = f"sudo chown root:healthd {file}; sudo chmod 640 {file}"
        reason = f"{reason}; healthd must be allowed to read it: {fix}"
    return FileUnavailable(f"{key}: {file}: {reason}")


def one_of(name: str, known: list[str]) -> str:
    """Return the names that are accepted instead of ``name``, and the one that looks like it."""
    # Imported late: only a mistake needs it.
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f"one of {', '.join(known)}{hint}"


def shown(value: object) -> str:
    """Return the value as the user wrote it, without parts that may be secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    # A broker written as a URL may contain user and password.
    return re.sub(r"[^/'\"]*@", "…@", repr(value))
