"""A device's own clock: the Current Time service (GATT 0x1805)."""

import asyncio
import struct
from collections.abc import Iterable
from datetime import datetime, timedelta

from bumble.att import ATT_Error

from healthd.simulator.attributes import readable, service, writeable
from healthd.simulator.feed import paced
from healthd.simulator.numbers import date_time
from healthd.simulator.part import Part

BEFORE_IT_IS_SET = datetime(2020, 1, 1)  # noqa: DTZ001 - the device knows no time zone
"""The time that a clock shows after its battery was inserted."""

# The interval of the notifications of the time.
_PERIOD_S = 1.0
_WRITE_REQUEST_REJECTED = 0xFC
_CURRENT_TIME_SIZE = 10
# UTC+1 in quarters of an hour, and no daylight saving time: winter in Berlin.
_LOCAL_TIME = bytes([4, 0])
# Source: cellular network; accurate to 1/8 s; set less than an hour ago.
_REFERENCE_TIME = bytes([6, 1, 0, 0])


class DeviceClock:
    """A clock without a time zone that can be set.

    Attributes:
        is_set: Set once the clock was set over the link.
    """

    def __init__(self, shows: datetime | None = None) -> None:
        """Start the clock.

        Args:
            shows: The time that it shows now; None for the correct time.
        """
        self.is_set = asyncio.Event()
        self._ahead = timedelta(0) if shows is None else shows - _correct_time()

    def now(self) -> datetime:
        """Return the time that the clock shows."""
        return _correct_time() + self._ahead

    def part(self, *, can_be_set: bool = True) -> Part:
        """Return the service, which notifies the time every second if the clock can be set."""
        if can_be_set:
            current = writeable(0x2A2B, self._set, read=self._value, notifies=True)
        else:
            current = readable(0x2A2B, self._value)
        facts = [readable(0x2A0F, _LOCAL_TIME), readable(0x2A14, _REFERENCE_TIME)]
        payloads = {current: paced(self._values, _PERIOD_S)} if can_be_set else {}
        return Part(service(0x1805, [current, *facts]), payloads)

    def _values(self, _elapsed: float) -> Iterable[bytes]:
        yield self._value()

    def _value(self) -> bytes:
        now = self.now()
        fraction = now.microsecond * 256 // 1_000_000
        return date_time(now) + bytes([now.isoweekday(), fraction, 0])

    def _set(self, value: bytes) -> None:
        if len(value) != _CURRENT_TIME_SIZE:
            raise ATT_Error(_WRITE_REQUEST_REJECTED)
        try:
            wanted = datetime(*struct.unpack_from("<H5B", value))  # noqa: DTZ001 - as above
        except ValueError as error:
            raise ATT_Error(_WRITE_REQUEST_REJECTED) from error
        self._ahead = wanted - _correct_time()
        self.is_set.set()


def _correct_time() -> datetime:
    return datetime.now()  # noqa: DTZ005 - as above
