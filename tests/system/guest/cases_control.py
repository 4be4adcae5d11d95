"""A machine that is controlled by requests, through the real BlueZ and the real broker."""

import json
import random
from typing import Any

from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import heart_rate_part
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.straps import NumberedHeart
from tests.system.guest.subscriber import GATEWAY
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import World

_POWER_W = 240
_SETTINGS = '[mqtt]\nrequests = ["set_target_power", "scan"]'
_LEASE = '[peripherals.control]\npower_w = [0, 400]\nlease = "5s"'
# Control is asked for, the target set, the lease run out, and three steps of a release.
_RELEASED_S = 40.0
# Ten seconds of listening, and an answer.
_SCAN_S = 40.0


@case()
async def trainer_is_released(world: World) -> None:
    """A trainer follows a request, within limits, and rides free when no more come."""
    bike = Bike(random.Random(1))

    def trainer(
        name: str, address: str, heart: NumberedHeart, *, period: float, record: Any
    ) -> VirtualPeripheral:
        parts = (heart_rate_part(heart, period), bike_part(bike, period))
        return VirtualPeripheral(name, address, parts, record=record)

    one = await world.strap("trainer", build=trainer)
    world.configure(more=_SETTINGS, own={"trainer": _LEASE})
    await world.start()
    await world.streaming(one)
    refused = await _asked(world, "set_target_power", peripheral="trainer", power_w=500)
    if refused["status"] != "error" or "0 to 400" not in refused["error"] or bike.target_w:
        raise Failed(f"500 W are beyond the limit, found {refused} and {bike.target_w}")
    told = await _asked(world, "set_target_power", peripheral="trainer", power_w=_POWER_W)
    if told["status"] != "ok" or bike.target_w != _POWER_W:
        raise Failed(f"expected a target of {_POWER_W} W, found {told} and {bike.target_w}")
    await until(
        lambda: bike.target_w is None and not bike.control.permitted,
        "the trainer rides free",
        _RELEASED_S,
    )
    await world.streaming(one)


@case()
async def scan_on_request(world: World) -> None:
    """Asked for over MQTT, a scan hears who is there, beside links that stream on."""
    one = await world.strap("linked")
    world.configure([one], more=_SETTINGS)
    await world.start()
    await world.streaming(one)
    new = await world.strap("new")
    told = await _asked(world, "scan", seconds=6)
    heard = [found["address"] for found in told.get("data", {}).get("found", [])]
    if new.address not in heard:
        raise Failed(f"expected {new.id} to be heard, found {told}")
    if ends := world.radio.end_times(one.address):
        raise Failed(f"the other one's link has ended {len(ends)} times")
    await world.streaming(one)


async def _asked(world: World, verb: str, **request: Any) -> dict[str, Any]:
    """The response to a request, by MQTT 3.1.1's way."""
    where = f"response/{verb}"
    world.broker.retained.pop(where, None)
    topic = f"healthd/{GATEWAY}/request/{verb}"
    await vm.run("mosquitto_pub", "-q", "1", "-t", topic, "-m", json.dumps(request))
    await until(lambda: where in world.broker.retained, f"a response to {verb}", _SCAN_S)
    return json.loads(world.broker.retained[where])
