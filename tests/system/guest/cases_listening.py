"""Peripherals that only advertise, through the kernel's Bluetooth and BlueZ."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from tests.system.guest import frames, vm
from tests.system.guest.broadcasters import Broadcaster, Crowd, named
from tests.system.guest.case import case
from tests.system.guest.hearing import Duplicates, Kind
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import SERVICE, START_S, World

# More starves an emulated machine: each one takes bluetoothd, D-Bus and Python 15 ms.
_FOREIGN_PER_S = 50.0
_WEIGHING_TIMES, _WEIGHING_EVERY_S = 40, 0.15
# How long the bike shows a value. It is longer where the kernel gets each value only once: if
# bluetoothd does not run in between, it passes only the next one on.
_SHOWN_S, _SHOWN_ONCE_S = 0.8, 2.4
# A weighing is over when nothing has followed for 1.5 s, and a sample is on its way.
_ARRIVES_S = 15.0
# Of the band: as with a phone, the address changes.
_PRIVATE = ("4A:00:00:00:00:01", "5B:00:00:00:00:02", "6C:00:00:00:00:03")
_SETTINGS = """
[[peripherals]]
id = "scale"
address = "C8:00:00:00:00:01"
connect = false

[[peripherals]]
id = "bike"
name = "M3"

[[peripherals]]
id = "band"
service = "mi_band"

