"""Scales: weight (GATT service 0x181D) and body composition (0x181B)."""

import random
import struct
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path

from healthd.simulator.attributes import indicating, readable, service
from healthd.simulator.feed import paced
from healthd.simulator.health.clock import BEFORE_IT_IS_SET, DeviceClock
from healthd.simulator.health.user import Users
from healthd.simulator.numbers import date_time
from healthd.simulator.part import Part, Payloads
from healthd.simulator.wander import Wander

# Weight (0x2A9D): time stamp, user, BMI and height; SI units because bit 0 is clear.
_WEIGHT_FLAGS = 1 << 1 | 1 << 2 | 1 << 3
# 0x2A9E: the same three; a resolution of 0.005 kg (7) and of 0.001 m (3).
_WEIGHT_FEATURES = 0b111 | 7 << 3 | 3 << 7
# Body composition (0x2A9C): both packets have the time stamp, the user, and the flag for "multiple
# packets".
_BOTH = 1 << 1 | 1 << 2 | 1 << 12
# Basal metabolism, muscle in per cent and in kg, fat-free mass, soft lean mass, water, impedance.
_FIRST_FLAGS = _BOTH | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9
_SECOND_FLAGS = _BOTH | 1 << 10 | 1 << 11  # weight, height
# 0x2A9B: all of these; resolutions as above.
_BODY_FEATURES = (1 << 11) - 1 | 7 << 11 | 3 << 15
_USER = 1
_HEIGHT_M = 1.78
CONSENT_FILE = Path(__file__).with_name("consent")
"""The file with the consent code of the only user of a ``user_scale``."""
# Katch-McArdle formula, in kJ per day.
_BASAL_KJ, _BASAL_KJ_PER_KG = 370 * 4.184, 21.6 * 4.184


class Weighing:
    """The measurements of a person who steps on a scale periodically."""

    def __init__(self, rng: random.Random, clock: DeviceClock) -> None:
        """Choose the person's weight and body fat.

        Args:
            rng: The random generator.
            clock: The clock of the scale.
        """
        self._clock = clock
        self._weight_kg = Wander(rng, rng.uniform(68.0, 82.0), 0.3)
        self._fat_pct = Wander(rng, rng.uniform(15.0, 22.0), 0.4)

    def weights(self, elapsed: float) -> Iterable[bytes]:
        """Generate a Weight Measurement."""
        weight = self._weight_kg.step(elapsed)
        yield b"".join(
            (
                struct.pack("<BH", _WEIGHT_FLAGS, _mass(weight)),
                date_time(self._clock.now()),
                bytes([_USER]),
                struct.pack("<HH", round(weight / _HEIGHT_M**2 * 10), round(_HEIGHT_M * 1000)),
            )
        )

    def compositions(self, elapsed: float) -> Iterable[bytes]:
        """Generate a Body Composition Measurement in two packets."""
        weight, fat = self._weight_kg.step(elapsed), self._fat_pct.step(elapsed)
        lean = weight * (1.0 - fat / 100.0)
        muscle = lean * 0.55
        time_and_user = date_time(self._clock.now()) + bytes([_USER])
        yield b"".join(
            (
                struct.pack("<HH", _FIRST_FLAGS, round(fat * 10)),
                time_and_user,
                struct.pack("<H", round(_BASAL_KJ + _BASAL_KJ_PER_KG * lean)),
                struct.pack("<H", round(muscle / weight * 1000)),
                struct.pack("<HHHH", *map(_mass, (muscle, lean, lean * 0.95, lean * 0.73))),
                struct.pack("<H", 4870),
            )
        )
        head = struct.pack("<HH", _SECOND_FLAGS, round(fat * 10)) + time_and_user
        yield head + struct.pack("<HH", _mass(weight), round(_HEIGHT_M * 1000))


def weight_scale(
    rng: random.Random, period: float, clock: DeviceClock | None = None
) -> tuple[Part, ...]:
    """Return the parts of a scale, with one measurement every ``period`` seconds."""
    clock = clock or DeviceClock()
    weights = paced(Weighing(rng, clock).weights, period)
    return _weight_part(weights), Users().part(rng), clock.part()


def body_composition(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a body composition scale, with one measurement every ``period`` s."""
    clock = DeviceClock()
    composition = indicating(0x2A9C)
    feature = readable(0x2A9B, struct.pack("<I", _BODY_FEATURES))
    payloads = {composition: paced(Weighing(rng, clock).compositions, period)}
    own = Part(service(0x181B, [feature, composition]), payloads, advertised=True)
    return own, Users().part(rng), clock.part()


def user_scale(
    rng: random.Random, period: float, clock: DeviceClock | None = None
) -> tuple[Part, ...]:
    """Return the parts of a scale with registered users, like those of Beurer.

    It sends nothing before its clock was set and its only user, number 1, has given consent.
    """
    clock = clock or DeviceClock(BEFORE_IT_IS_SET)
    users = Users([int(CONSENT_FILE.read_text(encoding="ascii"))])
    weighings = paced(Weighing(rng, clock).weights, period)

    async def weights() -> AsyncGenerator[bytes, None]:
        await clock.is_set.wait()
        await users.consented.wait()
        async with aclosing(weighings()) as generator:
            async for packet in generator:
                yield packet

    return _weight_part(weights), users.part(rng), clock.part()


def _weight_part(weights: Payloads) -> Part:
    weight = indicating(0x2A9D)
    feature = readable(0x2A9E, struct.pack("<I", _WEIGHT_FEATURES))
    return Part(service(0x181D, [feature, weight]), {weight: weights}, advertised=True)


def _mass(kg: float) -> int:
    """Convert to steps of 0.005 kg."""
    return round(kg * 200)
