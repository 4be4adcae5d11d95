"""A scale on the simulated radio that stays linked, and on which a test puts weights."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from typing import Any

from healthd.simulator.attributes import indicating, service
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.simulated_gateway import BOUND_S, address
from tests.support.subscriber import Subscriber

WEIGHT = "healthd/gateway/device/scale/weight"


class Scale:
    """The scale; its id in the settings is ``scale``, and its address that of device 4."""

    def __init__(self) -> None:
        self._weights: asyncio.Queue[float] = asyncio.Queue()
        weight = indicating(0x2A9D)
        part = Part(service(0x181D, [weight]), {weight: self._packets}, advertised=True)
        self.device = VirtualPeripheral("Scale", address(4), [part])

    async def _packets(self) -> AsyncGenerator[bytes, None]:
        while True:
            yield struct.pack("<BH", 0, round(await self._weights.get() * 200))

    async def weigh(self, kg: float, subscriber: Subscriber) -> dict[str, Any]:
        """Put a weight on the scale, and return the sample that it becomes."""
        before = len(subscriber.at(WEIGHT))
        self._weights.put_nowait(kg)
        await subscriber.until(lambda _: len(subscriber.at(WEIGHT)) > before, BOUND_S)
        return subscriber.at(WEIGHT)[-1].json()
