"""What the six data characteristics of fitness machines have in common.

Layouts: GATT Specification Supplement, and packets of real machines (``tests/vectors``).
"""

from typing import Annotated, Any, Literal

from healthd.profiles.common.heart_rates import known_rate
from healthd.profiles.packet.layout import Fact, Field, Layout, Present, bit
from healthd.profiles.packet.wires import S16, U8, U16, Meaning, Wire, number, scaled
from healthd.samples import Measurement, quantity

Speed = Annotated[float | None, quantity("m/s", mdc=8454254)]
AverageSpeed = Annotated[float | None, quantity("m/s")]
Distance = Annotated[int | None, quantity("m", mdc=8454247)]
Elevation = Annotated[float | None, quantity("m")]
Percent = Annotated[float | None, quantity("%")]
Degrees = Annotated[float | None, quantity("deg")]
Pace = Annotated[int | None, quantity("s/(500.m)")]
PerMinute = Annotated[float | None, quantity("/min")]
StepRate = Annotated[int | None, quantity("/min")]
Power = Annotated[int | None, quantity("W", mdc=8454259)]
AveragePower = Annotated[int | None, quantity("W")]
Seconds = Annotated[int | None, quantity("s")]
Ratio = Annotated[float | None, quantity("1")]
Raw = Annotated[int | None, quantity("1")]
Width = Literal["u8", "s16"]

MORE_DATA = 0x0001

# Facts from the flags that hold only for a whole packet, with all its fields.
_FLAG_FACTS = frozenset({"more_data", "movement_direction", "resistance_width"})

KCAL_IN_J = 4184
_MINUTES_PER_HOUR = 60

# Supplement: "data not available" for inclination, angle, and a belt's force and power.
NO_S16 = 0x7FFF
NO_U16 = 0xFFFF
_NO_U8 = 0xFF


class Record(Measurement):
    """One notification of a fitness machine, or a whole record merged from several.

    A machine may spread a record over several notifications. Bit 0 of the flags says so, and is
    inverted: it is 1 if the first field is absent and more of the record follows.
    """

    more_data: bool = False
    """True if the rest of the record is missing: it was to be sent separately and did not arrive.

    Absent if the packet that should close the record was cut short.
    """
    total_energy_kj: Annotated[float | None, quantity("kJ", mdc=8454263, loinc="41981-2")] = None
    energy_per_hour_kj_per_h: Annotated[float | None, quantity("kJ/h")] = None
    energy_per_minute_kj_per_h: Annotated[float | None, quantity("kJ/h")] = None
    """The machine's value for the last minute, as a rate per hour, like the one above."""
    heart_rate_bpm: Annotated[int | None, quantity("/min", mdc=8454258, loinc="8867-4")] = None
    """``null`` if the machine sends 0 or 255, because it receives no heart rate."""
    met: Annotated[float | None, quantity("[MET]")] = None
    elapsed_time_s: Seconds = None
    remaining_time_s: Seconds = None


class ResistedRecord(Record):
    """A record of a machine that has a brake."""

    resistance_raw: Raw = None
    """As sent: depending on the machine, a step is 0.1 or 1 of the level on its display."""
    resistance_width: Width | None = None
    resistance_raw_scale: Ratio = None
    """What a step of ``resistance_raw`` is on the machine's display, if that is known."""


SPEED = scaled(360)
"""0.01 km/h to m/s."""
PACE = number(NO_U16)
WHOLE_RECORD = Fact("more_data", lambda flags: bool(flags & MORE_DATA))


def energy(times_per_hour: int = 1, none: int | None = None, steps_per_kcal: int = 1) -> Meaning:
    """Return the conversion from kcal to kJ, or from kcal per part of an hour to kJ/h.

    Args:
        times_per_hour: how many of these parts an hour has.
        none: the raw number that means "not available".
        steps_per_kcal: steps of the raw number per kcal; 1 in the standard.
    """
    return scaled(1000 * steps_per_kcal, factor=KCAL_IN_J * times_per_hour, none=none)


def ending(first: int, steps_per_kcal: int = 1) -> tuple[Field, ...]:
    """Return the fields at the end of each of the six layouts.

    Args:
        first: number of the flag that announces the first of them.
        steps_per_kcal: steps of the total energy per kcal; 1 in the standard.
    """
    burnt = bit(first)
    total = energy(none=NO_U16, steps_per_kcal=steps_per_kcal)
    return (
        Field("total_energy_kj", U16, burnt, total),
        Field("energy_per_hour_kj_per_h", U16, burnt, energy(none=NO_U16)),
        Field("energy_per_minute_kj_per_h", U8, burnt, energy(_MINUTES_PER_HOUR, none=_NO_U8)),
        Field("heart_rate_bpm", U8, bit(first + 1), known_rate),
        Field("met", U8, bit(first + 2), scaled(10)),
        Field("elapsed_time_s", U16, bit(first + 3)),
        Field("remaining_time_s", U16, bit(first + 4)),
    )


def width(wire: Wire, when: Present) -> Fact:
    """Return the fact that names a resistance's width, which a reader needs to know its scale."""
    return Fact("resistance_width", lambda _: wire.name, when)


NARROW, WIDE = U8, S16
"""Forms of a resistance: in the current Supplement; in the first edition and most machines."""


def fitting(data: bytes, wide: Layout, narrow: Layout) -> Layout:
    """Return the layout of a packet with a field that may have two widths.

    It is the narrow one if that fits the packet's length exactly: the packet has no other hint.
    """
    return narrow if narrow.size(data) == len(data) else wide


def read(data: bytes, layout: Layout) -> dict[str, Any]:
    """Return a packet's fields, ready for the model.

    Raises:
        DecodeError: the packet ends before its flags, or before the field that bit 0 announces.
    """
    fields = layout.read(data)
    return _cut(fields) if "truncated" in fields else fields


def _cut(fields: dict[str, Any]) -> dict[str, Any]:
    # A cut packet may hold no whole field. It still counts as a part of its record, which is then
    # known to be incomplete, like a packet whose flags announce nothing.
    there = {key: value for key, value in fields.items() if key not in _FLAG_FACTS}
    # A cut packet still says that more follows, but not that it closes the record.
    if fields["more_data"]:
        there["more_data"] = True
    if "resistance_raw" in there:
        there["resistance_width"] = fields["resistance_width"]
    return there
