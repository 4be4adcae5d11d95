"""Polar Measurement Data: a control point to start streams, and a characteristic for all data."""

import asyncio
import random
import struct
import time
from collections.abc import AsyncGenerator
from enum import IntEnum

from healthd.simulator.attributes import notifying, service
from healthd.simulator.feed import ControlPoint
from healthd.simulator.part import Part
from healthd.simulator.polar.streams import KINDS, RATE, Kind, SensorClock, Stream, sources

SERVICE = "FB005C80-02E7-F387-1CAD-8ACD2D8DF0C8"
_CONTROL = "FB005C81-02E7-F387-1CAD-8ACD2D8DF0C8"
_DATA = "FB005C82-02E7-F387-1CAD-8ACD2D8DF0C8"

_FEATURES, _RESPONSE = 0x0F, 0xF0
_GET_SETTINGS, _START, _STOP = 1, 2, 3
# Types up to this one exist, some of them not in this device: PPG, PPI, gyroscope, magnetometer.
_HIGHEST_TYPE = 14


class Status(IntEnum):
    """The result of a request."""

    SUCCESS = 0
    BAD_OPCODE = 1
    BAD_TYPE = 2
    NOT_SUPPORTED = 3
    BAD_LENGTH = 4
    BAD_PARAMETER = 5
    ALREADY_IN_STATE = 6
    BAD_RESOLUTION = 7
    BAD_RATE = 8
    BAD_RANGE = 9


# The status for an unsupported value, by setting: rate, resolution, range.
_REFUSALS = {0: Status.BAD_RATE, 1: Status.BAD_RESOLUTION, 2: Status.BAD_RANGE}


class _RefusedError(Exception):
    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class Pmd:
    """The state of the service: the running streams, which end when the central unsubscribes."""

    def __init__(self, rng: random.Random) -> None:
        """Create the service without running streams.

        Args:
            rng: The random generator.
        """
        self._clock = SensorClock(rng)
        self._sources = sources(rng)
        self._running: dict[int, Stream] = {}
        self._changed = asyncio.Event()
        self._control = ControlPoint(_CONTROL, self._answer, read=_features, on_end=self._stop_all)

    def part(self) -> Part:
        """Return the service; the sensor does not advertise its 128-bit UUID."""
        data = notifying(_DATA)
        return Part(
            service(SERVICE, [self._control.characteristic, data]),
            {self._control.characteristic: self._control.feed.payloads, data: self._frames},
        )

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        # Frames that were due before the subscription are skipped.
        for stream in self._running.values():
            stream.started_at, stream.frames = time.monotonic(), 0
        while True:
            self._changed.clear()
            running = self._running.values()
            stream = min(running, key=lambda stream: stream.due, default=None)
            wait_s = None if stream is None else max(0.0, stream.due - time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                if stream is not None:
                    yield stream.frame()

    def _stop_all(self) -> None:
        self._running.clear()
        self._changed.set()

    def _answer(self, request: bytes) -> bytes:
        opcode, number = (*request[:2], 0, 0)[:2]
        head = bytes([_RESPONSE, opcode, number])
        try:
            if len(request) < 2:
                raise _RefusedError(Status.BAD_LENGTH)
            if opcode not in (_GET_SETTINGS, _START, _STOP):
                raise _RefusedError(Status.BAD_OPCODE)
            parameters = self._execute(opcode, number, request[2:])
        except _RefusedError as refused:
            return head + bytes([refused.status])
        # The zero after the status means that no further packet of this response follows.
        return head + bytes([Status.SUCCESS, 0]) + parameters

    def _execute(self, opcode: int, number: int, settings: bytes) -> bytes:
        if number > _HIGHEST_TYPE:
            raise _RefusedError(Status.BAD_TYPE)
        if (kind := KINDS.get(number)) is None:
            raise _RefusedError(Status.NOT_SUPPORTED)
        if opcode == _GET_SETTINGS:
            return b"".join(
                struct.pack(f"<BB{len(values)}H", key, len(values), *values)
                for key, values in kind.options.items()
            )
        if (opcode == _START) == (number in self._running):
            raise _RefusedError(Status.ALREADY_IN_STATE)
        if opcode == _START:
            rate_hz = _parse_settings(kind, settings)[RATE]
            self._running[number] = Stream(kind, rate_hz, self._clock, self._sources[number])
        else:
            del self._running[number]
        self._changed.set()
        return b""


def _features() -> bytes:
    supported = sum(1 << number for number in KINDS)
    return struct.pack("<BH", _FEATURES, supported)


def _parse_settings(kind: Kind, settings: bytes) -> dict[int, int]:
    """Return the settings of a start request; refuse unsupported values and missing settings."""
    parsed: dict[int, int] = {}
    while settings:
        if len(settings) < 4:
            raise _RefusedError(Status.BAD_LENGTH)
        key, count, value = struct.unpack_from("<BBH", settings)
        if key not in kind.options or count != 1:
            raise _RefusedError(Status.BAD_PARAMETER)
        if value not in kind.options[key]:
            raise _RefusedError(_REFUSALS[key])
        parsed[key] = value
        settings = settings[4:]
    if parsed.keys() != kind.options.keys():
        raise _RefusedError(Status.BAD_PARAMETER)
    return parsed
