"""``[capture]``: what the daemon keeps on disk, over kills, reloads and a size that is used up."""

import asyncio
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from healthd.gateway.capturing import service
from healthd.gateway.capturing.ring import Numbers, RingFolder, RingSink, parts
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.traffic.lines import Connected, Discovered, Line, Missing, Notified, Start
from tests.end_to_end.capture_rig import SentValues, command_line, until_lines, whole_lines
from tests.end_to_end.reload_rig import ReloadRig, entry, until_streaming
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway
from tests.end_to_end.strap_rig import NumberedHeart
from tests.support.polling import until
from tests.support.process import clean_environment
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(180)

STRAP = {"id": "strap", "address": address(1)}
KEPT = {"peripherals": ["strap"], "max_size": "1MB"}

# A daemon with one strap in a process of its own, until it is killed.
DAEMON = """
import asyncio, sys
from pathlib import Path
from healthd.gateway.capturing import service
from tests.end_to_end import capture_rig, simulated_gateway as rig
from tests.end_to_end.test_capture_ring import KEPT, STRAP, fast_strap

service.WRITE_EVERY_S = 0.1

class NoSubscriber:
    messages = []

async def main():
    settings = {"gateway": {"id": "gateway"}, "mqtt": {"brokers": ["127.0.0.1:1"]},
                "outbox": {"directory": sys.argv[1], "max_size": "4MB"}, "capture": KEPT}
    async with rig.gateway(NoSubscriber(), settings, [STRAP]) as air:
        await rig.add(air, fast_strap(capture_rig.SentValues()))
        await asyncio.Event().wait()

asyncio.run(main())
"""


def fast_strap(sent: SentValues, period: float = 0.05) -> VirtualPeripheral:
    """Return a strap that sends some values a second, which all differ."""
    # Imported late: only the simulator's own process needs it.
    from healthd.simulator.strap import chest_strap

    return chest_strap("Strap", address(1), NumberedHeart(), period=period, record=sent.record)


def kept(folder: Path) -> list[Line]:
    """Return the whole lines of the newest file."""
    found = parts(folder / "capture")
    return whole_lines(found[-1].file) if found else []


def beats(found: Iterable[Line]) -> list[bytes]:
    return [line.value for line in found if isinstance(line, Notified) and line.uuid == "2a37"]


async def stored(folder: Path, settings: dict[str, Any]) -> list[Line]:
    """Return what ``healthd capture --stored`` writes."""
    out = folder / "stored.jsonl"
    words = ("strap", "--stored", "--keep-identity", "--out", str(out))
    command = command_line(folder, settings, [STRAP], *words)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env=clean_environment()
    )
    async with asyncio.timeout(BOUND_S):
        _, complaint = await process.communicate()
    assert process.returncode == 0, complaint
    return whole_lines(out)


@pytest.fixture
def settings(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(service, "WRITE_EVERY_S", 0.1)
    return {**settings, "capture": KEPT}


async def test_what_is_kept_is_what_was_sent(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    sent = SentValues()
    async with gateway(subscriber, settings, [STRAP]) as air:
        await add(air, strap := fast_strap(sent))
        await until_lines(lambda: kept(tmp_path), lambda found: len(beats(found)) >= 10)
        await strap.vanish()
    assert beats(kept(tmp_path)) == sent.by_uuid["2a37"]
    assert beats(await stored(tmp_path, settings)) == sent.by_uuid["2a37"]


async def test_the_ring_stays_within_its_size_and_is_private(
    subscriber: Subscriber,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 100_000  # the settings accept no less than ten times as much

    def small_folder(folder: Path, _most: int) -> RingFolder:
        return RingFolder(folder, most)

    def small_sink(peripheral: str, _share: int, numbers: Numbers) -> RingSink:
        return RingSink(peripheral, most, numbers)

    monkeypatch.setattr(service, "RingFolder", small_folder)
    monkeypatch.setattr(service, "RingSink", small_sink)
    sent, sizes = SentValues(), list[int]()
    async with gateway(subscriber, settings, [STRAP]) as air:
        await add(air, strap := fast_strap(sent, period=0.015))

        async def has_removed() -> bool:
            found = parts(tmp_path / "capture")
            with suppress(FileNotFoundError):  # removed meanwhile
                sizes.append(sum(part.file.stat().st_size for part in found))
            return bool(found) and found[0].number > 4

        assert await until(has_removed, 60, 0.05)
        await strap.vanish()
    assert most / 2 < max(sizes) <= most
    folder = tmp_path / "capture"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(part.file.stat().st_mode) for part in parts(folder)} == {0o600}
    for part in parts(folder):
        # Each file can be read alone.
        start, connected, services, *_ = whole_lines(part.file)
        assert isinstance(start, Start)
        assert isinstance(connected, Connected)
        assert connected.joined
        assert isinstance(services, Discovered)
    # Together they are the newest part of one capture, without what each repeats.
    found = await stored(tmp_path, settings)
    newest = beats(found)
    assert newest == sent.by_uuid["2a37"][-len(newest) :]
    assert sum(isinstance(line, Start | Connected) for line in found) == 2
    times = [line.t for line in found]
    assert times == sorted(times)


@asynccontextmanager
async def daemon(folder: Path) -> AsyncGenerator[None]:
    """Run a daemon, and kill it after the block."""
    root = str(Path(__file__).parents[2])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DAEMON, str(folder)),
        env={**clean_environment(), "PYTHONPATH": root},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.untraced
async def test_a_kill_leaves_a_capture_that_can_be_read(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    for run in (1, 2):
        async with daemon(tmp_path):
            await until_lines(
                lambda run=run: kept(tmp_path) if len(parts(tmp_path / "capture")) == run else [],
                lambda found: len(beats(found)) >= 10,
            )
        if run == 1:
            # As if it was killed in the middle of a line.
            with parts(tmp_path / "capture")[0].file.open("ab") as file:
                file.write(b'{"what":"notification","t":1')
    found = await stored(tmp_path, settings)
    links = [line.link for line in found if isinstance(line, Connected)]
    assert links == [1, 2]
    assert [line.count for line in found if isinstance(line, Missing)] == [1]
    assert sum(isinstance(line, Start) for line in found) == 1
    times = [line.t for line in found]
    assert times == sorted(times)
    for link in links:
        values = beats(line for line in found if getattr(line, "link", None) == link)
        numbers = [int.from_bytes(value[2:4], "little") for value in values]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) >= 10


async def test_captures_begin_and_end_with_a_reload(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    off = {key: value for key, value in settings.items() if key != "capture"}
    rig = ReloadRig(tmp_path, off, entry("strap", 1))
    async with rig.running():
        await until_streaming(subscriber, "strap")
        link = rig.link_identity(1)
        assert not (tmp_path / "capture").exists()
        rig.write(settings, entry("strap", 1))
        await rig.reload()
        await until_lines(lambda: kept(tmp_path), lambda found: len(beats(found)) >= 10)
        rig.write(off, entry("strap", 1))
        await rig.reload()

        async def has_ended() -> bool:
            before = kept(tmp_path)
            await until_streaming(subscriber, "strap", count=10)
            return kept(tmp_path) == before

        assert await until(has_ended, BOUND_S)
        assert rig.link_identity(1) == link
    assert len(parts(tmp_path / "capture")) == 1
