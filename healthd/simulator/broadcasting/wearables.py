"""Devices on the body that advertise: bands, straps and core thermometers.

Sources of the layouts: Theengs' decoder and ble_monitor's tests (Mi Band), Polar's SDK (heart rate
in its manufacturer data), CORE's "Connectivity Implementation Notes" V3.1.
"""

import random
import struct
from collections.abc import AsyncGenerator

from healthd.simulator.broadcaster import Frame, Frames
from healthd.simulator.feed import Ticker
from healthd.simulator.wander import Wander

_STEPS_PER_S = 1.8
# Mi Band: what follows the heart rate is unused but for its end: a type and the address.
_UNUSED = b"\xff" * 13
# Polar: a block of another kind comes first (bit 6 set, and its length), as from an OH1.
_POLAR_BLOCK = bytes.fromhex("7206") + bytes(6)
_POLAR_HEART_RATE, _POLAR_CONTACT = 1 << 5, 1 << 1
# CORE: version 0; the low half of the status is 4 while it measures.
_CORE_HEAD = bytes([0, 4])


def mi_band(rng: random.Random, period: float) -> Frames:
    """Return heart rates and steps every ``period`` seconds."""
    address = rng.randbytes(6)

    async def frames() -> AsyncGenerator[Frame, None]:
        heart, steps, ticker = Wander(rng, 95.0, 8.0), 0.0, Ticker(period)
        while True:
            elapsed = await ticker.tick()
            steps += elapsed * _STEPS_PER_S
            beats = bytes([2, 2, 1, round(heart.step(elapsed))])
            yield {
                "manufacturer_data_0157": beats + _UNUSED + bytes([3]) + address,
                "service_data_fee0": struct.pack("<I", int(steps)),
            }

    return frames


def polar_broadcast(rng: random.Random, period: float) -> Frames:
    """Return heart rates every ``period`` seconds."""

    async def frames() -> AsyncGenerator[Frame, None]:
        heart, counter, ticker = Wander(rng, 95.0, 8.0), 0, Ticker(period)
        while True:
            beats = round(heart.step(await ticker.tick()))
            counter = (counter + 1) % 8
            head = _POLAR_HEART_RATE | _POLAR_CONTACT | counter << 2
            yield {"manufacturer_data_006b": _POLAR_BLOCK + bytes([head, 0, beats])}

    return frames


def core_broadcast(rng: random.Random, period: float) -> Frames:
    """Return core temperatures every ``period`` seconds."""

    async def frames() -> AsyncGenerator[Frame, None]:
        core_c, ticker = Wander(rng, 37.2, 0.2), Ticker(period)
        while True:
            value = round(core_c.step(await ticker.tick()) * 1000)
            yield {"manufacturer_data_f60b": _CORE_HEAD + struct.pack("<H", value)}

    return frames
