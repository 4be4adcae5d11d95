"""Machines controlled by requests, end to end: checked at the machine and at the broker."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.fitness.bike import Bike, bike_part
from healthd.simulator.fitness.treadmill import Treadmill, treadmill_part
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.verbs import REQUESTS, RequestRefused
from tests.end_to_end.requester import Requester
from tests.end_to_end.simulated_gateway import add, address, info, live
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

STATUS = "fitness_machine_status"
EVENTS = "healthd/gateway/event/control"


class Client:
    """A client that sends requests to the daemon; ``stop`` stops the daemon."""

    def __init__(self, stop: asyncio.Event, subscriber: Subscriber) -> None:
        self._requester = Requester(subscriber)
        self._subscriber = subscriber
        self.stop = stop

    async def request(self, verb: str, **keys: object) -> Mapping[str, Any]:
        response = await self._requester.request(verb, {"peripheral": "machine", **keys})
        if response["status"] == "error":
            raise RequestRefused(response["error"])
        return response["data"]

    def events(self) -> list[dict[str, Any]]:
        return [message.json() for message in self._subscriber.at(EVENTS)]

    async def until_event(self, change: str) -> None:
        await self._subscriber.until(
            lambda _: change in [event["change"] for event in self.events()],
        )


@asynccontextmanager
async def gateway(
    subscriber: Subscriber, settings: dict[str, Any], part: Part, **control: object
) -> AsyncGenerator[tuple[Client, VirtualPeripheral]]:
    """Run the daemon with a machine that streams; after the block the daemon has stopped."""
    entry = {"id": "machine", "address": address(1), "control": control}
    mqtt = {**settings["mqtt"], "requests": list(REQUESTS)}
    whole = Settings.model_validate({**settings, "mqtt": mqtt, "peripherals": [entry]})
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        backends = Backends(air.scanner_backend, air.client_backend)
        tasks.create_task(Daemon(whole, registry.load(), {}, backends).run(stop))
        try:
            machine = VirtualPeripheral("Machine", address(1), [part])
            await add(air, machine)
            streams = ("indoor_bike", "treadmill")
            await subscriber.until(
                lambda _: any(live(subscriber, "machine", one) for one in streams)
            )
            # Samples may arrive before the machine can be controlled.
            await subscriber.until(lambda all_: info(all_, "machine").get("state") == "streaming")
            yield Client(stop, subscriber), machine
        finally:
            stop.set()
    await subscriber.until_payload("healthd/gateway/status", b"offline")
    conform(subscriber.messages)


async def test_a_trainer_whose_controller_dies_is_released(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    bike = Bike(random.Random(1))
    async with gateway(subscriber, settings, bike_part(bike, 0.1), lease="1s") as (client, _):
        assert await client.request("set_target_power", power_w=300) == {
            "power_w": 300,
            "lease_s": 1.0,
        }
        assert bike.target_w == 300
        await subscriber.until(lambda all_: info(all_, "machine").get("controlled"))
        await client.until_event("released")
        assert (bike.target_w, bike.control.permitted) == (None, False)
        await subscriber.until(lambda all_: info(all_, "machine")["controlled"] is False)
        # What the machine itself reports.
        await subscriber.until(lambda _: len(live(subscriber, "machine", STATUS)) == 3)
        assert [status["name"] for status in live(subscriber, "machine", STATUS)] == [
            "target_power_changed",
            "indoor_bike_simulation_changed",
            "reset",
        ]
    assert [(event["change"], event.get("reason")) for event in client.events()] == [
        ("granted", None),
        ("set", None),
        ("released", "lease"),
    ]


async def test_limits_of_the_settings_and_of_the_machine_apply(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    bike = Bike(random.Random(1))
    part = bike_part(bike, 0.1)
    async with gateway(subscriber, settings, part, power_w=[50, 2000]) as (client, _):
        error = "machine: power_w is 1200, expected 50 to 1000: the settings allow 50 to 2000, the"
        with pytest.raises(RequestRefused, match=error):
            await client.request("set_target_power", power_w=1200)
        assert not bike.control.permitted
        await client.until_event("refused")


async def test_a_trainer_is_released_when_healthd_stops(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    bike = Bike(random.Random(1))
    async with gateway(subscriber, settings, bike_part(bike, 0.1)) as (client, machine):
        await client.request("set_simulation", grade_pct=4)
        assert bike.road.grade_pct == 4
        commands: list[tuple[bytes, bool]] = []
        bike.control.record = lambda request: commands.append((request, machine.linked.is_set()))
        client.stop.set()
        await machine.unlinked.wait()
        assert [request.hex() for request, _ in commands] == ["11000000002833", "01"]
        assert bike.road.grade_pct == 0
    assert [event["change"] for event in client.events()] == ["granted", "set", "released"]
    assert client.events()[-1]["reason"] == "hang_up"


async def test_a_treadmill_needs_limits_in_the_settings(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    treadmill = Treadmill(random.Random(1))
    part = treadmill_part(treadmill, 0.1)
    async with gateway(subscriber, settings, part, inclination_pct=[0, 6]) as (client, _):
        for verb, keys in (("start", {}), ("set_target_speed", {"speed_mps": 1.0})):
            with pytest.raises(
                RequestRefused, match=r"the settings have no control\.speed_mps for it"
            ):
                await client.request(verb, **keys)
        assert not treadmill.control.permitted
        await client.request("set_target_inclination", inclination_pct=6.0)
        assert treadmill.incline_pct == 6
        await client.request("stop")
        assert (treadmill.workout.running, treadmill.control.permitted) == (False, False)
        await client.until_event("released")
