"""Joins body composition measurements that take two packets."""

from collections.abc import Iterable
from typing import Any

from healthd.profiles.body_composition.measurement import BodyComposition
from healthd.profiles.link_state import Timed
from healthd.samples import Measurement

# What a second packet repeats.
_REPEATED = {"device_time", "user_id", "body_fat_pct", "multiple_packet"}


class PacketJoiner:
    """Joins measurements that take two packets, during one link.

    The first packet is held back until the next one arrives. The next packet is its second half if
    it announces two packets too, and if the fields that both have are the ones that a second
    packet repeats (time, user, body fat), with equal values. Otherwise the first packet is
    published alone, so that nothing is lost.
    """

    def __init__(self) -> None:
        """Start with nothing held back."""
        self._first: Timed | None = None

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return the measurements to publish; two joined packets have the time of the first."""
        if not isinstance(measurement, BodyComposition):
            return [Timed(measurement, mono_ns)]
        arrived = Timed(measurement, mono_ns)
        first, self._first = self._first, None
        if not measurement.multiple_packet:
            return [arrived] if first is None else [first, arrived]
        if first is None:
            self._first = arrived
            return []
        if joined := _joined(first.measurement, measurement):
            return [Timed(joined, first.mono_ns)]
        self._first = arrived
        return [first]

    def end(self) -> Iterable[Timed]:
        """Return the packet that is still held back: its second half will not arrive."""
        first, self._first = self._first, None
        return [] if first is None else [first]


def _joined(first: Measurement, second: Measurement) -> Measurement | None:
    before, after = _values(first), _values(second)
    for key in before.keys() & after.keys():
        repeated = before[key] == after[key] or _is_left_out(key, before, after)
        if key not in _REPEATED or not repeated:
            return None
    gained = {key: value for key, value in after.items() if before.get(key) is None}
    if first.truncated or second.truncated:
        gained["truncated"] = True
    if surplus := first.trailing_bytes + second.trailing_bytes:
        gained["trailing_bytes"] = surplus
    return first.model_copy(update=gained)


def _values(measurement: Measurement) -> dict[str, Any]:
    of_the_packet = Measurement.model_fields.keys()
    return {key: getattr(measurement, key) for key in measurement.model_fields_set - of_the_packet}


def _is_left_out(key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
    return key == "body_fat_pct" and (before[key] is None or after[key] is None)
