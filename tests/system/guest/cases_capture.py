"""The radio traffic as a file: btmon's, and healthd's own of the same minutes."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bumble.hci import HCI_ErrorCode

from healthd.capture.conversion import convert
from healthd.capture.reading import read
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.polar.pmd import Pmd
from healthd.simulator.strap import heart_rate_part
from healthd.traffic.lines import Subscribed
from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.cases_link import saw_end
from tests.system.guest.recorded import OnAir, compare, notified, services
from tests.system.guest.straps import NumberedHeart
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import World

_HEALTHD = "/usr/local/bin/healthd"
_LOG, _OWN, _CONVERTED = (
    Path("/var/tmp/captured").with_suffix(ending) for ending in (".log", ".jsonl", ".btsnoop")
)
# Emulated, starting Python takes ten seconds.
_COMMAND_S = 90.0
# What is on its way to btmon when the peripherals fall silent.
_QUIET_S = 2.0
# An ECG packet is longer than the smallest MTU, and than the adapter's buffers.
_LONG_BYTES = 100
_HEART_RATE = "2a37"
# The service of a heart rate has three characteristics.
_ENTRIES = 4


@case()
async def captures(world: World) -> None:
    """btmon's log and healthd's capture have each value once, over a lost link, too."""
    for file in (_LOG, _OWN, _CONVERTED):
        file.unlink(missing_ok=True)
    on_air = {"strap": OnAir(), "polar": OnAir()}
    strap = await world.strap("strap", build=_build(on_air["strap"], with_ecg=False))
    polar = await world.strap("polar", build=_build(on_air["polar"], with_ecg=True))
    async with _running("btmon", "-w", str(_LOG)):
        await until(lambda: _LOG.exists() and _LOG.stat().st_size, "btmon writes")
        world.configure(own={polar.id: 'pmd = ["ecg"]'})
        await world.start()
        await world.streaming(strap, polar)
        async with _running(
            *(_HEALTHD, "capture", strap.id, "--out", str(_OWN), "--keep-identity")
        ):
            await until(
                lambda: _OWN.exists() and b"notification" in _OWN.read_bytes(),
                "healthd captures",
                _COMMAND_S,
            )
            async with world.fault(strap):
                await strap.peripheral.drop()
            saw_end(world, strap.address, HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)
            await world.recovered(strap)
            await world.streaming(strap, polar)
        for each in (strap, polar):
            each.peripheral.go_silent()
        await asyncio.sleep(_QUIET_S)
    _compare(world, on_air)
    await _convert_and_decode(strap.address)


def _build(on_air: OnAir, *, with_ecg: bool) -> Callable[..., VirtualPeripheral]:
    def build(
        name: str,
        address: str,
        heart: NumberedHeart,
        *,
        period: float,
        record: Callable[[Sent], None],
    ) -> VirtualPeripheral:
        def note(sent: Sent) -> None:
            on_air.sent.append(sent)
            record(sent)

        on_air.address = address
        parts = [heart_rate_part(heart, period)]
        if with_ecg:
            parts.append(Pmd(random.Random(1)).part())
        return VirtualPeripheral(name, address, parts, record=note)

    return build


@asynccontextmanager
async def _running(*command: str) -> AsyncGenerator[None]:
    """Run a command during the block, then interrupt it like a user.

    Raises:
        Failed: it ends earlier, does not end in time, or ends with an error.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(vm.COMMAND_S):
            _, said = await process.communicate()
        if process.returncode:
            text = said.decode(errors="replace")[-500:]
            raise Failed(f"{' '.join(command)} ended with {process.returncode}: {text}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _compare(world: World, on_air: dict[str, OnAir]) -> None:
    """Compare both files with what was sent, and with each other."""
    heard, captured = list(read(_LOG)), list(read(_OWN))
    for id, sent in on_air.items():
        ends = world.radio.end_times(sent.address)
        number = compare(f"btmon, {id}", heard, sent, ends)
        if len(sent.sent) - number > _most_missing(ends):
            raise Failed(f"btmon, {id}: {number} values of {len(sent.sent)}")
        world.notes.append(f"btmon, {id}: {number} of {len(sent.sent)} values, each once")
    longest = max(len(line.value) for line in notified(heard, on_air["polar"].address))
    if longest < _LONG_BYTES:
        raise Failed(f"the longest value has {longest} bytes: nothing was in pieces")
    strap = on_air["strap"]
    number = compare("healthd", captured, strap, world.radio.end_times(strap.address))
    world.notes.append(f"healthd, strap: {number} values, each once")
    links = {line.link for line in notified(captured, strap.address)}
    if len(links) != 2:
        raise Failed(f"expected values of two links, found {links}")
    if notified(captured, on_air["polar"].address):
        raise Failed("the capture of the strap has values of another device")
    subscribed = [
        line.link
        for line in heard
        if isinstance(line, Subscribed)
        and (line.device, line.uuid, line.mode) == (strap.address, _HEART_RATE, "notify")
    ]
    if len(subscribed) != 2:
        raise Failed(f"btmon: expected a subscription on each of two links, found {subscribed}")
    # BlueZ before 5.82 keeps the service Generic Access to itself.
    theirs, ours = services(heard, strap.address), services(captured, strap.address)
    if [entry for entry in theirs if entry in ours] != ours or len(ours) < _ENTRIES:
        raise Failed(f"services by btmon: {theirs}, by healthd: {ours}")


def _most_missing(ends: list[float]) -> int:
    """Return how many values may be missing: for each link, one that was on its way."""
    return len(ends)


async def _convert_and_decode(address: str) -> None:
    """Check that the capture says the same after it was converted, and what it is decoded to."""
    convert(_OWN, _CONVERTED, keep_identity=True)
    before, after = (
        [(line.uuid, line.handle, line.value) for line in notified(read(file), address)]
        for file in (_OWN, _CONVERTED)
    )
    if before != after:
        raise Failed(f"{len(before)} values became {len(after)}, or others")
    said = await vm.run(
        *(_HEALTHD, "decode", "--capture", str(_CONVERTED), "--format", "jsonl"),
        timeout_s=_COMMAND_S,
    )
    rates = [
        entry["fields"]["heart_rate_bpm"]
        for entry in map(json.loads, filter(lambda line: line.startswith("{"), said.splitlines()))
        if entry.get("measurement") == "heart_rate"
    ]
    if rates != [value[1] for _, _, value in before]:
        raise Failed(f"decoded to {rates}, expected {[value[1] for _, _, value in before]}")
