"""Samples from the broker, as `healthd hass-backfill` reads them."""

import math
from collections.abc import Iterable
from contextlib import suppress
from zoneinfo import ZoneInfo

from healthd.backfill.reading import LeftOut, Reader
from healthd.backfill.series import kinds
from healthd.mqtt.arrivals import Message
from healthd.profiles.registry import load
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk

_CUFF = b"""{"id":"7f3a1c0e-4","time":"2026-11-24T20:00:00.000000Z","clock":"synced","seq":4,
"systolic_mmhg":123,"diastolic_mmhg":80.0,"pulse_rate_bpm":null,"device_time":"2026-11-23T07:30:00",
"person":"anna"}"""
_STRAP = b"""{"id":"a-1","time":"2026-11-24T02:03:31.123456Z","clock":"synced","seq":1,
"heart_rate_bpm":72,"rr_intervals_ms":[812.5]}"""

# A gateway's clock may be wrong by centuries, but it is a date.
_LATEST_S = 253402300800.0


class Target(target.Target):
    """A topic below the gateway, then the payload."""

    words = (
        *(
            b'"id"',
            b'"time"',
            b'"clock":"synced"',
            b'"seq"',
            b'"person"',
            b'"device_time"',
            b'"systolic_mmhg"',
        ),
        *(
            b"9999-12-31T23:59:59",
            b"0001-01-01T00:00:00",
            b"2026-10-25T02:30:00",
            b"+23:59",
            b"Z",
            b"null",
            b"[]",
        ),
    )

    def __init__(self) -> None:
        """Make the reader once."""
        zone = ZoneInfo("Europe/Berlin")
        self._reader = Reader(kinds(load()), "healthd", "g", lambda: zone)

    def seeds(self) -> Iterable[bytes]:
        """Yield a sample of a strap and one of a cuff."""
        yield chunk("device/strap/heart_rate") + _STRAP
        yield chunk("device/cuff/blood_pressure/history") + _CUFF
        yield chunk("device/cuff/blood_pressure") + _CUFF

    def fuzz(self, data: bytes) -> None:
        """Read it; what is returned fits into the store and into Home Assistant's statistics."""
        pieces = Pieces(data)
        topic = f"healthd/g/{pieces.text()}"
        with suppress(LeftOut):
            reading = self._reader.read(Message(topic, pieces.rest(), retained=False))
            if reading is not None:
                assert 1 <= reading.seq < 2**63
                assert -_LATEST_S < reading.at < _LATEST_S
                assert all(math.isfinite(value) for value in reading.values.values())
                (reading.place.peripheral + reading.place.stream + reading.run).encode()
