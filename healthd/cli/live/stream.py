"""One stream as a subscriber sees it: its newest sample, its rate and its gaps."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthd.cli.live.wording import main_key, numbers, rank

# A duplicate follows the first delivery within the messages that a gateway has in flight, plus
# those that it publishes again after an outage: some hundreds at most.
_IDS = 512

# The maximum width of a sparkline.
TREND = 60

# Long enough for a sensor that sends every few seconds, short enough to follow a change.
_RATE_S = 20.0

# At 50 messages a second this covers five seconds, which is still enough for a rate.
_ARRIVALS = 256


@dataclass(frozen=True, slots=True)
class Moment:
    """The present time on both clocks, in seconds.

    Attributes:
        mono: monotonic time, for elapsed time.
        wall: Unix time, to compare with the time in a payload.
    """

    mono: float
    wall: float


class Ids:
    """The most recently seen ids of payloads."""

    def __init__(self) -> None:
        """Start empty."""
        # Their hashes: an id from another publisher may be long.
        self._seen: OrderedDict[int, None] = OrderedDict()

    def is_new(self, payload: dict[str, Any]) -> bool:
        """Return whether the payload's id is new, and remember it; without an id it is new."""
        if not isinstance(text := payload.get("id"), str):
            return True
        identity = hash(text)
        new = identity not in self._seen
        self._seen[identity] = None
        # A retained result is delivered again on every connect, so its id must not be forgotten.
        self._seen.move_to_end(identity)
        if len(self._seen) > _IDS:
            self._seen.popitem(last=False)
        return new


@dataclass(slots=True)
class Stream:
    """One stream of a peripheral.

    Attributes:
        values: the newest live sample.
        samples: number of live samples, without duplicates.
        history: number of samples of the history topic, without duplicates.
        gaps: number of reported gaps.
        gap_reason: the reason of the last gap.
        trend: the main value, oldest first; for frames, all values of the newest frame.
        kept_bytes: the size of the newest live sample as JSON.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    samples: int = 0
    history: int = 0
    gaps: int = 0
    gap_reason: str = ""
    trend: deque[float] = field(default_factory=lambda: deque[float](maxlen=TREND))
    kept_bytes: int = 0
    _ids: Ids = field(default_factory=Ids)
    _key: str | None = None
    _measured: float | None = None
    _arrivals: deque[tuple[float, int]] = field(
        default_factory=lambda: deque[tuple[float, int]](maxlen=_ARRIVALS)
    )

    @property
    def is_frame(self) -> bool:
        """Return whether a sample contains many values and their sample rate."""
        return "sample_rate_hz" in self.values

    def age_s(self, now: Moment) -> float | None:
        """Return the age of the newest live sample; None if unknown."""
        return None if self._measured is None else max(0.0, now.mono - self._measured)

    def per_second(self, now: Moment) -> float | None:
        """Return the recent rate of values per second; None if too few arrived."""
        recent = [arrival for arrival in self._arrivals if now.mono - arrival[0] <= _RATE_S]
        if len(recent) < 2 or recent[-1][0] == recent[0][0]:
            return None
        return sum(count for _, count in recent[1:]) / (recent[-1][0] - recent[0][0])

    def add_history(self, values: dict[str, Any]) -> None:
        """Count a sample of the history topic."""
        self.history += self._ids.is_new(values)

    def add(self, values: dict[str, Any], now: Moment, *, retained: bool, result: bool) -> None:
        """Add a live sample.

        Args:
            values: the sample.
            now: time of arrival.
            retained: it is a retained message, from before the subscription.
            result: its kind is published retained.
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
        self._extend_trend(key, measured)

    def _extend_trend(self, key: str | None, measured: list[float]) -> None:
        if key is None:
            return
        if self._key is None or rank(key) < rank(self._key):
            # The main value may be missing at first: a speed needs two packets.
            self._key = key
            self.trend.clear()
        if self.is_frame:
            self.trend = deque(measured, maxlen=max(TREND, len(measured)))
        elif key == self._key:
            self.trend.extend(measured[-1:])


def _age_s(values: dict[str, Any], now: Moment) -> float | None:
    """Return the age by the sample's own time; None if that is not reliable."""
    passed_s = seconds_since(values.get("time"), now)
    if passed_s is None or values.get("clock") != "synced":
        return None
    return max(0.0, passed_s)


def seconds_since(time: object, now: Moment) -> float | None:
    """Return how long ago an ISO 8601 time was; None if it is not a time."""
    try:
        return now.wall - datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