[[peripherals]]
id = "thermometer"
address = "C8:00:00:00:00:04"
connect = false
"""


class _Devices:
    """The devices of the settings above."""

    def __init__(self, world: World) -> None:
        self.scale = Broadcaster(world.radio, "C8:00:00:00:00:01", kind=Kind.CONNECTABLE)
        self.bike = Broadcaster(world.radio, "C8:00:00:00:00:02", kind=Kind.SCANNABLE)
        self.band = Broadcaster(world.radio, _PRIVATE[0])
        self.thermometer = Broadcaster(world.radio, "C8:00:00:00:00:04")
        self.last_of_scale = b""

    async def weigh(self, kg: float, times: int = _WEIGHING_TIMES) -> None:
        """Weigh a person, who then steps off."""
        payloads = frames.weighing(kg, datetime.now(UTC), times=times)
        self.last_of_scale = payloads[-1]
        await self.scale.advertise_all(payloads, every_s=_WEIGHING_EVERY_S, times=1)

    async def ride(self, watts: Iterable[int], shown_s: float = _SHOWN_S) -> None:
        """Ride the bike; it shows each power for a moment, in four advertisements."""
        await self.bike.advertise_all(map(frames.ride, watts), every_s=shown_s / 4, times=4)

    async def wear(self, rates: Iterable[int]) -> None:
        """Wear the band: heart rate and steps in turn, from an address that changes."""
        for number, rate in enumerate(rates):
            self.band.address = _PRIVATE[min(number // 2, len(_PRIVATE) - 1)]
            both = (frames.band_heart_rate(rate), frames.band_steps(rate))
            await self.band.advertise_all(both * 2, times=1)


@case()
async def listening(world: World) -> None:
    """Among fifty foreign advertisements a second no value is missed; a weighing has one result."""
    await _replug_as_dual(world)
    devices = _Devices(world)
    world.configure(more=_SETTINGS)
    await world.start()
    await until(lambda: world.radio.scans, "healthd scans", START_S)
    async with _foreign_devices(world):
        # At first without the name by which the bike is recognised.
        await devices.ride([1, 2])
        devices.bike.response = named("M3")
        temperatures = map(frames.temperature, (366, 371))
        await asyncio.gather(
            devices.weigh(71.3),
            devices.ride(range(3, 9)),
            devices.wear(range(60, 66)),
            devices.thermometer.advertise_all(temperatures),
        )
        await has_arrived(world, "bike keiser_bike power_w", range(3, 9))
        await has_arrived(world, "band heart_rate heart_rate_bpm", range(60, 66))
        await has_arrived(world, "band steps step_count", range(60, 66))
        await has_arrived(world, "thermometer body_temperature temperature_c", (36.6, 37.1))
        await has_arrived(world, "scale weight weight_kg", [71.3])
        # From now on the kernel gets each value once.
        world.radio.hearing.duplicates = Duplicates.SAME_DATA
        await asyncio.gather(devices.weigh(72.4), devices.ride(range(9, 12), _SHOWN_ONCE_S))
        await has_arrived(world, "bike keiser_bike power_w", range(3, 12))
        await has_arrived(world, "scale weight weight_kg", [71.3, 72.4])
    await _known_values_are_not_news(world, devices)
    await _addresses_are_filtered(world, devices)


async def _known_values_are_not_news(world: World, devices: _Devices) -> None:
    """Restart healthd while BlueZ still has the last values, which then come again, too."""
    # Without that it would forget the scale after 30 s, which a slow machine needs for the restart.
    await vm.keep_device(devices.scale.address)
    await vm.run("systemctl", "restart", "--no-block", SERVICE)
    await until(lambda: not world.radio.scans, "healthd stops")
    await until(lambda: world.radio.scans, "healthd scans again", START_S)
    if await vm.device_property(devices.scale.address, "ServiceData") is None:
        raise Failed("the fault did not happen: BlueZ has forgotten the scale")
    world.radio.hearing.duplicates = Duplicates.REPORTED
    await devices.ride([20, 21])
    await has_arrived(world, "bike keiser_bike power_w", [*range(3, 12), 20, 21])
    if world.broker.state("scale").get("state") == "streaming":
        raise Failed("healthd takes the old value of the silent scale for a new one")
    await asyncio.gather(
        devices.ride([22, 23]), devices.scale.advertise_all([devices.last_of_scale])
    )
    await has_arrived(world, "bike keiser_bike power_w", [*range(3, 12), *range(20, 24)])
    await has_arrived(world, "scale weight weight_kg", [71.3, 72.4])


async def _addresses_are_filtered(world: World, devices: _Devices) -> None:
    """Weigh where the kernel gets one value of each device in ten seconds."""
    hearing = world.radio.hearing
    hearing.duplicates = Duplicates.SAME_ADDRESS
    devices.scale.reported.clear()
    await devices.weigh(73.5, _WEIGHING_TIMES // 2)
    hearing.duplicates = Duplicates.REPORTED
    reported = sum(devices.scale.reported.values())
    if not 0 < reported <= 2:
        raise Failed(f"the fault did not happen: {reported} values of the scale were reported")
    await devices.ride([30, 31])
    await has_arrived(world, "bike keiser_bike power_w", [*range(3, 12), *range(20, 24), 30, 31])
    weights = values_of(world, "scale weight weight_kg")
    if weights not in ([71.3, 72.4], [71.3, 72.4, 73.5]):
        raise Failed(f"expected the third weighing at most in addition, found {weights}")


async def _replug_as_dual(world: World) -> None:
    """Replace the adapter by one that supports BR/EDR, too, as most do."""

    async def is_gone() -> bool:
        return await vm.adapter_is_powered() is None

    await world.radio.unplug()
    await until(is_gone, "BlueZ has no adapter")
    await world.radio.plug(is_dual=True)
    await until(vm.adapter_is_powered, "BlueZ powers the adapter")


@asynccontextmanager
async def _foreign_devices(world: World) -> AsyncGenerator[None]:
    """Let foreign devices advertise while the block runs."""
    crowd = Crowd(world.radio)
    task = asyncio.create_task(crowd.advertise(_FOREIGN_PER_S), name="foreign devices")
    began_at = time.monotonic()
    try:
        yield
    finally:
        task.cancel()
        per_second = crowd.reported / (time.monotonic() - began_at)
        world.notes.append(f"{per_second:.0f} foreign advertisements a second were reported")


async def has_arrived(world: World, place: str, expected: Iterable[float]) -> None:
    """Check that these values have arrived, in this order and each once.

    Args:
        world: the environment of the case.
        place: peripheral, stream and key.
        expected: all values since the beginning.
    """
    values = list(expected)
    with suppress(Failed):  # what has arrived says more
        await until(lambda: len(values_of(world, place)) >= len(values), place, _ARRIVES_S)
    if (found := values_of(world, place)) != values:
        raise Failed(f"{place}: expected {values}, found {found}")


def values_of(world: World, place: str) -> list[float]:
    """Return all values of a key that have arrived; repeated deliveries count once."""
    peripheral, stream, key = place.split()
    samples = {sample["id"]: sample[key] for sample in world.results[peripheral, stream]}
    return list(samples.values())
