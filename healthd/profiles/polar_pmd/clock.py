"""Where the sensor's clock stands against ours.

A frame that arrives at ``a`` with the stamp ``s`` was late by an unknown delay, never early. So
``a - s`` is the offset of the two clocks plus that delay, and the points (s, a - s) lie above the
line that offset and drift make. The radio delays by anything from 0 to some connection intervals,
with no shape to rely on, but now and then a frame comes through at once: the line is the highest
one below all points. Of all lines below them, the one whose sum of distances is least runs through
the edge of their lower convex hull that is below their mean (Moon, Skelly and Towsley, "Estimation
and removal of clock skew from network delay measurements", INFOCOM 1999). No late frame, however
late, can pull it up, which no average and no regression has.

The minimum of every few seconds is all that is kept of them, for some minutes: quartzes drift with
temperature, so older points would bend the line.
"""

from itertools import pairwise

# Beyond any quartz: Bluetooth allows a sleep clock 500 ppm (Core Specification, Vol 6, Part B,
# 4.2.2), and no line through the noise of the first seconds may be steeper.
_MAX_DRIFT = 500e-6
_BUCKET_NS = 5_000_000_000
_BUCKETS = 60
# A frame that comes this much earlier than the line says was not delayed before: the sensor's
# clock was set forward.
_EARLY_NS = 1_000_000_000
# A link that says nothing for longer than this is over (Core Specification: supervision timeout,
# at most 32 s), so no frame is later: the clock was set back.
_LATE_NS = 32_000_000_000


class SensorClock:
    """Maps the sensor's time to our monotonic one, from the frames that arrive.

    What a shortest possible delay hides stays in the offset: it cannot be told from it.

    Attributes:
        epoch: counts up with each jump of the sensor's clock; stamps of two epochs do not compare.
    """

    def __init__(self) -> None:
        """Knows nothing yet."""
        self.epoch = 0
        self._origin = 0
        self._base = 0
        # Bucket to its lowest point, both relative: stamps fill 64 bits, floats hold 53.
        self._lowest: dict[int, tuple[int, int]] = {}
        self._slope = 0.0
        self._offset = 0.0

    def observe(self, stamp_ns: int, arrival_ns: int) -> None:
        """Take note of a frame."""
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
        """Forget everything: the sensor's clock is another one now."""
        self.epoch += 1
        self._lowest.clear()

    def at(self, stamp_ns: int) -> int:
        """Our monotonic time at the sensor's ``stamp_ns``; it must have seen a frame."""
        drifted = round(self._offset + self._slope * (stamp_ns - self._origin))
        return stamp_ns + self._base + drifted

    def before(self, stamp_ns: int, arrival_ns: int) -> int:
        """The time of a stamp that was not observed: never later than its arrival.

        The arrival itself where no other stream has set the clock, or the stamp is not of it.
        """
        if not self._lowest:
            return arrival_ns
        at = self.at(stamp_ns)
        return min(at, arrival_ns) if at > arrival_ns - _LATE_NS else arrival_ns

    def _fit(self) -> None:
        oldest = max(self._lowest) - _BUCKETS
        self._lowest = {at: point for at, point in self._lowest.items() if at > oldest}
        points = sorted(self._lowest.values())
        self._slope = max(-_MAX_DRIFT, min(_MAX_DRIFT, _slope_below(points)))
        self._offset = min(late - self._slope * stamp for stamp, late in points)


def _slope_below(points: list[tuple[int, int]]) -> float:
    """The slope of the lower hull's edge at the mean of the stamps; 0 of a single point."""
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
