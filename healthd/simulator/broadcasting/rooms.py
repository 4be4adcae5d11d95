"""A room sensor of the BTHome format, version 2.

Source of the layout: bthome.io/format.
"""

import random
import struct
from collections.abc import AsyncGenerator

from healthd.simulator.broadcaster import Frame, Frames
from healthd.simulator.feed import Ticker
from healthd.simulator.wander import Wander

# Version 2 in the upper three bits; neither encrypted nor triggered by an event.
_DEVICE = bytes([2 << 5])
_PACKET, _BATTERY, _TEMPERATURE, _HUMIDITY = 0x00, 0x01, 0x02, 0x03
_BATTERY_PCT = 88


def bthome(rng: random.Random, period: float) -> Frames:
    """Return temperature and humidity of a room every ``period`` seconds."""

    async def frames() -> AsyncGenerator[Frame, None]:
        packet, ticker = rng.randrange(256), Ticker(period)
        room_c, humidity = Wander(rng, 21.0, 0.5), Wander(rng, 45.0, 3.0)
        while True:
            elapsed = await ticker.tick()
            packet = (packet + 1) % 0x100
            objects = struct.pack(
                "<BBBBBhBH",
                _PACKET,
                packet,
                _BATTERY,
                _BATTERY_PCT,
                _TEMPERATURE,
                round(room_c.step(elapsed) * 100),
                _HUMIDITY,
                round(humidity.step(elapsed) * 100),
            )
            yield {"service_data_fcd2": _DEVICE + objects}

    return frames
