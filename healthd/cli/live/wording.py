"""Format measurements for display: usual unit symbols, the most important value first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from healthd.printable import printable, width_of
from healthd.units import Unit, unit_of

# The main quantity of a stream comes first, even if its model starts with another one: the power
# before the crank's counter, the blood pressure before the pulse. Other units rank in between.
_RANKS = (
    {"w": 0, "mps": 1, "mmhg": 1, "bpm": 3}
    | dict.fromkeys(("ms", "n", "nm", "deg", "ohm"), 4)
    | dict.fromkeys(("kj", "kj_per_h", "m", "s", "l", "ns", "s_per_500m", "kg_per_m"), 5)
)
_PRESENT, _SUM, _WITHOUT_UNIT, _BOOKKEEPING = 2, 5, 6, 7
_SUM_STARTS = (
    *("cumulative_", "accumulated_", "total_", "average_", "last_", "first_"),
    *("current_split_", "target_"),
)

_ENVELOPE = {"id", "time", "clock", "seq"}
_BOOKKEEPING_KEYS = {
    "device_time",
    "base_time",
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

# A sample of one second contains at most this many beats.
_MOST_ITEMS = 8
_THREE_DIGITS = 100

# What can be seen of a label and of a value on a wide terminal.
_LABEL_CELLS, _VALUE_CELLS = 60, 200

# The text for null, which means that the device reported no value.
_NOT_AVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One value as text.

    Attributes:
        label: the name of the quantity; empty if the stream's name says it.
        value: the value with its unit.
    """

    label: str
    value: str

    def __len__(self) -> int:
        """Return its width in cells of the terminal."""
        return width_of(self.label) + bool(self.label) + width_of(self.value)


def rank(key: str) -> int:
    """Return the rank of a key's value; values with a lower rank come first."""
    if key in _BOOKKEEPING_KEYS:
        return _BOOKKEEPING
    unit = _split(key)[1]
    if unit is None:
        return _WITHOUT_UNIT
    return _SUM if key.startswith(_SUM_STARTS) else _RANKS.get(unit.suffix, _PRESENT)


def main_key(values: dict[str, Any]) -> str | None:
    """Return the key of a sample's most important number or list of numbers; None without one."""
    keys = [key for key in _in_order(values) if numbers(values[key])]
    return keys[0] if keys and rank(keys[0]) < _BOOKKEEPING else None


def numbers(value: object) -> list[float]:
    """Return the finite numbers that a value is or contains."""
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [
        float(item)
        for item in items
        if isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item)
    ]


def phrases(stream: str, values: dict[str, Any]) -> Iterator[Phrase]:
    """Yield a sample's values as text, the most important first; of a frame the newest values."""
    newest_alone = "sample_rate_hz" in values
    for key in _in_order(values):
        if rank(key) == _BOOKKEEPING:
            continue
        name, unit = _split(key)
        value = values[key]
        if newest_alone and isinstance(value, list):
            value = cast("list[object]", value)[-1:]
        label = "" if stream.endswith(name) else name.replace("_", " ")
        yield Phrase(
            printable(label, _LABEL_CELLS), printable(_with_unit(_text(value), unit), _VALUE_CELLS)
        )


def age_text(seconds: float) -> str:
    """Format a duration with a sensible precision."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for below, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < below:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def rate_text(per_second: float) -> str:
    """Format a rate per second or minute."""
    if per_second < 0.1:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:.1f}/s" if per_second < 10 else f"{per_second:.0f}/s"


def _in_order(values: dict[str, Any]) -> list[str]:
    """Return the keys by rank, then available values first, then in the order of the model."""
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
    newest = " ".join(map(_scalar, items[-_MOST_ITEMS:])) or _NOT_AVAILABLE
    return newest if len(items) <= _MOST_ITEMS else f"{len(items)} values … {newest}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return _NOT_AVAILABLE
    if isinstance(value, list | dict):
        return "…"  # nested values do not fit on a line
    if not isinstance(value, float):
        return str(value)
    # Four significant digits, but at least one decimal: 803.7 ms, 2.806 m/s, 48.86 degrees.
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= _THREE_DIGITS else f"{value:.4g}"
