"""Scales that advertise each weighing: Mi Scale, Mi Body Composition Scale, OKOK.

Sources of the layouts: ble_monitor's and Theengs' decoders and tests.
"""

import random
import struct
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, replace
from datetime import datetime

from healthd.simulator.broadcaster import Frame, Frames
from healthd.simulator.feed import Ticker
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.numbers import date_time

# A scale in use advertises about ten times a second, and goes on for a while after the weighing.
INTERVAL_S = 0.1
SETTLING, STABLE, REMOVED = 20, 10, 10
"""How many advertisements each part of a weighing has."""

# A scale finds the weight with an error that halves with each advertisement, until it shows it.
_FIRST_ERROR_KG = 24.0
# A scale for bodies measures the impedance after the weight, so half of the stable ones have it.
_WITHOUT_IMPEDANCE = STABLE // 2

# Mi Scale (0x181D): kilograms are neither pound (bit 0) nor jin (bit 4); bit 1 is always set.
_MI_ALWAYS, _MI_STABLE, _MI_REMOVED = 1 << 1, 1 << 5, 1 << 7
# Mi Body Composition Scale (0x181B): kilograms; bit 2 is always set.
_MI_BODY_KG, _MI_BODY_ALWAYS, _MI_BODY_IMPEDANCE = 2, 1 << 2, 1 << 1
# OKOK: bit 0 stable, bits 1 and 2 the digits (1/100 kg), bits 3 and 4 kilograms; bit 5 is set.
_OKOK_ALWAYS, _OKOK_STABLE, _OKOK_HUNDREDTHS = 1 << 5, 1 << 0, 2 << 1
_OKOK_UNKNOWN = bytes([0x0A, 0x01])


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scale shows at a moment.

    Attributes:
        at: By the clock of the scale; from the moment it is stable, the time of the weighing.
        weight_kg: What it shows.
        impedance_ohm: Measured last; 0 until then.
        stable: Whether the weight is the result.
        removed: Whether the load has been removed; the result is still shown.
    """

    at: datetime
    weight_kg: float
    impedance_ohm: int = 0
    stable: bool = False
    removed: bool = False


def weighing(
    now: Callable[[], datetime], weight_kg: float, impedance_ohm: int
) -> Generator[Reading]:
    """Generate the readings of one weighing, one for each advertisement."""
    for number in range(SETTLING):
        error = _FIRST_ERROR_KG / 2**number
        yield Reading(now(), weight_kg - error)
    result = Reading(now(), weight_kg, stable=True)
    for number in range(STABLE):
        if number >= _WITHOUT_IMPEDANCE:
            result = replace(result, impedance_ohm=impedance_ohm)
        yield result
    for _ in range(REMOVED):
        yield replace(result, removed=True)


def mi_scale_frame(reading: Reading) -> Frame:
    """Return what a Mi Scale advertises."""
    flags = _MI_ALWAYS | _MI_STABLE * reading.stable | _MI_REMOVED * reading.removed
    weight = struct.pack("<BH", flags, round(reading.weight_kg * 200))
    return {"service_data_181d": weight + date_time(reading.at)}


def mi_body_scale_frame(reading: Reading) -> Frame:
    """Return what a Mi Body Composition Scale advertises."""
    flags = _MI_BODY_ALWAYS | _MI_STABLE * reading.stable | _MI_REMOVED * reading.removed
    flags |= _MI_BODY_IMPEDANCE * bool(reading.impedance_ohm)
    values = struct.pack("<HH", reading.impedance_ohm, round(reading.weight_kg * 200))
    head = bytes([_MI_BODY_KG, flags])
    return {"service_data_181b": head + date_time(reading.at) + values}


def mi_scale(rng: random.Random, period: float) -> Frames:
    """Return weighings, one every ``period`` seconds."""
    return _weighings(rng, period, mi_scale_frame)


def mi_body_scale(rng: random.Random, period: float) -> Frames:
    """Return weighings with impedance, one every ``period`` seconds."""
    return _weighings(rng, period, mi_body_scale_frame)


def okok(rng: random.Random, period: float) -> Frames:
    """Return weighings of an OKOK scale, one every ``period`` seconds."""
    # Its counter, which is one half of the company id, counts what is new; it has no clock.
    counter, before = 0, b""
    address = rng.randbytes(6)

    def frame(reading: Reading) -> Frame:
        nonlocal counter, before
        # It has no flag for a removed load, but shows that it is empty.
        if reading.removed:
            reading = Reading(reading.at, 0.0)
        attributes = _OKOK_ALWAYS | _OKOK_HUNDREDTHS | _OKOK_STABLE * reading.stable
        weight, impedance = round(reading.weight_kg * 100), reading.impedance_ohm * 10
        value = struct.pack(">HH", weight, impedance) + _OKOK_UNKNOWN + bytes([attributes])
        if value != before:
            counter, before = (counter + 1) % 0x100, value
        return {f"manufacturer_data_{counter:02x}c0": value + address}

    return _weighings(rng, period, frame)


def _weighings(rng: random.Random, period: float, frame: Callable[[Reading], Frame]) -> Frames:
    person_kg, clock = rng.uniform(68.0, 82.0), DeviceClock()

    async def frames() -> AsyncGenerator[Frame, None]:
        while True:
            weight_kg = round(person_kg + rng.uniform(-0.5, 0.5), 1)
            ticker, spent = Ticker(INTERVAL_S), 0.0
            for reading in weighing(clock.now, weight_kg, rng.randrange(420, 560)):
                yield frame(reading)
                spent += await ticker.tick()
            while spent < period:
                spent += await ticker.tick()

    return frames
