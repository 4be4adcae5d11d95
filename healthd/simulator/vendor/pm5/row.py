"""A person who rows a workout of 200 m, again and again, and what a monitor measures of it."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from healthd.simulator.wander import Wander

WORKOUT_M, SPLIT_M = 200.0, 100.0
# A row begins after a moment, and its summary stays for some seconds.
_WAIT_S, _LOGGED_AFTER_S, _NEXT_AFTER_S = 1.0, 1.5, 8.0
# Concept2's formulas: power in W is 2.8 times the speed cubed, and 300 kcal/h are for the moving.
_W_PER_SPEED_3, _KCAL_PER_H, _KCAL_PER_H_AND_W = 2.8, 300.0, 4 * 0.8604
_DRIVE_M, _DRIVE_PART, _N_PER_LBF = 1.3, 0.35, 4.4482216152605
_RESTING_BPM, _BPM_PER_W, _HEART_LAG_S = 70.0, 0.35, 20.0
# One value for each 3 cm of the drive.
_FORCES = 40


class State(IntEnum):
    """States of a workout, by the monitor's numbers."""

    WAITING = 0
    ROWING = 1
    ENDED = 10
    LOGGED = 12


class Happened(IntEnum):
    """What a monitor reports when it happens."""

    DRIVE_OVER = 0
    RECOVERY_OVER = 1
    SPLIT_OVER = 2
    LOGGED = 3


@dataclass
class Stroke:
    """The last stroke; all zero before the first one."""

    count: int = 0
    power_w: int = 0
    rate_spm: int = 0
    drive_s: float = 0.0
    recovery_s: float = 0.0
    distance_m: float = 0.0
    average_lbf: float = 0.0
    peak_lbf: float = 0.0
    work_j: float = 0.0


@dataclass
class Split:
    """The last split."""

    number: int = 0
    time_s: float = 0.0
    strokes: int = 0
    kcal: float = 0.0


class Row:
    """A row: its clock goes on by `advance`, which yields what has happened meanwhile.

    Attributes:
        state: of the workout.
        elapsed_s: since its first stroke.
        distance_m: the same.
        kcal: burnt since then.
        speed_mps: of the last stroke.
        stroke: the last one.
        split: the last one.
        heart_rate_bpm: follows the power.
        in_drive: whether the handle is pulled.
    """

    def __init__(self, rng: random.Random) -> None:
        """Sit down."""
        self._power = Wander(rng, rng.uniform(220.0, 280.0), 12.0)
        self._rate = Wander(rng, rng.uniform(26.0, 30.0), 1.0)
        self.heart_rate_bpm = _RESTING_BPM
        self._sit_down()

    def _sit_down(self) -> None:
        self.state, self._since_s, self._clock_s = State.WAITING, 0.0, 0.0
        self.elapsed_s = self.distance_m = self.kcal = self.speed_mps = 0.0
        self.stroke, self.split, self.in_drive = Stroke(), Split(), False
        self._phase_s, self._stroke_from_m, self._split_from_s = 0.0, 0.0, 0.0
        self._begin_stroke()

    def _begin_stroke(self) -> None:
        self._stroke_s = 60.0 / self._rate.step(2.0)
        self._drive_s = self._stroke_s * _DRIVE_PART
        self._phase_s, self.in_drive = 0.0, True
        watts = self._power.step(2.0)
        self._watts, self._pulls_mps = watts, (watts / _W_PER_SPEED_3) ** (1 / 3)

    def advance(self, by_s: float) -> Iterator[Happened]:
        """Go on by a time that is short compared with a stroke."""
        self._clock_s += by_s
        if self.state is State.ROWING:
            yield from self._pull(by_s)
            return
        pull = min(1.0, by_s / _HEART_LAG_S)
        self.heart_rate_bpm += pull * (_RESTING_BPM - self.heart_rate_bpm)
        passed_s = self._clock_s - self._since_s
        if self.state is State.WAITING and passed_s >= _WAIT_S:
            self._enter(State.ROWING)
        elif self.state is State.ENDED and passed_s >= _LOGGED_AFTER_S:
            self._enter(State.LOGGED)
            yield Happened.LOGGED
        elif self.state is State.LOGGED and passed_s >= _NEXT_AFTER_S:
            self._sit_down()

    def _enter(self, state: State) -> None:
        self.state, self._since_s = state, self._clock_s

    def _pull(self, by_s: float) -> Iterator[Happened]:
        wanted_bpm = _RESTING_BPM + _BPM_PER_W * self._watts
        self.heart_rate_bpm += min(1.0, by_s / _HEART_LAG_S) * (wanted_bpm - self.heart_rate_bpm)
        self.elapsed_s += by_s
        self._phase_s += by_s
        before_m = self.distance_m
        self.distance_m = min(before_m + by_s * self._pulls_mps, WORKOUT_M)
        self.kcal += by_s * self.kcal_per_h(self._watts) / 3600.0
        if self.in_drive and self._phase_s >= self._drive_s:
            self._finish_drive()
            yield Happened.DRIVE_OVER
        if self._phase_s >= self._stroke_s:
            self.stroke.recovery_s = self._phase_s - self._drive_s
            yield Happened.RECOVERY_OVER
            self._begin_stroke()
        if self.distance_m // SPLIT_M > before_m // SPLIT_M:
            self._finish_split()
            yield Happened.SPLIT_OVER
        if self.distance_m >= WORKOUT_M:
            self._enter(State.ENDED)

    def _finish_drive(self) -> None:
        self.in_drive, self.speed_mps = False, self._pulls_mps
        before = self.stroke
        work_j = self._watts * self._stroke_s
        average_lbf = work_j / _DRIVE_M / _N_PER_LBF
        self.stroke = Stroke(
            before.count + 1,
            round(self._watts),
            round(60.0 / self._stroke_s),
            self._drive_s,
            before.recovery_s,
            self.distance_m - self._stroke_from_m,
            average_lbf,
            # A sine has this ratio of its peak to its mean.
            average_lbf * math.pi / 2,
            work_j,
        )
        self._stroke_from_m = self.distance_m

    def _finish_split(self) -> None:
        before = self.split
        self.split = Split(
            before.number + 1,
            self.elapsed_s - self._split_from_s,
            self.stroke.count,
            self.kcal - before.kcal,
        )
        self._split_from_s = self.elapsed_s

    @staticmethod
    def kcal_per_h(watts: float) -> float:
        """Return what rowing with this power burns."""
        return _KCAL_PER_H + _KCAL_PER_H_AND_W * watts

    @property
    def forces_lbf(self) -> list[int]:
        """The force curve of the last drive."""
        peak = self.stroke.peak_lbf
        return [round(peak * math.sin(math.pi * (at + 1) / (_FORCES + 1))) for at in range(_FORCES)]

    @property
    def active(self) -> bool:
        """Whether someone rows."""
        return self.state is State.ROWING

    @property
    def average_mps(self) -> float:
        """The mean speed of the workout."""
        return self.distance_m / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def average_w(self) -> float:
        """The mean power, from the mean speed, as a monitor computes it."""
        return watts_of(self.average_mps)


def watts_of(speed_mps: float) -> float:
    """Return the power that this speed takes."""
    return _W_PER_SPEED_3 * speed_mps**3
