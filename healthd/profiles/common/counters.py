"""Counters of wheel and crank revolutions, and the speed and cadence that follow from them.

A sensor sends how often the wheel or crank has turned, and when it did so last, by a clock of 16
bits that wraps within a minute. Everything else is left to the receiver. The rules for it are
those that real sensors force, as CSC and power meters were seen to behave (the reports are named
at each rule).
"""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from healthd.samples import Measurement, quantity

# Sensors repeat the last event until there is another. One turn takes 2.5 s at 24 rpm: who turns
# slower than that is about to stop, and a value held for longer is taken for real
# (doudar/SmartSpin2k#70, TrackMyIndoorWorkout#352).
STANDSTILL_S = 2.5

# More is not ridden, but sent: in a burst after a pause, or by a counter that was set anew
# (TrackMyIndoorWorkout PR #495, gymnasticon#17). Track sprinters reach 170 rpm.
MOST_RPM = 250.0
MOST_MPS = 120 / 3.6


class CrankTurns(Measurement):
    """What a crank's counter says, and the cadence that follows from it."""

    cumulative_crank_revolutions: Annotated[int | None, quantity("{revolutions}")] = None
    """Counter; wraps at 65536."""
    last_crank_event_time_s: Annotated[float | None, quantity("s")] = None
    """When the crank turned last, by the sensor's own clock; wraps at 64 s."""
    cadence_rpm: Annotated[float | None, quantity("/min", mdc=8454255)] = None
    """From two events of one link; 0 where none came for 2.5 s; absent while it is not known."""


class WheelAndCrankTurns(CrankTurns):
    """The same of a wheel beside it."""

    cumulative_wheel_revolutions: Annotated[int | None, quantity("{revolutions}")] = None
    """Counter; wraps at 2^32. A wheel that turns backwards may count down."""
    last_wheel_event_time_s: Annotated[float | None, quantity("s")] = None
    """When the wheel turned last, by the sensor's own clock; wraps at 64 s, or 32 s (power)."""
    speed_mps: Annotated[float | None, quantity("m/s", mdc=8454254)] = None
    """From two events of one link; negative where the wheel turns backwards; 0 where no event came
    for 2.5 s; absent while it is not known, and until the wheel has turned at all."""


@dataclass(frozen=True, slots=True)
class Counter:
    """What is known of one counter.

    Attributes:
        bits: after which it wraps.
        wrap_s: when its event time wraps, in seconds.
        per_turn: what one revolution per second is worth: 60 for rpm, the circumference for m/s.
        limit: the highest rate that is believed, in the same unit.
        counts_down: whether it may; half of its range is then taken for negative steps.
        sent_idle: whether it may be sent though nothing moves it, so that standing still says
            nothing before it has moved once.
    """

    bits: int
    wrap_s: float
    per_turn: float
    limit: float
    counts_down: bool = False
    sent_idle: bool = False


def crank() -> Counter:
    """A crank's counter, for a cadence in rpm: u16, 1/1024 s in every service."""
    return Counter(bits=16, wrap_s=64.0, per_turn=60.0, limit=MOST_RPM)


def wheel(circumference_m: float, *, wrap_s: float) -> Counter:
    """A wheel's counter, for a speed in m/s: u32.

    Wahoo's cadence sensor sends one that never moves (OpenTracks#1054).

    Args:
        circumference_m: what the wheel covers in one revolution.
        wrap_s: when its event time wraps: 64 s where it is in 1/1024 s, 32 s in 1/2048 s.
    """
    return Counter(32, wrap_s, circumference_m, MOST_MPS, counts_down=True, sent_idle=True)


@dataclass(frozen=True, slots=True)
class _Event:
    turns: int
    time_s: float
    mono_ns: int


