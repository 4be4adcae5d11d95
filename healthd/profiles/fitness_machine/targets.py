"""Targets of a fitness machine, as its control point and its status carry them."""

import struct
from typing import Annotated, Any

from healthd.profiles.common.heart_rates import NO_RATE_U8
from healthd.profiles.fitness_machine.records import SPEED, Width, energy
from healthd.profiles.packet.layout import Field, Present
from healthd.profiles.packet.wires import S16, U8, U16, U24, Meaning, Wire, number, scaled
from healthd.samples import Measurement, quantity

RESERVED = "reserved"
"""The name of opcodes and actions without a name of their own."""


class Target(Measurement):
    """A message with one opcode and its parameters."""

    opcode: Annotated[int, quantity("1")]
    speed_mps: Annotated[float | None, quantity("m/s")] = None
    inclination_pct: Annotated[float | None, quantity("%")] = None
    resistance_raw: Annotated[int | None, quantity("1")] = None
    """In tenths of a level for most machines, in whole levels for some."""
    resistance_width: Width | None = None
    power_w: Annotated[int | None, quantity("W")] = None
    heart_rate_bpm: Annotated[int | None, quantity("/min")] = None
    energy_kj: Annotated[float | None, quantity("kJ")] = None
    steps: Annotated[int | None, quantity("{steps}")] = None
    strides: Annotated[int | None, quantity("{strides}")] = None
    distance_m: Annotated[int | None, quantity("m")] = None
    time_s: Annotated[int | None, quantity("s")] = None
    zone_times_s: Annotated[list[int] | None, quantity("s")] = None
    """The time in each of two, three or five heart-rate zones, the lowest zone first."""
    wind_speed_mps: Annotated[float | None, quantity("m/s")] = None
    """Positive for a head wind."""
    grade_pct: Annotated[float | None, quantity("%")] = None
    crr: Annotated[float | None, quantity("1")] = None
    """Coefficient of rolling resistance."""
    cw_kg_per_m: Annotated[float | None, quantity("kg/m")] = None
    """Coefficient of wind resistance."""
    wheel_circumference_m: Annotated[float | None, quantity("m")] = None
    cadence_rpm: Annotated[float | None, quantity("/min")] = None


def opcode(number: int) -> Present:
    """Return the condition that the message begins with this opcode."""
    return Present(0xFF, number)


TENTHS = scaled(10)
"""0.1 % to %."""


def parameters(
    first: int, energy_first: int, cadence: int, width: Wire, inclination: Meaning
) -> tuple[Field, ...]:
    """Return the fields of all targets: both messages have them in one order, with different gaps.

    Args:
        first: opcode of the speed; inclination, resistance, power and heart rate follow.
        energy_first: opcode of the energy; steps and all others up to the wheel follow.
        cadence: opcode of the cadence.
        width: form of the resistance.
        inclination: converts the inclination to %; ``TENTHS`` in the standard.
    """

    def resistance(raw: int) -> dict[str, Any]:
        return {"resistance_raw": raw, "resistance_width": width.name}

    simulation = opcode(energy_first + 8)
    return (
        Field("speed_mps", U16, opcode(first), SPEED),
        Field("inclination_pct", S16, opcode(first + 1), inclination),
        Field("", width, opcode(first + 2), resistance),
        Field("power_w", S16, opcode(first + 3)),
        Field("heart_rate_bpm", U8, opcode(first + 4), number(NO_RATE_U8)),
        Field("energy_kj", U16, opcode(energy_first), energy()),
        Field("steps", U16, opcode(energy_first + 1)),
        Field("strides", U16, opcode(energy_first + 2)),
        Field("distance_m", U24, opcode(energy_first + 3)),
        Field("time_s", U16, opcode(energy_first + 4)),
        Field("zone_times_s", _times(2), opcode(energy_first + 5)),
        Field("zone_times_s", _times(3), opcode(energy_first + 6)),
        Field("zone_times_s", _times(5), opcode(energy_first + 7)),
        Field("wind_speed_mps", S16, simulation, scaled(1000)),
        Field("grade_pct", S16, simulation, scaled(100)),
        Field("crr", U8, simulation, scaled(10000)),
        Field("cw_kg_per_m", U8, simulation, scaled(100)),
        Field("wheel_circumference_m", U16, opcode(energy_first + 9), scaled(10000)),
        Field("cadence_rpm", U16, opcode(cadence), scaled(2)),
    )


def _times(zones: int) -> Wire:
    unpack = struct.Struct(f"<{zones}H").unpack

    def read(raw: bytes) -> list[Any]:
        return list(unpack(raw))

    return Wire(f"{2 * zones}s", f"{zones} x u16", read)
