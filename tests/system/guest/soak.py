"""Random faults of every kind for a given time; the process must not grow."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.guest import vm
from tests.system.guest.broadcasters import Broadcaster
from tests.system.guest.case import Case
from tests.system.guest.cases_periodic import meter
from tests.system.guest.hearing import Kind
from tests.system.guest.listened import Ride, Scale
from tests.system.guest.straps import Strap
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import SERVICE, World

_STRAPS = 3
_METER = "meter"
# Shorter than most pauses between faults, so that most runs are not disturbed.
_METER_SETTINGS = 'every = "45s"\nwindow = "40s"'
# Between two faults: long enough to reset every pause between tries.
_CALM_S = (3.0, 10.0)
_OUTAGE_S = (5.0, 20.0)
# healthd restarts a scan that hears nothing after 90 s.
_DEAF_S = 180.0
# A new process still grows: caches fill with the first reconnects.
_WARM_UP = 0.3
_FDS_MORE = 4
_RSS_MORE_KB = 6 << 10

Fault = Callable[[World, list[Strap], random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the service's process.

    Attributes:
        pid: which process.
        fds: how many files and sockets it has open.
        rss_kb: how much memory it has.
    """

    pid: int
    fds: int
    rss_kb: int


def soak_case(seconds: float, seed: int) -> Case:
    """The soak as a case; see `soak`."""

    async def body(world: World) -> None:
        await soak(world, seconds, seed)

    promise = "Whatever goes wrong, and however often, every peripheral streams again."
    # The last fault may begin just before the time is over.
    return Case("soak", body, promise, bound_s=seconds + 300)


async def soak(world: World, seconds: float, seed: int) -> None:
    """Stream from linked, periodic and listened peripherals, and cause one fault after the other.

    Args:
        world: a fresh one.
        seconds: how long.
        seed: the same seed gives the same faults in the same order.

    Raises:
        Failed: a peripheral did not come back, or the process grew.
    """
    world.notes.append(f"seed {seed}")
    chance = random.Random(seed)
    straps = [await world.strap(f"strap-{number}") for number in range(_STRAPS)]
    await world.strap(_METER, build=meter)
    bike, scale = Ride("bike", "C8:00:00:00:00:01"), Scale("scale", "C8:00:00:00:00:02")
    scale.settings = "connect = false"
    world.listen(bike, Broadcaster(world.radio, bike.address))
    world.listen(scale, Broadcaster(world.radio, scale.address, kind=Kind.CONNECTABLE))
    world.configure(own={_METER: _METER_SETTINGS})
    await world.start()
    await world.streaming(*straps, bike)
    began_at = time.monotonic()
    sizes: list[Size] = []
    done: dict[str, list[float]] = {}
    first = chance.sample(FAULTS, len(FAULTS))
    while (elapsed := time.monotonic() - began_at) < seconds:
        # The later part uses a single process, to see whether it grows.
        lasting = elapsed > seconds * _WARM_UP
        allowed = [fault for fault in FAULTS if not (lasting and fault is _kill_healthd)]
        # First each fault once, then at random.
        fault = first.pop() if first else chance.choice(allowed)
        try:
            await fault(world, straps, chance)
            await world.recovered(*straps, bike)
        except Failed as finding:
            raise Failed(f"{elapsed:.0f} s, fault {fault.__name__}: {finding}") from None
        done.setdefault(fault.__name__.strip("_"), []).append(world.recovery_s or 0.0)
        if lasting:
            sizes.append(await _size())
        await asyncio.sleep(chance.uniform(*_CALM_S))
    for name, recoveries in sorted(done.items()):
        slowest, mean = max(recoveries), sum(recoveries) / len(recoveries)
        world.notes.append(f"{name}: {len(recoveries)} times, mean {mean:.1f} s, {slowest:.1f} s")
    _judge_runs(world, scale)
    _judge_sizes(world, sizes)


def _judge_runs(world: World, scale: Scale) -> None:
    """Check that the peripherals that measure now and then have done so."""
    outcomes = [run["outcome"] for run in world.broker.fetches]
    new = outcomes.count("new_data")
    world.notes.append(f"meter: new data from {new} of {len(outcomes)} runs")
    unsure = len(scale.unsure)
    world.notes.append(
        f"scale: {len(scale.arrived)} results, {len(scale.sent)} weighings, {unsure} of them cut"
    )
    if not new or not scale.arrived:
        raise Failed("the meter has never been fetched, or the scale has had no result")
    world.excuse_last_of_links()


