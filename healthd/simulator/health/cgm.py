"""A continuous glucose monitor with end-to-end checksums: GATT service 0x181F."""

import random
import struct
from collections.abc import Iterable
from datetime import datetime, timedelta

from bumble.att import ATT_Error

from healthd.simulator.attributes import notifying, readable, service, writeable
from healthd.simulator.feed import ControlPoint, Feed, paced
from healthd.simulator.health.racp import Record, RecordAccess
from healthd.simulator.numbers import date_time, int24, sfloat
from healthd.simulator.part import Part
from healthd.simulator.wander import Wander

# Flags of a measurement: trend, quality, and the octet for calibration and temperature.
_FLAGS = 1 << 0 | 1 << 1 | 1 << 6
_CALIBRATION_RECOMMENDED = 1 << 2
# 0x2AA8: calibration, result range, battery, checksums, trend, quality.
_FEATURES = sum(1 << bit for bit in (0, 8, 9, 12, 15, 16))
_SUBCUTANEOUS, _INTERSTITIAL_FLUID = 5, 9
_SET_INTERVAL, _GET_INTERVAL, _INTERVAL = 0x01, 0x02, 0x03
_START, _STOP, _RESPONSE = 0x1A, 0x1B, 0x1C
_SUCCESS, _NOT_SUPPORTED, _INVALID_OPERAND, _OUT_OF_RANGE = 1, 2, 3, 5
_INVALID_CRC = 0x81
# Two weeks, the lifetime of current sensors, and a reading every five minutes.
_RUN_TIME_H, _INTERVAL_MIN = 14 * 24, 5
# How long ago the session started, in minutes; it has stored readings since then.
_SESSION_AGE_MIN = 60


def with_checksum(data: bytes) -> bytes:
    """Append the two bytes of the CRC-16 (CCITT polynomial, reflected bits, start 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return data + struct.pack("<H", crc)


class Sensor:
    """A sensor under the skin, in a session that started an hour ago.

    Attributes:
        measurement: Sends stored readings.
        start_time: The start time of the session as the value of 0x2AAA.
        records: The stored readings, oldest first.
    """

    def __init__(self, rng: random.Random) -> None:
        """Store the readings of the last hour.

        Args:
            rng: The random generator.
        """
        self._glucose = Wander(rng, rng.uniform(95.0, 115.0), 9.0)
        self._previous = self._glucose.value
        self._interval_min = _INTERVAL_MIN
        self._offset_min = 0
        self.start_time = _start_time(datetime.now() - timedelta(minutes=_SESSION_AGE_MIN))  # noqa: DTZ005 - the device knows no time zone
        self._is_running = True
        self.measurement = Feed()
        self.records: list[Record] = []
        while self._offset_min < _SESSION_AGE_MIN:
            self._read()

    def readings(self, _elapsed: float) -> Iterable[bytes]:
        """Generate the next reading; the real interval is shorter than the reported one."""
        if self._is_running:
            yield self._read()

    def read(self) -> None:
        """Measure and store one more reading."""
        self._read()

    def _read(self) -> bytes:
        if self._offset_min > _RUN_TIME_H * 60:
            # The sensor is worn out; the next one starts its own session.
            self.start_time = _start_time(datetime.now())  # noqa: DTZ005 - as above
            self._offset_min = 0
            self.records.clear()
        value = self._glucose.step(self._interval_min)
        trend = (value - self._previous) / self._interval_min
        self._previous = value
        body = b"".join(
            (
                bytes([_FLAGS]) + sfloat(round(value), 0) + struct.pack("<H", self._offset_min),
                bytes([_CALIBRATION_RECOMMENDED]) + sfloat(round(trend, 1), -1) + sfloat(95.5, -1),
            )
        )
        # The size includes its own byte and the checksum.
        record = with_checksum(bytes([len(body) + 3]) + body)
        self.records.append(Record(self._offset_min, ((self.measurement, record),)))
        self._offset_min += self._interval_min
        return record

    @property
    def status(self) -> bytes:
        """The value of 0x2AA9: the time offset and the three octets of the status."""
        status = _CALIBRATION_RECOMMENDED << 8 | (0 if self._is_running else 1)
        return with_checksum(struct.pack("<H", self._offset_min) + int24(status))

    def set_start_time(self, value: bytes) -> None:
        """Store a value that was written to 0x2AAA."""
        if with_checksum(value[:-2]) != value:
            raise ATT_Error(_INVALID_CRC)
        self.start_time = value

    def answer(self, request: bytes) -> bytes:
        """Execute a request to the CGM Specific Ops Control Point (0x2AAC); return the response."""
        opcode = request[0] if request else 0
        if len(request) < 3 or with_checksum(request[:-2]) != request:
            result = _INVALID_OPERAND
        elif opcode == _GET_INTERVAL:
            return with_checksum(bytes([_INTERVAL, self._interval_min]))
        else:
            result = self._execute(opcode, request[1:-2])
        return with_checksum(bytes([_RESPONSE, opcode, result]))

    def _execute(self, opcode: int, operand: bytes) -> int:
        if opcode in (_START, _STOP):
            self._is_running = opcode == _START
            return _SUCCESS
        if opcode != _SET_INTERVAL:
            return _NOT_SUPPORTED
        if len(operand) != 1:
            return _INVALID_OPERAND
        if not 1 <= operand[0] <= 60:
            return _OUT_OF_RANGE
        self._interval_min = operand[0]
        return _SUCCESS


def _start_time(moment: datetime) -> bytes:
    """Encode a start time with the time zone UTC+1 and no daylight saving time."""
    return with_checksum(date_time(moment) + struct.pack("<bB", 4, 0))


def continuous_glucose(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a monitor that reads every ``period`` seconds and stores readings."""
    return (sensor_part(Sensor(rng), period),)


def sensor_part(sensor: Sensor, period: float) -> Part:
    """Return the service of this sensor, which reads every ``period`` seconds while linked."""
    stored, live = sensor.measurement, paced(sensor.readings, period)
    access = RecordAccess(lambda: sensor.records, [stored])
    ops = ControlPoint(0x2AAC, sensor.answer)
    measurement = notifying(0x2AA7)
    place = _SUBCUTANEOUS << 4 | _INTERSTITIAL_FLUID
    feature = with_checksum(int24(_FEATURES) + bytes([place]))
    return Part(
        service(
            0x181F,
            [
                measurement,
                readable(0x2AA8, feature),
                readable(0x2AA9, lambda: sensor.status),
                writeable(0x2AAA, sensor.set_start_time, read=lambda: sensor.start_time),
                readable(0x2AAB, with_checksum(struct.pack("<H", _RUN_TIME_H))),
                access.characteristic,
                ops.characteristic,
            ],
        ),
        {
            measurement: stored.merged_with(live),
            access.characteristic: access.answers,
            ops.characteristic: ops.feed.payloads,
        },
        advertised=True,
    )
