"""Counters of wheel and crank revolutions, and the speed and cadence that follow from them.

A sensor sends the number of revolutions of the wheel or crank, and the time of the last one on a
16-bit clock that wraps about once a minute. The receiver derives everything else. Its rules follow
the behaviour of real speed, cadence and power sensors; each rule names the reports.
"""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from healthd.samples import Measurement, quantity

# Sensors repeat the last event until the next one. A revolution takes 2.5 s at 24 rpm: a slower
# rider is about to stop, and a value that is kept for longer would be mistaken for a real one
# (doudar/SmartSpin2k#70, TrackMyIndoorWorkout#352).
STANDSTILL_S = 2.5

# Greater values are errors: a burst after a pause, or a counter that was set
# (TrackMyIndoorWorkout PR #495, gymnasticon#17). Track sprinters reach 170 rpm.
MOST_RPM = 250.0
MOST_MPS = 120 / 3.6

# Event times are u16.
_TICKS = 1 << 16

# A tick of 1/1024 s is a thousandth of the time of a turn: 0.1 rpm at 90 rpm, 0.01 m/s at 36 km/h.
_RPM_DIGITS, _MPS_DIGITS = 1, 3


class CrankTurns(Measurement):
    """A crank's counter, and the cadence derived from it."""

    cumulative_crank_revolutions: Annotated[int | None, quantity("{revolutions}")] = None
    """A counter; wraps at 65536."""
    last_crank_event_time_s: Annotated[float | None, quantity("s")] = None
    """When the crank last completed a revolution, on the sensor's clock; wraps at 64 s."""
    cadence_rpm: Annotated[float | None, quantity("/min", mdc=8454255)] = None
    """From two events of one link, to 0.1 rpm; 0 after 2.5 s without an event; absent while not
    known."""


class WheelAndCrankTurns(CrankTurns):
    """The counters of a wheel and a crank, and the speed and cadence derived from them."""

    cumulative_wheel_revolutions: Annotated[int | None, quantity("{revolutions}")] = None
    """A counter; wraps at 2^32. A wheel that turns backwards may count down."""
    last_wheel_event_time_s: Annotated[float | None, quantity("s")] = None
    """When the wheel last completed a revolution, on the sensor's clock; wraps at 64 s, or 32 s in
    cycling power."""
    speed_mps: Annotated[float | None, quantity("m/s", mdc=8454254)] = None
    """From two events of one link, to 0.001 m/s; negative if the wheel turns backwards; 0 after
    2.5 s without an event; absent while not known, and until the wheel has turned at all."""


@dataclass(frozen=True, slots=True)
class Counter:
    """The properties of one counter.

    Attributes:
        bits: its size; the counter wraps after them.
        ticks_per_s: the unit of its event time, a u16.
        per_turn: the rate for one revolution per second: 60 for rpm, the circumference for m/s.
        limit: the highest plausible rate, in the same unit.
        digits: the decimals of the rate.
        counts_down: True if it may count down: half of its range then means negative steps.
        sent_idle: True if sensors may send it although nothing moves it: until it has moved once, a
            constant value does not mean a standstill.
    """

    bits: int
    ticks_per_s: int
    per_turn: float
    limit: float
    digits: int
    counts_down: bool = False
    sent_idle: bool = False

    @property
    def wrap_s(self) -> float:
        """When the event time wraps."""
        return _TICKS / self.ticks_per_s


def crank() -> Counter:
    """Return a crank's counter, for a cadence in rpm: u16, 1/1024 s in every service."""
    return Counter(bits=16, ticks_per_s=1024, per_turn=60.0, limit=MOST_RPM, digits=_RPM_DIGITS)


def wheel(circumference_m: float, *, ticks_per_s: int) -> Counter:
    """Return a wheel's counter, for a speed in m/s: u32.

    Wahoo's cadence sensor sends one that never moves (OpenTracks#1054).

    Args:
        circumference_m: the distance of one revolution.
        ticks_per_s: the unit of its event time: it wraps after 64 s at 1024 Hz, 32 s at 2048 Hz.
    """
    return Counter(
        32, ticks_per_s, circumference_m, MOST_MPS, _MPS_DIGITS, counts_down=True, sent_idle=True
    )


@dataclass(frozen=True, slots=True)
class _Event:
    turns: int
    time_s: float
    mono_ns: int


