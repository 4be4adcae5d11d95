"""The local time zone of this process, as the C library finds it: ``TZ``, else /etc/localtime."""

import re
import struct
from collections.abc import Mapping
from datetime import UTC, tzinfo
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from healthd.log import get_logger

LOCALTIME = Path("/etc/localtime")

HINT = (
    "write a name such as Europe/Berlin, without quotes; on Debian, names need the package tzdata"
)

# The format of POSIX, such as CET-1CEST,M3.5.0,M10.5.0/3 (tzset(3)). zoneinfo also takes
# abbreviations with fewer than three characters, which the C library does not.
_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?\d{1,2}(?::\d\d){0,2}"
_POSIX = re.compile(
    rf"{_ABBREVIATION}{_OFFSET}(?P<summer>{_ABBREVIATION}(?:{_OFFSET})?)?(?P<rules>,.+)?", re.ASCII
)

# What the C library uses for summer time without rules: those of the United States.
_DEFAULT_RULES = ",M3.2.0,M11.1.0"


class Found(NamedTuple):
    """A time zone, and where it comes from.

    Attributes:
        zone: the rules.
        source: the name of the zone, or where its rules are.
        problem: why it is perhaps not the zone that is meant; empty if it is.
    """

    zone: tzinfo
    source: str
    problem: str = ""


class LocalZone:
    """Returns the local time zone: a change of /etc/localtime takes effect at the next call."""

    def __init__(self, environ: Mapping[str, str], file: Path = LOCALTIME) -> None:
        """Read ``TZ`` from ``environ``, and the zone of the machine from ``file``."""
        self._environ = environ
        self._file = file
        self._logged = ""

    def __call__(self) -> tzinfo:
        """Return the zone; log once why it is not the one that is meant."""
        found = find_zone(self._environ, self._file)
        if found.problem not in ("", self._logged):
            log = get_logger(service="clock")
            log.warning("time zone unknown", error=found.problem, used=found.source, hint=HINT)
        self._logged = found.problem
        return found.zone


def find_zone(environ: Mapping[str, str], file: Path = LOCALTIME) -> Found:
    """Return the local time zone; UTC if nothing says which.

    Args:
        environ: may have ``TZ``, and ``TZDIR``: where its names are looked up (tzset(3)).
        file: a link to the zone's rules, or a copy of them.
    """
    name, problem = environ.get("TZ"), ""
    if name is not None:
        zone = _zone_of(name.removeprefix(":"), environ.get("TZDIR"))
        if zone is not None:
            return Found(zone, f"TZ={name}")
        problem = f"TZ is {name!r}, which is not a known time zone"
    try:
        with file.open("rb") as rules:
            zone = ZoneInfo.from_file(rules)
    except (OSError, ValueError) as error:
        if file.is_symlink() or file.exists():
            problem = problem or f"{file} cannot be used: {error}"
        return Found(UTC, "UTC", problem)
    _, _, place = str(file.resolve()).rpartition("/zoneinfo/")
    return Found(zone, place, problem)


def _zone_of(value: str, folder: str | None) -> tzinfo | None:
    """Return the zone of a value of ``TZ``; None if the C library would not understand it."""
    if not value:
        return UTC
    try:
        if value.startswith("/") or folder:
            with Path(folder or "/", value).open("rb") as rules:
                return ZoneInfo.from_file(rules)
        return ZoneInfo(value)
    # A name that is not in the database, is a folder of it, is too long, or leaves it.
    except (OSError, ValueError, KeyError):
        return _posix_zone(value)


def _posix_zone(value: str) -> tzinfo | None:
    match = _POSIX.fullmatch(value)
    if match is None:
        return None
    rules = _DEFAULT_RULES if match["summer"] and not match["rules"] else ""
    try:
        return ZoneInfo.from_file(BytesIO(_file_of(value + rules)))
    except ValueError:
        return None


def _file_of(posix: str) -> bytes:
    """Return a file of rules without any transition, after which ``posix`` holds (RFC 8536)."""
    # The counts of all parts are zero, except one type of local time and its abbreviation.
    header = b"TZif2" + bytes(15) + struct.pack(">6L", 0, 0, 0, 0, 1, 4)
    block = header + struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    return block + block + b"\n" + posix.encode("ascii") + b"\n"
