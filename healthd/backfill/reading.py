"""Reads a sample from its message: its values, and when they were measured."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple, cast

import orjson

from healthd.backfill.series import Kind, Series
from healthd.errors import HealthdError
from healthd.mqtt.arrivals import Message
from healthd.mqtt.topics import Place, place_of

# By how much the clocks of a device and of its gateway may differ: devices count whole minutes, and
# a clock that is never set loses a few of them in a year.
_CLOCK_ERROR_S = 15 * 60

# A device's clock that was never set often starts in 2000, 2010 or 2012. No memory is that old.
_OLDEST_S = 10 * 366 * 86400

# No quantity is larger in its unit, and a sum of such numbers stays a number. Of a list of hours,
# Home Assistant refuses all if one is not a number.
_LARGEST = 1e12

# What the store and JSON have room for.
_LAST_SEQ = 2**53

# Without a part that is unknown. A date alone does not say the hour.
_WHOLE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")

_PERSON = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class LeftOut(HealthdError):
    """A sample that belongs to no hour.

    Attributes:
        place: its topic's parts.
        reason: one lower-case word or more for the log.
    """

    def __init__(self, place: Place, reason: str) -> None:
        """Keep both."""
        super().__init__(f"{place.peripheral}/{place.stream}: {reason}")
        self.place = place
        self.reason = reason


class Reading(NamedTuple):
    """A sample.

    Attributes:
        place: its topic's parts.
        run: the run of the gateway that numbered it.
        seq: its number in the stream and run, from 1.
        at: when it was measured, in seconds since 1970.
        values: its numbers; there may be none.
    """

    place: Place
    run: str
    seq: int
    at: float
    values: Mapping[Series, float]


class Reader:
    """Reads the samples of one gateway."""

    def __init__(
        self, kinds: Mapping[str, Kind], prefix: str, gateway: str, zone: Callable[[], tzinfo]
    ) -> None:
        """Keep what is needed.

        Args:
            kinds: what may be read; see ``series.kinds``.
            prefix: of the topics.
            gateway: id of the gateway.
            zone: returns the time zone to which devices' clocks are set.
        """
        self._kinds = kinds
        self._prefix = prefix
        self._gateway = gateway
        self._zone = zone

    def read(self, message: Message) -> Reading | None:
        """Return the sample; None if its stream has no numbers that become statistics.

        Raises:
            LeftOut: it belongs to no hour, or is not a sample.
        """
        place = place_of(message.topic, self._prefix)
        if place is None or place.gateway != self._gateway:
            return None
        kind = self._kinds.get(place.stream)
        # The broker sends an empty message when a retained result is removed.
        if not place.peripheral or kind is None or not message.payload:
            return None
        payload = _parsed(place, message.payload)
        run, _, _ = str(payload.get("id")).rpartition("-")
        seq = payload.get("seq")
        if not run or not isinstance(seq, int) or not 1 <= seq <= _LAST_SEQ:
            raise LeftOut(place, "not a sample")
        at = self._measured_at(place, kind, payload)
        return Reading(place, run, seq, at, dict(_values(place, kind, payload)))

    def _measured_at(self, place: Place, kind: Kind, payload: Mapping[str, Any]) -> float:
        """Return when it was measured.

        ``time`` is when healthd received it. Of a result that has waited in a device's memory only
        ``device_time`` knows the hour.
        """
        if payload.get("clock") != "synced":
            raise LeftOut(place, "clock not synchronised")
        received = _instant(payload.get("time"), UTC)
        if received is None:
            raise LeftOut(place, "not a sample")
        made = _instant(payload.get("device_time"), self._zone()) if kind.is_dated else None
        if made is None:
            return received
        if received - _OLDEST_S <= made <= received + _CLOCK_ERROR_S:
            # A clock that is slightly ahead must not move a result into an hour that has not begun.
            return min(made, received)
        # Live, it was measured just now. Late, it may be from the device's memory.
        if place.history:
            raise LeftOut(place, "device clock wrong")
        return received


def _parsed(place: Place, text: bytes) -> Mapping[str, Any]:
    try:
        payload: object = orjson.loads(text)
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        raise LeftOut(place, "not a sample")
    return cast("Mapping[str, Any]", payload)


def _values(place: Place, kind: Kind, payload: Mapping[str, Any]) -> Iterator[tuple[Series, float]]:
    person = payload.get("person")
    for key in kind.quantities:
        value = payload.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not abs(value) <= _LARGEST:
            raise LeftOut(place, "not a sample")
        series = Series(place.peripheral, place.stream, key)
        yield series, float(value)
        if isinstance(person, str) and _PERSON.fullmatch(person):
            yield series._replace(person=person), float(value)


def _instant(text: object, zone: tzinfo) -> float | None:
    """Return a time as seconds since 1970; None if it is none, or not a whole one."""
    if not isinstance(text, str) or not _WHOLE.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        # Of the two hours with the same name in autumn it is the first.
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        return None