class Rate:
    """How fast one counter counts, during one link."""

    def __init__(self, counter: Counter) -> None:
        """Nothing is known before the second event."""
        self._counter = counter
        self._last: _Event | None = None
        self._rate: float | None = None
        self._has_moved = not counter.sent_idle

    def forget(self) -> None:
        """Begin anew: the counter was set, or will be."""
        self._last = self._rate = None

    def take(self, turns: int, time_s: float, mono_ns: int) -> float | None:
        """The rate after a packet.

        Args:
            turns: the counter.
            time_s: the time of its last event, by the sensor.
            mono_ns: when the packet arrived, by the monotonic clock.

        Returns:
            In the counter's unit; None where it is not known.
        """
        event, last = _Event(turns, time_s, mono_ns), self._last
        if last is None:
            self._last = event
            return None
        waited_s = (mono_ns - last.mono_ns) / 1e9
        step = self._step(turns - last.turns)
        if step:
            # Without a turn the event stays the last one, also where its time moves on: some
            # stamp every packet, and a quarter of a second without a turn is no standstill.
            self._last = event
            self._rate = self._between(
                step, (time_s - last.time_s) % self._counter.wrap_s, waited_s
            )
            self._has_moved |= self._rate is not None
        elif waited_s >= STANDSTILL_S and self._has_moved:
            self._rate = 0.0
        return self._rate

    def _step(self, difference: int) -> int:
        size = 1 << self._counter.bits
        step = difference % size
        return step - size if self._counter.counts_down and step >= size // 2 else step

    def _between(self, step: int, lapse_s: float, waited_s: float) -> float | None:
        """The rate between two events; None where they do not fit together."""
        counter = self._counter
        if lapse_s == 0:
            return None
        # The sensor's clock has wrapped, once or more: what remains of the time says nothing. The
        # arrivals may be late or early by a few seconds, never by half of a wrap: the link would
        # be lost by then.
        if waited_s > counter.wrap_s or waited_s - lapse_s > counter.wrap_s / 2:
            return None
        rate = step * counter.per_turn / lapse_s
        return rate if abs(rate) <= counter.limit else None


_Crank = TypeVar("_Crank", bound=CrankTurns)
_Both = TypeVar("_Both", bound=WheelAndCrankTurns)


class Cadence:
    """Adds the cadence to what has a crank's counter."""

    def __init__(self) -> None:
        """Begin a link."""
        self._rate = Rate(crank())

    def added_to(self, packet: _Crank, mono_ns: int) -> _Crank:
        """The packet with its ``cadence_rpm``; as it is where none is known."""
        return _with(packet, cadence_rpm=self.after(packet, mono_ns))

    def after(self, packet: CrankTurns, mono_ns: int) -> float | None:
        """The cadence alone."""
        turns, time_s = packet.cumulative_crank_revolutions, packet.last_crank_event_time_s
        if turns is None or time_s is None:
            return None
        return self._rate.take(turns, time_s, mono_ns)


class SpeedAndCadence:
    """Adds speed and cadence to what has the counters of a wheel and a crank."""

    def __init__(self, circumference_m: float, *, wheel_wrap_s: float) -> None:
        """Begin a link; the arguments are those of `wheel`."""
        self._cadence = Cadence()
        self._speed = Rate(wheel(circumference_m, wrap_s=wheel_wrap_s))

    def forget_wheel(self) -> None:
        """The wheel's counter was set, or will be."""
        self._speed.forget()

    def added_to(self, packet: _Both, mono_ns: int) -> _Both:
        """The packet with its ``speed_mps`` and ``cadence_rpm``, those of them that are known."""
        speed = None
        turns, time_s = packet.cumulative_wheel_revolutions, packet.last_wheel_event_time_s
        if turns is not None and time_s is not None:
            speed = self._speed.take(turns, time_s, mono_ns)
        return _with(packet, speed_mps=speed, cadence_rpm=self._cadence.after(packet, mono_ns))


def _with(packet: _Crank, **rates: float | None) -> _Crank:
    known = {key: rate for key, rate in rates.items() if rate is not None}
    return packet.model_copy(update=known) if known else packet
