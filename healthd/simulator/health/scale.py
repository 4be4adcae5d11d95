"""Scales: weight (GATT service 0x181D) and body composition (0x181B)."""

import random
import struct
from collections.abc import Iterable
from datetime import datetime

from healthd.simulator.attributes import indicating, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.health.user import current_time_part, user_data_part
from healthd.simulator.numbers import date_time
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Weight (0x2A9D): time stamp, user, BMI and height; SI units because bit 0 is clear.
_WEIGHT_FLAGS = 1 << 1 | 1 << 2 | 1 << 3
# 0x2A9E: the same three; a resolution of 0.005 kg (7) and of 0.001 m (3).
_WEIGHT_FEATURES = 0b111 | 7 << 3 | 3 << 7
# Body composition (0x2A9C): both packets tell when, of whom, and that there are two of them.
_BOTH = 1 << 1 | 1 << 2 | 1 << 12
# Basal metabolism, muscle in per cent and kg, fat-free mass, soft lean mass, water, impedance.
_FIRST_FLAGS = _BOTH | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9
_SECOND_FLAGS = _BOTH | 1 << 10 | 1 << 11  # weight, height
# 0x2A9B: all of these; resolutions as above.
_BODY_FEATURES = (1 << 11) - 1 | 7 << 11 | 3 << 15
_USER = 1
_HEIGHT_M = 1.78
# How often it tells the time to who wants to know.
_CLOCK_S = 1.0
# Katch-McArdle, in kJ a day.
_BASAL_KJ, _BASAL_KJ_PER_KG = 370 * 4.184, 21.6 * 4.184


class Weighing:
    """A person who steps on a scale from time to time."""

    def __init__(self, rng: random.Random) -> None:
        """Think of somebody.

        Args:
            rng: where chance comes from.
        """
        self._weight_kg = Wander(rng, rng.uniform(68.0, 82.0), 0.3)
        self._fat_pct = Wander(rng, rng.uniform(15.0, 22.0), 0.4)

    def weights(self, elapsed: float) -> Iterable[bytes]:
        """A Weight Measurement."""
        weight = self._weight_kg.step(elapsed)
        yield b"".join(
            (
                struct.pack("<BH", _WEIGHT_FLAGS, _mass(weight)),
                _now(),
                bytes([_USER]),
                struct.pack("<HH", round(weight / _HEIGHT_M**2 * 10), round(_HEIGHT_M * 1000)),
            )
        )

    def compositions(self, elapsed: float) -> Iterable[bytes]:
        """A Body Composition Measurement, in two packets."""
        weight, fat = self._weight_kg.step(elapsed), self._fat_pct.step(elapsed)
        lean = weight * (1.0 - fat / 100.0)
        muscle = lean * 0.55
        who = _now() + bytes([_USER])
        yield b"".join(
            (
                struct.pack("<HH", _FIRST_FLAGS, round(fat * 10)),
                who,
                struct.pack("<H", round(_BASAL_KJ + _BASAL_KJ_PER_KG * lean)),
                struct.pack("<H", round(muscle / weight * 1000)),
                struct.pack("<HHHH", *map(_mass, (muscle, lean, lean * 0.95, lean * 0.73))),
                struct.pack("<H", 4870),
            )
        )
        head = struct.pack("<HH", _SECOND_FLAGS, round(fat * 10)) + who
        yield head + struct.pack("<HH", _mass(weight), round(_HEIGHT_M * 1000))


def weight_scale(rng: random.Random, period: float) -> tuple[Part, ...]:
    """A scale; somebody steps on it every ``period`` seconds."""
    weight = indicating(0x2A9D)
    feature = readable(0x2A9E, struct.pack("<I", _WEIGHT_FEATURES))
    payloads = {weight: paced(Weighing(rng).weights, period)}
    return _scale(Part(service(0x181D, [feature, weight]), payloads, advertised=True), rng)


def body_composition(rng: random.Random, period: float) -> tuple[Part, ...]:
    """A body composition scale; somebody steps on it every ``period`` seconds."""
    composition = indicating(0x2A9C)
    feature = readable(0x2A9B, struct.pack("<I", _BODY_FEATURES))
    payloads = {composition: paced(Weighing(rng).compositions, period)}
    return _scale(Part(service(0x181B, [feature, composition]), payloads, advertised=True), rng)


def _scale(own: Part, rng: random.Random) -> tuple[Part, ...]:
    return own, user_data_part(rng), current_time_part(_CLOCK_S)


def _mass(kg: float) -> int:
    """In steps of 0.005 kg."""
    return round(kg * 200)


def _now() -> bytes:
    return date_time(datetime.now())  # noqa: DTZ005 - the device knows no time zone
