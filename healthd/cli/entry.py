"""Append a block of ``[[peripherals]]`` to the settings without touching the rest."""

from collections.abc import Mapping
from pathlib import Path

from healthd.errors import HealthdError
from healthd.host.atomic import replace_shared_file
from healthd.settings.file import read
from healthd.settings.peripherals import Kind
from healthd.settings.problems import Problem, SettingsError


class NotAdded(HealthdError):
    """The block was not added and the file is unchanged; the message says why."""


def append(
    path: Path, lines: str, environ: Mapping[str, str], services: Mapping[str, Kind]
) -> None:
    """Append ``lines`` to the settings; every existing byte stays as it is.

    The new file replaces the old one atomically, and only if healthd accepts it.

    Args:
        path: the settings.
        lines: the text to add.
        environ: see ``healthd.settings.file.read``.
        services: see ``healthd.settings.file.read``.

    Raises:
        SettingsError: the settings are invalid, or would be; the file is unchanged.
        NotAdded: the file cannot be written, or another program has changed it meanwhile.
    """
    # A symbolic link to the file stays a link.
    target = path.resolve()
    try:
        before = target.read_bytes()
        gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"

        def check(draft: Path) -> None:
            _validate(draft, path, environ, services)
            if target.read_bytes() != before:
                raise NotAdded(f"{path}: another program has changed it meanwhile; try again")

        replace_shared_file(target, before + gap + lines.encode(), check)
    except OSError as error:
        raise NotAdded(
            f"{path}: {error.strerror}; if this user may not write it: sudo healthd scan"
        ) from error


def _validate(
    part: Path, path: Path, environ: Mapping[str, str], services: Mapping[str, Kind]
) -> None:
    try:
        read(part, environ, services)
    except SettingsError as error:
        problems = [
            Problem(
                str(path) if problem.source == str(part) else problem.source,
                problem.key,
                problem.found,
                problem.expected,
            )
            for problem in error.problems
        ]
        raise SettingsError(problems) from error
