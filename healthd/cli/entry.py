"""How a block of ``[[peripherals]]`` gets into the settings without touching the rest."""

from collections.abc import Collection, Mapping
from pathlib import Path

from healthd.errors import HealthdError
from healthd.host.atomic import replace_shared_file
from healthd.settings.file import Problem, SettingsError, read


class NotAdded(HealthdError):
    """The file is as it was; the text says why."""


def append(path: Path, lines: str, environ: Mapping[str, str], services: Collection[str]) -> None:
    """Write ``lines`` behind the end of the settings; every byte before stays as it is.

    The new file has to be one that healthd takes, before it replaces the old one in one step.

    Args:
        path: the settings.
        lines: what is added.
        environ: see ``settings_file.read``.
        services: likewise.

    Raises:
        SettingsError: the settings are bad, or would be; the file is as it was.
        NotAdded: the file cannot be written, or somebody else has just done so.
    """
    # A link to the file stays a link.
    target = path.resolve()
    try:
        before = target.read_bytes()
        gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"

        def check(draft: Path) -> None:
            _validate(draft, path, environ, services)
            if target.read_bytes() != before:
                raise NotAdded(f"{path}: somebody else has just changed it; try again")

        replace_shared_file(target, before + gap + lines.encode(), check)
    except OSError as error:
        raise NotAdded(
            f"{path}: {error.strerror}; may this user write it? sudo healthd scan"
        ) from error


def _validate(
    part: Path, path: Path, environ: Mapping[str, str], services: Collection[str]
) -> None:
    try:
        read(part, environ, services)
    except SettingsError as error:
        problems = [
            Problem(
                str(path) if one.source == str(part) else one.source,
                one.key,
                one.found,
                one.expected,
            )
            for one in error.problems
        ]
        raise SettingsError(problems) from error
