"""A cuff of Yonker: the pressure while it measures, then the result with the time of its clock.

Sources: derdilla/blood-pressure-monitor-fl (issue 615 and the test of its decoder), and the test of
the decoder of the app EverCare.
"""

import random
import struct
from collections.abc import AsyncGenerator

from healthd.simulator.attributes import notifying, service
from healthd.simulator.feed import Ticker
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.part import Part

_SERVICE = "cdeacd80-5235-4c07-8846-93a37ee6b86d"
_MEASUREMENT = "cdeacd81-5235-4c07-8846-93a37ee6b86d"

_PRESSURE, _RESULT = 0x80, 0x81
_CENTURY = 2000
# It sends the falling pressure some times before each result.
_PRESSURES_PER_RESULT = 8
_HIGHEST_MMHG, _STEP_MMHG = 180, 15


def yonker(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the part of a cuff that measures every ``period`` seconds."""
    clock = DeviceClock()

    def result() -> bytes:
        now = clock.now()
        values = rng.randint(112, 134), rng.randint(70, 86), rng.randint(58, 78)
        date = now.year - _CENTURY, now.month, now.day, now.hour, now.minute
        return bytes([_RESULT, *values, 0, 0, *date, 0, 0, 0, 0])

    async def payloads() -> AsyncGenerator[bytes, None]:
        # On each link it first sends the last result again.
        last = result()
        yield last
        ticker = Ticker(period / _PRESSURES_PER_RESULT)
        while True:
            for step in range(_PRESSURES_PER_RESULT):
                await ticker.tick()
                yield struct.pack(">BH", _PRESSURE, _HIGHEST_MMHG - step * _STEP_MMHG)
            yield result()

    measurement = notifying(_MEASUREMENT)
    return (Part(service(_SERVICE, [measurement]), {measurement: payloads}, advertised=True),)
