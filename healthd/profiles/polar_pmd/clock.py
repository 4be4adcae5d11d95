"""Maps the sensor's clock to ours.

A frame that arrives at ``a`` with the stamp ``s`` is late by an unknown delay, never early. So
``a - s`` is the offset of the two clocks plus that delay, and the points (s, a - s) lie above the
line that offset and drift form. The radio delays frames by 0 to several connection intervals, with
no known distribution, but now and then a frame is not delayed at all. So the line is the highest
one below all points. Of all lines below them, the one with the smallest sum of distances runs
through the edge of their lower convex hull below their mean (Moon, Skelly and Towsley, "Estimation
and removal of clock skew from network delay measurements", INFOCOM 1999). Unlike an average or a
regression, it is not moved up by late frames, however late they are.

Only the minimum of every few seconds is kept, for some minutes: a quartz drifts with temperature,
so older points would no longer lie on the same line.
"""

from collections.abc import Iterable
from itertools import pairwise

# More than any quartz drifts: Bluetooth allows a sleep clock 500 ppm (Core Specification, Vol 6,
# Part B, 4.2.2). It limits the line while the first seconds contain mostly noise.
_MAX_DRIFT = 500e-6
_BUCKET_NS = 5_000_000_000
_BUCKETS = 60
# A frame cannot come this much earlier than the line says: the sensor's clock was set forward.
_EARLY_NS = 1_000_000_000
# A link ends after at most 32 s of silence (Core Specification: supervision timeout), so no frame
# is later than this: the sensor's clock was set back.
_LATE_NS = 32_000_000_000
# If every frame of a minute, which is longer than any frame is late, is this much later than the
# line says, then the sensor's clock does not follow the line of the minutes before.
_RECENT_BUCKETS = 12
_OFF_NS = 1_000_000_000


class SensorClock:
    """Maps the sensor's time to our monotonic time, from the frames that arrive.

    The shortest delay of the radio remains in the offset: the two cannot be separated.

    Attributes:
        epoch: increases with each jump of the sensor's clock; only stamps of one epoch compare.
    """

    def __init__(self) -> None:
        """Start without any frame."""
        self.epoch = 0
        self._origin = 0
        self._base = 0
        # The lowest point of each bucket, relative to the first: stamps have 64 bits, floats 53.
        self._lowest: dict[int, tuple[int, int]] = {}
        self._slope = 0.0
        self._offset = 0.0

    def observe(self, stamp_ns: int, arrival_ns: int) -> None:
        """Include a frame in the estimate."""
        if self._lowest and not -_EARLY_NS <= arrival_ns - self.at(stamp_ns) <= _LATE_NS:
            self.restart()
        if not self._lowest:
            self._origin, self._base = stamp_ns, arrival_ns - stamp_ns
        stamp = stamp_ns - self._origin
        point = (stamp, arrival_ns - stamp_ns - self._base)
        bucket = stamp // _BUCKET_NS
        lowest = self._lowest.get(bucket)
        if lowest is None or point[1] < lowest[1]:
            self._lowest[bucket] = point
            self._fit()

    def restart(self) -> None:
        """Forget all frames: the sensor's clock was set."""
        self.epoch += 1
        self._lowest.clear()

    def at(self, stamp_ns: int) -> int:
        """Return our monotonic time at the sensor's ``stamp_ns``, once a frame was observed."""
        drifted = round(self._offset + self._slope * (stamp_ns - self._origin))
        return stamp_ns + self._base + drifted

    def before(self, stamp_ns: int, arrival_ns: int) -> int:
        """Return the time of a stamp that was not observed: never later than its arrival.

        It is the arrival itself if no frame was observed, or the stamp is of a different clock.
        """
        if not self._lowest:
            return arrival_ns
        at = self.at(stamp_ns)
        return min(at, arrival_ns) if at > arrival_ns - _LATE_NS else arrival_ns

    def _fit(self) -> None:
        oldest = max(self._lowest) - _BUCKETS
        self._lowest = {at: point for at, point in self._lowest.items() if at > oldest}
        self._draw(sorted(self._lowest.values()))
        newer = oldest + _BUCKETS - _RECENT_BUCKETS
        recent = {at: point for at, point in self._lowest.items() if at > newer}
        if len(recent) < len(self._lowest) and self._off_ns(recent.values()) > _OFF_NS:
            self._lowest = recent
            self._draw(sorted(recent.values()))

    def _draw(self, points: list[tuple[int, int]]) -> None:
        self._slope = max(-_MAX_DRIFT, min(_MAX_DRIFT, _slope_below(points)))
        self._offset = min(late - self._slope * stamp for stamp, late in points)

    def _off_ns(self, points: Iterable[tuple[int, int]]) -> float:
        """Return how far the nearest of the points is above the line."""
        return min(late - self._slope * stamp for stamp, late in points) - self._offset


def _slope_below(points: list[tuple[int, int]]) -> float:
    """Return the slope of the lower hull's edge at the mean of the stamps; 0 for a single point."""
    hull: list[tuple[int, int]] = []
    for point in points:
        while len(hull) > 1 and not _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    mean = sum(stamp for stamp, _ in points) / len(points)
    for (left, low), (right, high) in pairwise(hull):
        if right >= mean:
            return (high - low) / (right - left)
    return 0.0


def _turns_up(first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]) -> bool:
    run, rise = second[0] - first[0], second[1] - first[1]
    return rise * (third[0] - first[0]) < (third[1] - first[1]) * run
