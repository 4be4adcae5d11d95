"""Machines that are controlled by requests, end to end: seen at the machine and at the broker."""

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
from tests.end_to_end.asking import Asker
from tests.end_to_end.fetching import add, address, info, live
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

STATUS = "fitness_machine_status"
EVENTS = "healthd/gateway/event/control"


class Gateway:
    """The daemon, and those who ask it for something."""

    def __init__(self, stop: asyncio.Event, subscriber: Subscriber) -> None:
        self._asker = Asker(subscriber)
        self._subscriber = subscriber
        self.stop = stop

    async def ask(self, verb: str, **keys: object) -> Mapping[str, Any]:
        told = await self._asker.ask(verb, {"peripheral": "machine", **keys})
        if told["status"] == "error":
            raise RequestRefused(told["error"])
        return told["data"]

    def told(self) -> list[dict[str, Any]]:
        return [one.json() for one in self._subscriber.at(EVENTS)]

    async def until_told(self, change: str) -> None:
        await self._subscriber.until(
            lambda _: change in [one["change"] for one in self.told()],
        )


@asynccontextmanager
async def gateway(
    subscriber: Subscriber, settings: dict[str, Any], part: Part, **control: object
) -> AsyncGenerator[tuple[Gateway, VirtualPeripheral]]:
    """A machine that streams, linked by the daemon; on leaving the daemon has stopped."""
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
            yield Gateway(stop, subscriber), machine
        finally:
            stop.set()
    await subscriber.until_payload("healthd/gateway/status", b"offline")
    conform(subscriber.messages)


async def test_a_trainer_whose_controller_dies_is_released(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    bike = Bike(random.Random(1))
    async with gateway(subscriber, settings, bike_part(bike, 0.1), lease="1s") as (one, _):
        assert await one.ask("set_target_power", power_w=300) == {"power_w": 300, "lease_s": 1.0}
        assert bike.target_w == 300
        await subscriber.until(lambda all_: info(all_, "machine").get("controlled"))
        await one.until_told("released")
        assert (bike.target_w, bike.control.permitted) == (None, False)
        await subscriber.until(lambda all_: info(all_, "machine")["controlled"] is False)
        # What the machine itself says of it.
        await subscriber.until(lambda _: len(live(subscriber, "machine", STATUS)) == 3)
        assert [told["name"] for told in live(subscriber, "machine", STATUS)] == [
            "target_power_changed",
            "indoor_bike_simulation_changed",
            "reset",
        ]
    assert [(told["change"], told.get("reason")) for told in one.told()] == [
        ("granted", None),
        ("set", None),
        ("released", "lease"),
    ]


async def test_limits_are_those_of_the_settings_and_of_the_machine(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    bike = Bike(random.Random(1))
    part = bike_part(bike, 0.1)
    async with gateway(subscriber, settings, part, power_w=[50, 2000]) as (one, _):
        said = "machine: power_w is 1200, expected 50 to 1000: the settings allow 50 to 2000, the"
        with pytest.raises(RequestRefused, match=said):
            await one.ask("set_target_power", power_w=1200)
        assert not bike.control.permitted
        await one.until_told("refused")


async def test_a_trainer_is_released_when_healthd_stops(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    bike = Bike(random.Random(1))
    async with gateway(subscriber, settings, bike_part(bike, 0.1)) as (one, machine):
        await one.ask("set_simulation", grade_pct=4)
        assert bike.road.grade_pct == 4
        commands: list[tuple[bytes, bool]] = []
        bike.control.record = lambda request: commands.append((request, machine.linked.is_set()))
        one.stop.set()
        await machine.unlinked.wait()
        assert [request.hex() for request, _ in commands] == ["11000000002833", "01"]
        assert bike.road.grade_pct == 0
    assert [told["change"] for told in one.told()] == ["granted", "set", "released"]
    assert one.told()[-1]["reason"] == "hang_up"


async def test_a_treadmill_is_moved_within_limits_of_its_own_alone(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    treadmill = Treadmill(random.Random(1))
    part = treadmill_part(treadmill, 0.1)
    async with gateway(subscriber, settings, part, inclination_pct=[0, 6]) as (one, _):
        for verb, keys in (("start", {}), ("set_target_speed", {"speed_mps": 1.0})):
            with pytest.raises(
                RequestRefused, match=r"the settings have no control\.speed_mps for it"
            ):
                await one.ask(verb, **keys)
        assert not treadmill.control.permitted
        await one.ask("set_target_inclination", inclination_pct=6.0)
        assert treadmill.incline_pct == 6
        await one.ask("stop")
        assert (treadmill.workout.running, treadmill.control.permitted) == (False, False)
        await one.until_told("released")
