"""A QardioArm: a cuff of Blood Pressure (0x1810) that does nothing until it is started."""

import asyncio
import random
import struct
from collections.abc import AsyncGenerator, Callable

from healthd.simulator.attributes import notifying, readable, service, writeable
from healthd.simulator.numbers import sfloat
from healthd.simulator.part import Part

CONTROL = "583cb5b3-875d-40ed-9098-c39eb0c1983d"

_START, _STOP = b"\xf1\x01", b"\xf1\x02"
# Status and pulse rate are not in its packets.
_FLAGS = 0
_FEATURES = 0
# Inflated in so many steps, up to this pressure.
_STEPS, _HIGHEST_MMHG = 8, 168
# Below this charge it sends nonsense.
_EMPTY_PCT = 10
_NONSENSE = struct.pack("<BHHH", _FLAGS, 0x071F, 0x002B, 0)
_GIVEN_UP = struct.pack("<BHHH", _FLAGS, 0x07FF, 0x0002, 0)


class Arm:
    """The cuff, and the arm that it is on.

    Attributes:
        battery_pct: Its charge.
        pressing: Whether it inflates at the moment.
        starts: How often it has been started.
        record: Called with every command.
        results: What it has measured, systolic and diastolic.
    """

    def __init__(
        self,
        rng: random.Random,
        period: float,
        *,
        battery_pct: int = 80,
        starts_itself: bool = False,
    ) -> None:
        """Lie on the table.

        Args:
            rng: The random generator.
            period: Seconds that a measurement takes.
            battery_pct: Its charge.
            starts_itself: Whether it measures again and again without being asked, which the real
                one never does: for a demo, in which there is no one to ask.
        """
        self._rng = rng
        self._step_s = period / _STEPS
        self._period = period
        self.battery_pct = battery_pct
        self.pressing = False
        self.starts = 0
        self.record: Callable[[bytes], None] = lambda _: None
        self.results: list[tuple[int, int]] = []
        self._starts_itself = starts_itself
        self._wanted = asyncio.Event()

    def write(self, command: bytes) -> None:
        """Obey a command."""
        self.record(command)
        if command == _START:
            self.starts += 1
            self._wanted.set()
        elif command == _STOP:
            self._wanted.clear()

    async def measurements(self) -> AsyncGenerator[bytes, None]:
        """Generate the pressures while it inflates, and then the result; nothing until it starts.

        A cuff that is stopped gives up.
        """
        while True:
            if self._starts_itself:
                # Longer than the quiet after which a result counts.
                await asyncio.sleep(max(self._period, 2.0))
                self._wanted.set()
            await self._wanted.wait()
            self.pressing = True
            for step in range(1, _STEPS + 1):
                await asyncio.sleep(self._step_s)
                if not self._wanted.is_set():
                    break
                yield bytes([_FLAGS]) + sfloat(_HIGHEST_MMHG * step // _STEPS, 0) + bytes(4)
            if not self._wanted.is_set():
                yield _GIVEN_UP
            elif self.battery_pct < _EMPTY_PCT:
                yield _NONSENSE
            else:
                yield self._result()
            self.pressing = False
            self._wanted.clear()

    def _result(self) -> bytes:
        upper, lower = self._rng.randint(112, 134), self._rng.randint(70, 86)
        self.results.append((upper, lower))
        mean = lower + (upper - lower) // 3
        return bytes([_FLAGS]) + b"".join(sfloat(value, 0) for value in (upper, lower, mean))


def arm_parts(arm: Arm) -> tuple[Part, ...]:
    """Return the parts of this cuff."""
    result = notifying(0x2A35)
    control = writeable(CONTROL, arm.write)
    part = Part(
        service(0x1810, [result, readable(0x2A49, struct.pack("<H", _FEATURES)), control]),
        {result: arm.measurements},
        advertised=True,
    )
    battery = service(0x180F, [readable(0x2A19, lambda: bytes([arm.battery_pct]))])
    return part, Part(battery)


def qardio(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a QardioArm that measures every few seconds by itself, for a demo."""
    return arm_parts(Arm(rng, period, starts_itself=True))
