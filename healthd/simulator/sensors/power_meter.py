"""A power meter with wheel and crank: GATT service 0x1818."""

import math
import random
import struct
from collections.abc import Iterable

from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.feed import ControlPoint, paced
from healthd.simulator.part import Part
from healthd.simulator.sensors.answers import Result, response
from healthd.simulator.sensors.bicycle import Bicycle
from healthd.simulator.strap import Battery, battery_part_with_status
from healthd.simulator.wander import Wander

# Flags of the measurement: balance (of the left leg), torque (at the crank), wheel, crank, energy.
_FLAGS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 11
# Bits of the feature: balance, torque, wheel, crank, energy, offset compensation, crank length.
_FEATURES = sum(1 << bit for bit in (0, 1, 2, 3, 7, 9, 12))
# The wheel's ticks are 1/2048 s, unlike those of all other counters.
_WHEEL_TICKS_PER_S, _CRANK_TICKS_PER_S = 2048, 1024
_TORQUE_PER_NM = 32
# Flags of the vector: crank data, first angle, torques; tangential direction.
_VECTOR_FLAGS = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4
_TORQUES_IN_VECTOR = 12
_SPIDER = 15
_SET_WHEEL, _SET_LENGTH, _GET_LENGTH, _COMPENSATE, _RESPONSE = 0x01, 0x04, 0x05, 0x0C, 0x20
# In half millimetres: 172.5 mm, and the range of lengths that exist.
_CRANK_LENGTH, _CRANK_LENGTHS = 345, range(300, 381)


class PowerMeter:
    """A power meter on a bicycle."""

    def __init__(self, rng: random.Random) -> None:
        """Start while riding.

        Args:
            rng: The random generator.
        """
        self._bicycle = Bicycle(rng)
        self._left_pct = Wander(rng, 51.0, 0.7)
        self._crank_length = _CRANK_LENGTH
        self._last_vector = self._bicycle.crank.count

    def measurements(self, elapsed: float) -> Iterable[bytes]:
        """Generate the next Cycling Power Measurement (0x2A63)."""
        bicycle = self._bicycle
        bicycle.ride(elapsed)
        yield struct.pack(
            "<HhBHIHHHH",
            _FLAGS,
            round(bicycle.power_w),
            round(self._left_pct.step(elapsed) * 2),
            int(bicycle.torque_nm * _TORQUE_PER_NM) % 0x10000,
            bicycle.wheel.count % (1 << 32),
            bicycle.wheel.event(_WHEEL_TICKS_PER_S),
            bicycle.crank.count % 0x10000,
            bicycle.crank.event(_CRANK_TICKS_PER_S),
            int(bicycle.energy_kj) % 0x10000,
        )

    def vectors(self, _elapsed: float) -> Iterable[bytes]:
        """Generate a Cycling Power Vector (0x2A64) if the crank has turned since the last one."""
        crank = self._bicycle.crank
        if crank.count == self._last_vector:
            return
        self._last_vector = crank.count
        # The legs push in turn, so the torque varies with twice the crank's angle. It is negative
        # where the pushing leg lifts the other one.
        angles = (2 * math.pi * step / _TORQUES_IN_VECTOR for step in range(_TORQUES_IN_VECTOR))
        mean = self._bicycle.mean_torque_nm
        torques = [
            round(mean * (1.0 - 1.1 * math.cos(2 * angle)) * _TORQUE_PER_NM) for angle in angles
        ]
        head = (_VECTOR_FLAGS, crank.count % 0x10000, crank.event(_CRANK_TICKS_PER_S), 0)
        yield struct.pack(f"<BHHH{len(torques)}h", *head, *torques)

    def answer(self, request: bytes) -> bytes:
        """Execute a request to the Cycling Power Control Point (0x2A66); return the response."""
        result, parameter = self._execute(request[:1], request[1:])
        return response(_RESPONSE, request, result, parameter)

    def _execute(self, opcode: bytes, parameter: bytes) -> tuple[Result, bytes]:
        if opcode == bytes([_GET_LENGTH]):
            return Result.SUCCESS, struct.pack("<H", self._crank_length)
        if opcode == bytes([_COMPENSATE]):
            # The torque measured without a load, in 1/32 Nm.
            return Result.SUCCESS, struct.pack("<h", 41)
        if opcode == bytes([_SET_LENGTH]):
            length = int.from_bytes(parameter, "little")
            if len(parameter) != 2 or length not in _CRANK_LENGTHS:
                return Result.INVALID_PARAMETER, b""
            self._crank_length = length
            return Result.SUCCESS, b""
        if opcode == bytes([_SET_WHEEL]):
            if len(parameter) != 4:
                return Result.INVALID_PARAMETER, b""
            self._bicycle.wheel.count = int.from_bytes(parameter, "little")
            return Result.SUCCESS, b""
        return Result.NOT_SUPPORTED, b""


def cycling_power(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return a power meter: a measurement every ``period`` seconds, a vector per revolution."""
    meter = PowerMeter(rng)
    measurement, vector = notifying(0x2A63), notifying(0x2A64)
    control = ControlPoint(0x2A66, meter.answer)
    feature = readable(0x2A65, struct.pack("<I", _FEATURES))
    location = readable(0x2A5D, bytes([_SPIDER]))
    part = Part(
        service(0x1818, [measurement, feature, location, vector, control.characteristic]),
        {
            measurement: paced(meter.measurements, period),
            vector: paced(meter.vectors, period),
            control.characteristic: control.feed.payloads,
        },
        advertised=True,
    )
    return part, battery_part_with_status(Battery(78))
