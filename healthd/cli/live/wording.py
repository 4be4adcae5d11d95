"""Measurements in people's words: units as they write them, what matters first."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from healthd.units import Unit, unit_of

# What a stream is of comes first where its model has something else before it: the power before
# the crank's counter, the blood pressure before the pulse. Units that are not here stand between.
_RANKS = (
    {"w": 0, "mps": 1, "mmhg": 1, "bpm": 3}
    | dict.fromkeys(("ms", "n", "nm", "deg", "ohm"), 4)
    | dict.fromkeys(("kj", "kj_per_h", "m", "s", "l", "ns", "s_per_500m", "kg_per_m"), 5)
)
_PRESENT, _SUM, _WITHOUT_UNIT, _BOOKKEEPING = 2, 5, 6, 7
_SUM_STARTS = ("cumulative_", "accumulated_", "total_", "average_", "last_", "first_")

_ENVELOPE = {"id", "time", "clock", "seq"}
_BOOKS = {
    "device_time",
    "timestamp",
    "sample_rate_hz",
    "sequence_number",
    "time_offset_s",
    "more_data",
    "user_id",
    "experimental",
    "crc_ok",
    "sensor_contact_supported",
    "rr_offsets_ms",
}

# More beats than these fit into no second.
_MOST_ITEMS = 8
_THREE_DIGITS = 100

# What the device itself said of it.
_NOT_AVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One value in words.

    Attributes:
        label: what it is; empty where the stream's name says so.
        value: how much, with its unit.
    """

    label: str
    value: str

    def __len__(self) -> int:
        """How wide it is."""
        return len(self.label) + bool(self.label) + len(self.value)


def rank(key: str) -> int:
    """How far to the front a value belongs: less is more."""
    if key in _BOOKS:
        return _BOOKKEEPING
    unit = _split(key)[1]
    if unit is None:
        return _WITHOUT_UNIT
    return _SUM if key.startswith(_SUM_STARTS) else _RANKS.get(unit.suffix, _PRESENT)


def main_key(values: dict[str, Any]) -> str | None:
    """The key of what a sample is about, if that is a number, or numbers."""
    keys = [key for key in _in_order(values) if numbers(values[key])]
    return keys[0] if keys and rank(keys[0]) < _BOOKKEEPING else None


def numbers(value: object) -> list[float]:
    """The numbers that a value is or holds, without those that are none."""
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [
        float(one)
        for one in items
        if isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)
    ]


def phrases(stream: str, values: dict[str, Any]) -> Iterator[Phrase]:
    """A sample in words, what matters first; of a frame the newest values."""
    newest_alone = "sample_rate_hz" in values
    for key in _in_order(values):
        if rank(key) == _BOOKKEEPING:
            continue
        name, unit = _split(key)
        value = values[key]
        if newest_alone and isinstance(value, list):
            value = cast("list[object]", value)[-1:]
        label = "" if stream.endswith(name) else name.replace("_", " ")
        yield Phrase(printable(label), printable(_with_unit(_text(value), unit)))


def age_text(seconds: float) -> str:
    """A time that has passed, as exactly as it matters."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for below, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < below:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def rate_text(per_second: float) -> str:
    """How often something comes."""
    if per_second < 0.1:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:.1f}/s" if per_second < 10 else f"{per_second:.0f}/s"


def printable(text: str) -> str:
    """Text from the air, or from any broker, as a terminal may show it: it may hold anything."""
    return re.sub(r"[^ -~\u00a0-\U0010ffff]", "?", text)


def _in_order(values: dict[str, Any]) -> list[str]:
    """The keys, what matters first; among equals what is there, as the model has it."""
    keys = (key for key in values if key not in _ENVELOPE)
    return sorted(keys, key=lambda key: (rank(key), values[key] is None))


def _split(key: str) -> tuple[str, Unit | None]:
    """Return what a key names, and its unit. A key that is all unit, such as bmi, names itself."""
    unit = unit_of(key)
    if unit is None or unit.suffix == key:
        return key, None
    return key.removesuffix(f"_{unit.suffix}"), unit


def _with_unit(text: str, unit: Unit | None) -> str:
    if unit is None or text == _NOT_AVAILABLE:
        return text
    return text + unit.symbol if unit.symbol == "°" else f"{text} {unit.symbol}"


def _text(value: object) -> str:
    if not isinstance(value, list):
        return _scalar(value)
    items = cast("list[object]", value)
    shown = " ".join(map(_scalar, items[-_MOST_ITEMS:])) or _NOT_AVAILABLE
    return shown if len(items) <= _MOST_ITEMS else f"{len(items)} values … {shown}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return _NOT_AVAILABLE
    if isinstance(value, list | dict):
        return "…"  # deeper than a line has room for
    if not isinstance(value, float):
        return str(value)
    # Four digits, and a decimal at least where there is one: 803.7 ms, 2.806 m/s, 48.86 degrees.
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= _THREE_DIGITS else f"{value:.4g}"