def _judge_sizes(world: World, sizes: list[Size]) -> None:
    if len(sizes) < 2:
        world.notes.append("too short to show whether the process grows")
        return
    first, last = sizes[0], sizes[-1]
    world.notes.append(
        f"files {first.fds} → {last.fds}, memory {first.rss_kb >> 10} → {last.rss_kb >> 10} MiB,"
        f" largest {max(size.rss_kb for size in sizes) >> 10} MiB"
    )
    if len({size.pid for size in sizes}) > 1:
        raise Failed("the process was restarted, although the test did not kill it")
    if last.fds > first.fds + _FDS_MORE or last.rss_kb > first.rss_kb + _RSS_MORE_KB:
        raise Failed(f"it grew from {first} to {last}")


async def _size() -> Size:
    pid = await vm.main_pid(SERVICE)
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return Size(pid, len(list((folder / "fd").iterdir())), int(status["VmRSS"].split()[0]))


async def _drop(world: World, straps: list[Strap], chance: random.Random) -> None:
    strap = chance.choice(straps)
    async with world.fault(strap):
        await strap.peripheral.drop()


async def _vanish(world: World, straps: list[Strap], chance: random.Random) -> None:
    strap = chance.choice(straps)
    async with world.fault(strap):
        await strap.peripheral.vanish()
        await asyncio.sleep(chance.uniform(*_OUTAGE_S))
        await strap.peripheral.appear()


async def _restart_bluetoothd(world: World, _straps: list[Strap], _chance: random.Random) -> None:
    async with world.fault():
        await vm.run("systemctl", "restart", "bluetooth")
        await until(vm.adapter_is_powered, "BlueZ powers the adapter", 60)


async def _kill_bluetoothd(world: World, _straps: list[Strap], _chance: random.Random) -> None:
    async with world.fault():
        await vm.run("systemctl", "kill", "--signal=KILL", "bluetooth")
        await vm.run("systemctl", "start", "bluetooth")
        await until(vm.adapter_is_powered, "BlueZ powers the adapter", 60)


async def _adapter_off(world: World, _straps: list[Strap], _chance: random.Random) -> None:
    async with world.fault():
        await vm.set_powered(False)
        await asyncio.sleep(2)
        await vm.set_powered(True)
        await until(vm.adapter_is_powered, "the adapter is on")


async def _adapter_gone(world: World, _straps: list[Strap], chance: random.Random) -> None:
    async with world.fault():
        await world.radio.unplug()
        await asyncio.sleep(chance.uniform(1, 5))
        await world.plug()


async def _restart_mosquitto(world: World, _straps: list[Strap], _chance: random.Random) -> None:
    async with world.fault(takes_samples=False):
        await vm.run("systemctl", "restart", "mosquitto")


async def _broker_outage(world: World, _straps: list[Strap], chance: random.Random) -> None:
    async with world.fault(takes_samples=False):
        await vm.run("systemctl", "stop", "mosquitto")
        await asyncio.sleep(chance.uniform(*_OUTAGE_S))
        await vm.run("systemctl", "start", "mosquitto")


async def _kill_healthd(world: World, _straps: list[Strap], _chance: random.Random) -> None:
    # Samples that the broker had not acknowledged may be lost.
    async with world.fault():
        await vm.run("systemctl", "kill", "--signal=KILL", SERVICE)


async def _fall_deaf(world: World, _straps: list[Strap], _chance: random.Random) -> None:
    # Links are not affected, and what the adapter does not report does not count as sent.
    async with world.fault(takes_samples=False):
        hearing = world.radio.hearing
        hearing.fall_deaf()
        await until(lambda: not hearing.is_deaf, "healthd restarts the scan", _DEAF_S)


FAULTS: tuple[Fault, ...] = (
    _drop,
    _vanish,
    _restart_bluetoothd,
    _kill_bluetoothd,
    _adapter_off,
    _adapter_gone,
    _restart_mosquitto,
    _broker_outage,
    _kill_healthd,
    _fall_deaf,
)
