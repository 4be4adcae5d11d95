"""Machines without a control point: cross trainer, rower, stair climber and step climber."""

import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from healthd.simulator.fitness.machine import machine_part
from healthd.simulator.fitness.workout import Workout
from healthd.simulator.numbers import int24
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Flags. Bit 0 is clear in all of them, which means that its field is present.
_CROSS_TRAINER_FLAGS = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 13
_ROWER_FLAGS = 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11
_STAIR_FLAGS = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8
_STEP_FLAGS = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7
_STEP_HEIGHT_M, _STEPS_PER_FLOOR = 0.2, 16
_WALKER_KG, _GRAVITY = 75.0, 9.81


@dataclass
class _Machine:
    """A machine with a person who works at a varying power and rate."""

    rng: random.Random
    power_w: float
    rate_per_min: float
    workout: Workout = field(init=False)
    power: Wander = field(init=False)
    rate: Wander = field(init=False)
    count: float = 0.0

    def __post_init__(self) -> None:
        self.workout = Workout(self.rng, self.power_w)
        self.power = Wander(self.rng, self.power_w, 8.0)
        self.rate = Wander(self.rng, self.rate_per_min, self.rate_per_min * 0.03)

    def work(self, elapsed: float, mps_per_rate: float) -> float:
        """Work for ``elapsed`` seconds; return the speed."""
        speed = self.rate.step(elapsed) * mps_per_rate
        self.count += self.rate.value * elapsed / 60.0
        self.workout.advance(elapsed, self.power.step(elapsed), speed)
        return speed

    @property
    def average_per_min(self) -> int:
        """The mean rate since the start."""
        return round(self.count * 60.0 / self.workout.elapsed_s) if self.workout.elapsed_s else 0


def cross_trainer(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a cross trainer: Cross Trainer Data (0x2ACE), which has 3 flag bytes."""
    machine = _Machine(rng, power_w=120.0, rate_per_min=110.0)

    def packets(elapsed: float) -> Iterable[bytes]:
        speed = machine.work(elapsed, mps_per_rate=0.02)
        workout = machine.workout
        steps = struct.pack("<HH", round(machine.rate.value), machine.average_per_min)
        # Two steps are a stride, and the unit is a tenth of a stride.
        strides = struct.pack("<H", int(machine.count * 5) % 0x10000)
        effort = struct.pack("<hh", 60, round(workout.power_w))
        yield b"".join(
            (
                int24(_CROSS_TRAINER_FLAGS),
                struct.pack("<H", round(speed * 360)),
                workout.distance + steps + strides + effort,
                workout.energy + workout.heart_rate + workout.elapsed,
            )
        )

    features = (2, 6, 7, 8, 9, 10, 12, 14)
    return (machine_part(0x2ACE, packets, period, features=features),)


def rower(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a rowing machine: Rower Data (0x2AD1)."""
    machine = _Machine(rng, power_w=160.0, rate_per_min=26.0)

    def packets(elapsed: float) -> Iterable[bytes]:
        speed = machine.work(elapsed, mps_per_rate=0.15)
        workout = machine.workout
        rate = struct.pack("<BH", round(machine.rate.value * 2), int(machine.count) % 0x10000)
        pace = struct.pack("<Hh", round(500.0 / speed), round(workout.power_w))
        yield b"".join(
            (
                struct.pack("<H", _ROWER_FLAGS) + rate + workout.distance + pace,
                workout.energy + workout.heart_rate + workout.elapsed,
            )
        )

    features = (2, 5, 9, 10, 12, 14)
    return (machine_part(0x2AD1, packets, period, features=features),)


def stair_climber(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a stair climber: Stair Climber Data (0x2AD0)."""
    machine = _climber(rng)

    def packets(elapsed: float) -> Iterable[bytes]:
        floors, _steps, rate, gain = _climb(machine, elapsed)
        strides, workout = struct.pack("<H", int(machine.count / 2) % 0x10000), machine.workout
        yield b"".join(
            (
                struct.pack("<H", _STAIR_FLAGS) + floors + rate + gain + strides,
                workout.energy + workout.heart_rate + workout.elapsed,
            )
        )

    return (machine_part(0x2AD0, packets, period, features=(4, 6, 8, 9, 10, 12)),)


def step_climber(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a step climber: Step Climber Data (0x2ACF)."""
    machine = _climber(rng)

    def packets(elapsed: float) -> Iterable[bytes]:
        floors, steps, rate, gain = _climb(machine, elapsed)
        workout = machine.workout
        yield b"".join(
            (
                struct.pack("<H", _STEP_FLAGS) + floors + steps + rate + gain,
                workout.energy + workout.heart_rate + workout.elapsed,
            )
        )

    return (machine_part(0x2ACF, packets, period, features=(4, 6, 9, 10, 12)),)


def _climber(rng: random.Random) -> _Machine:
    steps_per_min = 64.0
    lift_w = steps_per_min / 60.0 * _STEP_HEIGHT_M * _WALKER_KG * _GRAVITY
    return _Machine(rng, power_w=lift_w, rate_per_min=steps_per_min)


def _climb(machine: _Machine, elapsed: float) -> tuple[bytes, bytes, bytes, bytes]:
    """Climb for ``elapsed`` seconds; return floors, steps, steps per minute and metres climbed."""
    machine.work(elapsed, mps_per_rate=0.0)
    steps = int(machine.count)
    numbers = (
        steps // _STEPS_PER_FLOOR,
        steps,
        round(machine.rate.value),
        int(steps * _STEP_HEIGHT_M),
    )
    floors, count, rate, gain = (struct.pack("<H", number % 0x10000) for number in numbers)
    return floors, count, rate, gain
