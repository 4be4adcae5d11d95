"""A fitness machine controlled by requests, through the real BlueZ and the real broker."""

import json
import random
from typing import Any

from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import heart_rate_part
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import NumberedHeart, Strap
from tests.system.guest.subscriber import GATEWAY
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import World

_POWER_W = 240
_SETTINGS = '[mqtt]\nrequests = ["set_target_power", "scan"]'
_LEASE = '[peripherals.control]\npower_w = [0, 400]\nlease = "5s"'
# Request control, set the target, wait for the end of the lease, three steps of a release.
_RELEASED_S = 40.0
# Ten seconds of scanning, and an answer.
_SCAN_S = 40.0


@case()
async def requests(world: World) -> None:
    """A trainer follows requests within limits until none comes; a scan on request works, too."""
    bike = Bike(random.Random(1))

    def trainer(
        name: str, address: str, heart: NumberedHeart, *, period: float, record: Any
    ) -> VirtualPeripheral:
        parts = (heart_rate_part(heart, period), bike_part(bike, period))
        return VirtualPeripheral(name, address, parts, record=record)

    strap = await world.strap("trainer", build=trainer)
    world.configure(more=_SETTINGS, own={"trainer": _LEASE})
    await world.start()
    await world.streaming(strap)
    refused = await _response(world, "set_target_power", peripheral="trainer", power_w=500)
    if refused["status"] != "error" or "0 to 400" not in refused["error"] or bike.target_w:
        raise Failed(f"expected 500 W to be refused, found {refused} and {bike.target_w}")
    response = await _response(world, "set_target_power", peripheral="trainer", power_w=_POWER_W)
    if response["status"] != "ok" or bike.target_w != _POWER_W:
        raise Failed(f"expected a target of {_POWER_W} W, found {response} and {bike.target_w}")
    await until(
        lambda: bike.target_w is None and not bike.control.permitted,
        "the trainer is released",
        _RELEASED_S,
    )
    await world.streaming(strap)
    await _scan_finds_another(world, strap)
    await world.streaming(strap)


async def _scan_finds_another(world: World, linked: Strap) -> None:
    new = await world.strap("new")
    response = await _response(world, "scan", seconds=6)
    heard = [found["address"] for found in response.get("data", {}).get("found", [])]
    if new.address not in heard:
        raise Failed(f"expected {new.id} to be heard, found {response}")
    if ends := world.radio.end_times(linked.address):
        raise Failed(f"the link of {linked.id} has ended {len(ends)} times")


async def _response(world: World, verb: str, **request: Any) -> dict[str, Any]:
    """Send a request, and return its response, as with MQTT 3.1.1."""
    response_topic = f"response/{verb}"
    world.broker.retained.pop(response_topic, None)
    topic = f"healthd/{GATEWAY}/request/{verb}"
    await vm.run("mosquitto_pub", "-q", "1", "-t", topic, "-m", json.dumps(request))
    await until(lambda: response_topic in world.broker.retained, f"a response to {verb}", _SCAN_S)
    return json.loads(world.broker.retained[response_topic])
