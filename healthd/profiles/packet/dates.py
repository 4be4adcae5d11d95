"""Dates in packets as one text, also if the device does not know all of their parts.

Unknown digits are ``X``, as in ISO 8601-2. No parser takes such a text for another date: a date
that is cut short, such as ``2026-11``, is the first of the month for many.
"""

from calendar import monthrange
from datetime import MAXYEAR, MINYEAR, datetime

_YEARS = range(MINYEAR, MAXYEAR + 1)
_MONTHS = range(1, 13)
_HOURS, _MINUTES = range(24), range(60)
# Without a year, 29 February may exist; without a month, a day 31.
_LEAP_YEAR, _LONGEST_MONTH = 2000, 31


def date_text(parts: tuple[int, int, int, int, int, int]) -> str | None:
    """Convert ``wires.DATE_TIME`` to a text such as ``2026-11-24T07:30:00``.

    It is the device's local time, without a zone. Year, month and day 0 mean unknown. A part that
    makes no date (Xiaomi sends month 17) is treated as unknown.

    Returns:
        None if all parts are unknown, or 0: a clock that was never set.
    """
    year, month, day, hour, minute, second = parts
    # Checked first, because an exception costs more than the rest of the packet.
    if year and month and day:
        try:
            return datetime(*parts).isoformat()  # noqa: DTZ001 - no zone is known
        except ValueError:
            pass
    elif not any(parts):
        return None
    clock = ":".join((_digits(hour, _HOURS), _digits(minute, _MINUTES), _digits(second, _MINUTES)))
    return _unless_unknown(f"{_date(year, month, day)}T{clock}")


def day_text(year: int, month: int, day: int) -> str | None:
    """Convert a date without a time to a text such as ``2026-11-24``; see `date_text`."""
    return _unless_unknown(_date(year, month, day))


def _date(year: int, month: int, day: int) -> str:
    known_year = year if year in _YEARS else _LEAP_YEAR
    days = monthrange(known_year, month)[1] if month in _MONTHS else _LONGEST_MONTH
    known_day = _digits(day, range(1, days + 1))
    return f"{_digits(year, _YEARS, 4)}-{_digits(month, _MONTHS)}-{known_day}"


def _digits(part: int, possible: range, width: int = 2) -> str:
    return f"{part:0{width}}" if part in possible else "X" * width


def _unless_unknown(text: str) -> str | None:
    return text if any(map(str.isdigit, text)) else None
