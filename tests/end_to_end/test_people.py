"""People in the settings of a running daemon: results change, links do not."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from healthd.settings.model import Settings
from healthd.simulator.attributes import indicating, service
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.reload_rig import BOUND_S, ReloadRig, entry, of_healthd, retained, topic
from tests.end_to_end.simulated_gateway import address
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

ANNA = '[[people]]\nid = "anna"\nweight_kg = {}'
WEIGHT, OF_ANNA = topic("scale", "weight"), topic("scale", "person/anna/weight")


class Scale:
    """A scale that stays linked, and on which a test puts weights."""

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


async def test_people_come_change_and_go_while_the_scale_stays_linked(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    rig, scale = ReloadRig(tmp_path, settings, entry("scale", 4)), Scale()
    (broker,) = Settings.model_validate(settings).mqtt.brokers
    assert broker.port is not None
    async with rig.running(None, scale.device):
        assert "person" not in await scale.weigh(61.4, subscriber)
        rig.append(ANNA.format(62))
        await rig.reload()
        assert (await scale.weigh(61.5, subscriber))["person"] == "anna"
        assert OF_ANNA in await retained(broker.port)
        rig.write(settings, entry("scale", 4))
        rig.append(ANNA.format(70))
        await rig.reload()
        assert (await scale.weigh(61.6, subscriber))["unattributed"] == "no_match"
        assert (await scale.weigh(69.0, subscriber))["person"] == "anna"
        # Bad settings change nothing.
        rig.append("tolerance_kg = 0")
        await rig.reload()
        assert (await scale.weigh(69.1, subscriber))["person"] == "anna"
        rig.write(settings, entry("scale", 4))
        await rig.reload()
        await subscriber.until_payload(OF_ANNA, b"")
        assert "person" not in await scale.weigh(69.2, subscriber)
        assert OF_ANNA not in await retained(broker.port)
        assert scale.device.links == 1
    assert conform(of_healthd(subscriber)) >= {"weight", "person_weight"}
    assert not [line for line in rig.log if line["log_level"] != "debug" and "anna" in str(line)]
