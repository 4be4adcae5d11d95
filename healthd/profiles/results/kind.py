"""What distinguishes a kind of result: when it is finished, and what identifies it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from healthd.profiles.known_results import made_by
from healthd.samples import DeviceTimed, Measurement, Record, whole_time

QUIET_S = 1.5
"""How long a measurement without a time waits for a better one of the same measurement.

A device that has no times has no memory, so what follows at once is not another measurement. A
QardioArm's result is what nothing follows within 1.5 s (LibreArm).
"""

_UNSET = "unset"


class Phase(Enum):
    """What a packet says about the measurement that it belongs to."""

    MEASURING = auto()
    """A measurement is going on: what was measured before is over."""
    FINISHED = auto()
    """It has a result."""
    WITHOUT_RESULT = auto()
    """No result is in the packet, nor does it begin a measurement: an error, an empty scale."""


@dataclass(frozen=True, slots=True)
class ResultKind:
    """One kind of result.

    Attributes:
        model: the finished result.
        intermediate: makes what is published of a packet that has no result.
        phase: what a packet says about its measurement.
        values: the keys of the measured values that identify a result, with its time and its user.
        updates: whether the second packet is of the same measurement as the first one, if it
            arrives while the first one still waits.
        wait_s: how long a result waits for such packets.
        same_s: by how much the times of packets of one measurement may differ. So a link that is
            made again during a measurement, or right after it, brings no second result.
        repeat_s: for how long an equal result without a time is a repetition of the one before.
        is_dated: whether the time of a result means anything.
        has_memory: whether the device sends old results, too. If not, the newest to arrive is the
            newest, whatever the device's clock shows.
        is_repetition: whether a packet may repeat a result of before, in spite of what followed.
    """

    model: type[DeviceTimed]
    intermediate: Callable[[Any], Measurement]
    phase: Callable[[Any], Phase]
    values: tuple[str, ...]
    updates: Callable[[Any, Any], bool] = lambda _first, _second: False
    wait_s: Callable[[Any], float] = lambda _result: 0.0
    same_s: Callable[[Any], float] = lambda _result: 0.0
    repeat_s: float = QUIET_S
    is_dated: Callable[[Any], bool] = lambda _result: True
    has_memory: bool = True
    is_repetition: Callable[[Any], bool] = lambda _result: False

    def identity(self, result: DeviceTimed) -> Record | None:
        """Return what makes a result the same one when it is sent again; None without a time."""
        time, measured = result.device_time, self.measured(result)
        # The date of a record counts for the order of later results, so it must not come first.
        return made_by(time, measured) if self.is_dated(result) else made_by(time, measured, _UNSET)

    def date(self, result: DeviceTimed) -> datetime | None:
        """Return when a result was measured, by the device's clock; None if that is not known."""
        return whole_time(result.device_time) if self.is_dated(result) else None

    def measured(self, result: DeviceTimed) -> tuple[object, ...]:
        """Return whose result it is, if the device knows users, and its values."""
        keys = ("user_id", *self.values) if "user_id" in self.model.model_fields else self.values
        return tuple(getattr(result, key) for key in keys)


def are_within(first: DeviceTimed, second: DeviceTimed, seconds: float) -> bool:
    """Return whether two results have almost the same time, or none, by the device's clock."""
    before, after = whole_time(first.device_time), whole_time(second.device_time)
    if before is None or after is None:
        return first.device_time == second.device_time
    return abs(after - before) <= timedelta(seconds=seconds)