class Rate:
    """The rate of one counter, during one link."""

    def __init__(self, counter: Counter) -> None:
        """Start without a rate: it is known from the second event."""
        self._counter = counter
        self._last: _Event | None = None
        self._rate: float | None = None
        self._has_moved = not counter.sent_idle

    def forget(self) -> None:
        """Start again, because the counter was set, or will be."""
        self._last = self._rate = None

    def update(self, turns: int, time_s: float, mono_ns: int) -> float | None:
        """Return the rate after a packet.

        Args:
            turns: the counter.
            time_s: the time of its last event, on the sensor's clock.
            mono_ns: when the packet arrived, on the monotonic clock.

        Returns:
            The rate in the counter's unit; None if it is not known.
        """
        event, last = _Event(turns, time_s, mono_ns), self._last
        if last is None:
            self._last = event
            return None
        waited_s = (mono_ns - last.mono_ns) / 1e9
        step = self._step(turns - last.turns)
        if step:
            # Without a turn the last event stays, even if its time has moved on: some sensors put
            # a new time into every packet, and a quarter of a second without a turn is not a stop.
            self._last = event
            self._rate = self._between(step, self._lapse_s(time_s - last.time_s), waited_s)
            self._has_moved |= self._rate is not None
        elif waited_s >= STANDSTILL_S and self._has_moved:
            self._rate = 0.0
        return self._rate

    def _step(self, difference: int) -> int:
        size = 1 << self._counter.bits
        step = difference % size
        return step - size if self._counter.counts_down and step >= size // 2 else step

    def _lapse_s(self, difference_s: float) -> float:
        # Published times are rounded; the ticks that they were made of are exact.
        ticks = round(difference_s * self._counter.ticks_per_s) % _TICKS
        return ticks / self._counter.ticks_per_s

    def _between(self, step: int, lapse_s: float, waited_s: float) -> float | None:
        """Return the rate between two events; None if they do not fit together."""
        counter = self._counter
        if lapse_s == 0:
            return None
        # If the sensor's clock has wrapped, the time between the events is unknown. Arrivals may be
        # early or late by a few seconds, but not by half a wrap: the link would be lost by then.
        if waited_s > counter.wrap_s or waited_s - lapse_s > counter.wrap_s / 2:
            return None
        rate = step * counter.per_turn / lapse_s
        return round(rate, counter.digits) if abs(rate) <= counter.limit else None


class Unrolled:
    """A counter that wraps, counted on beyond that: it begins with its first value of a link."""

    def __init__(self, size: int) -> None:
        """Start without a value; ``size`` is the number of its values, after which it wraps."""
        self._size = size
        self._total: int | None = None

    def forget(self) -> None:
        """Start again, because the device has set the counter back."""
        self._total = None

    def update(self, raw: int) -> int:
        """Return the count after a packet; the counter has not wrapped twice since the last one."""
        total = raw if self._total is None else self._total
        self._total = total + (raw - total) % self._size
        return self._total


_Crank = TypeVar("_Crank", bound=CrankTurns)
_Both = TypeVar("_Both", bound=WheelAndCrankTurns)


class Cadence:
    """Adds the cadence to packets that have a crank's counter."""

    def __init__(self) -> None:
        """Start without a cadence."""
        self._rate = Rate(crank())

    def with_rates(self, packet: _Crank, mono_ns: int) -> _Crank:
        """Return the packet with its ``cadence_rpm``, if that is known."""
        return _updated(packet, cadence_rpm=self.update(packet, mono_ns))

    def update(self, packet: CrankTurns, mono_ns: int) -> float | None:
        """Return the cadence after a packet; None if it is not known."""
        turns, time_s = packet.cumulative_crank_revolutions, packet.last_crank_event_time_s
        if turns is None or time_s is None:
            return None
        return self._rate.update(turns, time_s, mono_ns)


class SpeedAndCadence:
    """Adds speed and cadence to packets that have the counters of a wheel and a crank."""

    def __init__(self, circumference_m: float, *, wheel_ticks_per_s: int) -> None:
        """Start without a speed and a cadence; the arguments are those of `wheel`."""
        self._cadence = Cadence()
        self._speed = Rate(wheel(circumference_m, ticks_per_s=wheel_ticks_per_s))

    def forget_wheel(self) -> None:
        """Start again with the wheel, because its counter was set, or will be."""
        self._speed.forget()

    def with_rates(self, packet: _Both, mono_ns: int) -> _Both:
        """Return the packet with its ``speed_mps`` and ``cadence_rpm``, if they are known."""
        speed = None
        turns, time_s = packet.cumulative_wheel_revolutions, packet.last_wheel_event_time_s
        if turns is not None and time_s is not None:
            speed = self._speed.update(turns, time_s, mono_ns)
        cadence = self._cadence.update(packet, mono_ns)
        return _updated(packet, speed_mps=speed, cadence_rpm=cadence)


def _updated(packet: _Crank, **rates: float | None) -> _Crank:
    known = {key: rate for key, rate in rates.items() if rate is not None}
    return packet.model_copy(update=known) if known else packet
