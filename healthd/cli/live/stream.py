"""One stream as a subscriber saw it: its newest sample, how often one comes, what was missing."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthd.cli.live.wording import main_key, numbers, rank

# A second delivery follows its first within what a gateway has in flight, and what it has to
# acknowledge again after an outage: some hundreds at most.
_IDS = 1024

# As wide as a sparkline may become.
TREND = 60

# Long enough for a sensor that sends every few seconds, short enough to follow a change.
_RATE_S = 20.0

# Of a stream with 50 messages a second five seconds are left, which is as good.
_ARRIVALS = 256


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks, in seconds.

    Attributes:
        mono: of the monotonic one, which alone says how much time has passed.
        wall: Unix time, for what says itself when it was.
    """

    mono: float
    wall: float


class Ids:
    """The ids that were seen last."""

    def __init__(self) -> None:
        """Start with none."""
        self._seen: OrderedDict[str, None] = OrderedDict()

    def is_new(self, payload: dict[str, Any]) -> bool:
        """Remember the payload's id; False where it was seen before. Without an id all are new."""
        one = payload.get("id")
        if not isinstance(one, str):
            return True
        new = one not in self._seen
        self._seen[one] = None
        # A result that a broker keeps comes again on every connect: its id is kept, too.
        self._seen.move_to_end(one)
        if len(self._seen) > _IDS:
            self._seen.popitem(last=False)
        return new


@dataclass(slots=True)
class Stream:
    """One stream of a peripheral.

    Attributes:
        values: the newest live sample.
        samples: how many live ones were seen, each once.
        history: how many were seen that came late, each once.
        gaps: how many stretches were told to be missing.
        gap_reason: why, the last time.
        trend: the main value, oldest first; of a frame all that it holds.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    samples: int = 0
    history: int = 0
    gaps: int = 0
    gap_reason: str = ""
    trend: deque[float] = field(default_factory=lambda: deque[float](maxlen=TREND))
    _ids: Ids = field(default_factory=Ids)
    _key: str | None = None
    _measured: float | None = None
    _arrivals: deque[tuple[float, int]] = field(
        default_factory=lambda: deque[tuple[float, int]](maxlen=_ARRIVALS)
    )

    @property
    def is_frame(self) -> bool:
        """Whether a sample holds many values, at a rate of its own."""
        return "sample_rate_hz" in self.values

    def age_s(self, now: Moment) -> float | None:
        """How long ago the newest live sample was measured; None where nobody knows."""
        return None if self._measured is None else max(0.0, now.mono - self._measured)

    def per_second(self, now: Moment) -> float | None:
        """Values that arrived in a second, lately; None where too few arrived to tell."""
        recent = [one for one in self._arrivals if now.mono - one[0] <= _RATE_S]
        if len(recent) < 2 or recent[-1][0] == recent[0][0]:
            return None
        return sum(count for _, count in recent[1:]) / (recent[-1][0] - recent[0][0])

    def add_history(self, values: dict[str, Any]) -> None:
        """A sample came late."""
        self.history += self._ids.is_new(values)

    def add(self, values: dict[str, Any], now: Moment, *, retained: bool, result: bool) -> None:
        """A live sample came.

        Args:
            values: the sample.
            now: when.
            retained: the broker had kept it.
            result: it is of a kind that brokers keep.
        """
        if not self._ids.is_new(values):
            return
        self.samples += 1
        self.values = values
        age_s = _age_s(values, now) if retained or result else 0.0
        if age_s is None and not retained:
            age_s = 0.0
        self._measured = None if age_s is None else now.mono - age_s
        key = main_key(values)
        measured = numbers(values[key]) if key is not None else []
        if not retained and not result:
            self._arrivals.append((now.mono, len(measured) if self.is_frame else 1))
        self._draw(key, measured)

    def _draw(self, key: str | None, measured: list[float]) -> None:
        if key is None:
            return
        if self._key is None or rank(key) < rank(self._key):
            # What leads may come late: a speed needs two packets.
            self._key = key
            self.trend.clear()
        if self.is_frame:
            self.trend = deque(measured, maxlen=max(TREND, len(measured)))
        elif key == self._key:
            self.trend.extend(measured[-1:])


def _age_s(values: dict[str, Any], now: Moment) -> float | None:
    """By the sample's own time; None where that cannot be believed."""
    passed_s = seconds_since(values.get("time"), now)
    if passed_s is None or values.get("clock") != "synced":
        return None
    return max(0.0, passed_s)


def seconds_since(time: object, now: Moment) -> float | None:
    """How long ago a time was that somebody wrote down; None where it is none."""
    try:
        return now.wall - datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
