"""Advertisements of very many devices that do not exist: random addresses, random names."""

import asyncio
import random

from bumble.core import UUID, AdvertisingData
from bumble.data_types import CompleteListOf16BitServiceUUIDs, CompleteLocalName

from healthd.simulator.air import Air

_BURST = 10
_LETTERS = "abcdefg \x1b\u202e\u200b🙂*?[]\"'"


async def spam(air: Air, rng: random.Random, per_s: float) -> None:
    """Advertise until this is cancelled, each time as another device."""
    while True:
        for _ in range(_BURST):
            air.transmit(_address(rng), _data(rng))
        await asyncio.sleep(_BURST / per_s)


def _address(rng: random.Random) -> str:
    return bytes([0xC0 | rng.randrange(64), *rng.randbytes(5)]).hex(":").upper()


def _data(rng: random.Random) -> bytes:
    name = "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(8))).encode()[:20]
    uuid = CompleteListOf16BitServiceUUIDs(
        [UUID.from_16_bits(rng.choice((0x180D, 0x1826, 0x1808)))]
    )
    return bytes(AdvertisingData([uuid, CompleteLocalName(name.decode(errors="ignore"))]))
