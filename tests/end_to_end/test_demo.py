"""The commands demo, watch and decode, each in a process of its own."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.support.process import Healthd, clean_environment, complaints
from tests.support.subscriber import publish
from tests.support.terminal import on_a_terminal

ROOT = Path(__file__).parents[2]
BOUND_S = 20.0
LINE = re.compile(r"(\S+) (.*)")
STRAPS = ("chest-strap", "polar-h10", "late-strap")


def descendants(pid: int) -> set[int]:
    """Return all child processes of this process, and theirs."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child), *descendants(int(child))}
    return found


async def gone(pid: int) -> None:
    """Wait for the end of a process, which may belong to another parent."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(BOUND_S):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def payloads(out: list[str], topic: str) -> list[str]:
    """Return the payloads shown for a topic, in order."""
    return [line.removeprefix(f"{topic} ") for line in out if line.startswith(f"{topic} ")]


async def test_a_demo_of_eight_seconds() -> None:
    async with Healthd("demo", "--seconds", "8") as healthd:
        started = await healthd.logged("demo")
        await healthd.wrote("healthd/demo/device/chest-strap/heart_rate ")
        children = descendants(healthd.pid)
        assert children  # its broker
        # The command that it suggests works in another terminal.
        command = shlex.split(started["subscribe"])
        host, port = started["broker"].split(":")
        assert command[0] == "mosquitto_sub"
        assert command[command.index("-h") + 1] == host == "127.0.0.1"
        assert command[command.index("-p") + 1] == port
        assert command[command.index("-t") + 1] == "healthd/#"
        if shutil.which(command[0]):
            assert (await first_line(command)).startswith("healthd/demo/")
        assert await healthd.ended() == 0
    for child in children:
        await gone(child)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(host, int(port))
    assert complaints(healthd.log) == []

    for line in healthd.out:
        parts = LINE.fullmatch(line)
        assert parts is not None, line
        topic, payload = parts.groups()
        assert topic.startswith("healthd/demo/")
        assert payload in ("online", "offline") or isinstance(json.loads(payload), dict)
    device = "healthd/demo/device"
    for strap in STRAPS:
        samples = [json.loads(one) for one in payloads(healthd.out, f"{device}/{strap}/heart_rate")]
        assert len(samples) >= 2, strap
        assert [one["seq"] for one in samples] == [*range(1, len(samples) + 1)]
    # The scripted drop after five seconds, its recovery, and the last message.
    seen = payloads(healthd.out, f"{device}/chest-strap/status")
    assert seen[-4:] == ["online", "offline", "online", "offline"]
    assert payloads(healthd.out, f"{device}/polar-h10/status")[-2:] == ["online", "offline"]
    where = [
        index
        for index, line in enumerate(healthd.out)
        if line == f"{device}/chest-strap/status online"
    ]
    drop = healthd.out.index(f"{device}/chest-strap/status offline", where[0])
    later = [line for line in healthd.out[drop:] if line.startswith(f"{device}/chest-strap/heart_")]
    assert later
    # The late strap appeared after the others were streaming.
    late = healthd.out.index(f"{device}/late-strap/status online")
    assert sum("polar-h10/heart_rate" in line for line in healthd.out[:late]) >= 1


async def test_a_demo_of_devices_with_protocols_of_their_makers() -> None:
    """Each of them sends what it is bought for, also the cuff that needs a key."""
    wanted = (
        *("pm5/ergometer", "omron/blood_pressure", "o2ring/pulse_oximeter", "fec/bike_trainer"),
        *("core/core_temperature", "qardio/intermediate_cuff_pressure"),
    )
    names = ",".join(one.partition("/")[0] for one in wanted)
    async with Healthd("demo", "--profile", names) as healthd:
        for topic in wanted:
            await healthd.wrote(f"healthd/demo/device/{topic} ")


async def first_line(command: list[str]) -> str:
    """Return the first line that a command writes, then end it."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            return (await process.stdout.readline()).decode().rstrip()
    finally:
        process.kill()
        await process.communicate()


async def test_a_killed_demo_leaves_no_broker_behind() -> None:
    async with Healthd("demo") as healthd:
        await healthd.wrote("healthd/demo/status online")
        children = descendants(healthd.pid)
        assert children
        healthd.send_kill()
        assert await healthd.ended() == -signal.SIGKILL
    for child in children:
        await gone(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_demo(number: signal.Signals) -> None:
    async with Healthd("demo") as healthd:
        await healthd.wrote("/heart_rate ")
        children = descendants(healthd.pid)
        assert await healthd.stopped(number) == 0
        assert payloads(healthd.out, "healthd/demo/status") == ["online", "offline"]
    for child in children:
        await gone(child)
    assert complaints(healthd.log) == []


async def test_a_demo_ends_when_its_reader_ends() -> None:
    demo = shlex.join([sys.executable, "-m", "healthd", "demo"])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"{demo} | head -3; echo ${{PIPESTATUS[0]}}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(),
        cwd=ROOT,
    )
    async with asyncio.timeout(BOUND_S):
        out, errors = await process.communicate()
    *lines, code = out.decode().splitlines()
    assert (len(lines), code) == (3, "0")
    assert b"Traceback" not in errors
    assert b'"stopped"' in errors


async def test_on_a_terminal_the_demo_shows_a_table() -> None:
    async with on_a_terminal("demo") as terminal:
        await terminal.shows("peripheral", "newest", "age", "trend", "healthd demo")
        await terminal.shows("chest-strap", "polar-h10", "streaming", "heart_rate", " bpm")
        # Above the table: the log, without JSON. Below it: the command to paste.
        assert "mosquitto_sub" in terminal.screen
        assert '{"' not in terminal.screen
        children = descendants(terminal.process.pid)
        terminal.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(BOUND_S):
            assert await terminal.process.wait() == 0
        # The cursor, hidden by the table, is visible again.
        await terminal.shows("\x1b[?25h")
    for child in children:
        await gone(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_watch_prints_a_line_for_each_message(
    broker: EmbeddedBroker, number: signal.Signals
) -> None:
    await publish(broker.port, "healthd/gw/status", "online", retain=True)
    await publish(broker.port, "elsewhere/status", "online", retain=True)
    async with Healthd("watch", "--broker", f"{broker.host}:{broker.port}") as healthd:
        # This message is retained, so once it is shown, the subscription exists.
        await healthd.wrote("healthd/gw/status online")
        sample = '{"id":"a-1","heart_rate_bpm":72}'
        await publish(broker.port, "healthd/gw/device/strap/heart_rate", sample)
        await healthd.wrote(sample)
        assert await healthd.stopped(number) == 0
    assert healthd.out == [
        "healthd/gw/status online",
        f"healthd/gw/device/strap/heart_rate {sample}",
    ]
    assert complaints(healthd.log) == []


async def test_watch_without_a_broker_waits_for_it(broker: EmbeddedBroker) -> None:
    arguments = ("watch", "--broker", f"{broker.host}:{broker.port}")
    await broker.__aexit__(None, None, None)
    async with Healthd(*arguments) as healthd:
        await healthd.logged("retrying", reason="broker_unreachable")
        assert healthd.is_running
        assert await healthd.stopped() == 0


async def test_watch_refuses_an_invalid_broker() -> None:
    async with Healthd("watch", "--broker", "not a broker") as healthd:
        assert await healthd.ended() == 78
    assert "--broker" in healthd.log[0]["error"]


async def test_decode_as_a_coprocess() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "healthd", "decode"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    async def ask(line: bytes) -> dict[str, object]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + b"\n")
        # Each line is answered before the next one is sent: nothing waits in a buffer.
        async with asyncio.timeout(BOUND_S):
            answer: dict[str, object] = json.loads(await process.stdout.readline())
        return answer

    try:
        heart_rate = await ask(b"2a37 1643 8a03")
        assert heart_rate["heart_rate_bpm"] == 67
        assert heart_rate["rr_intervals_ms"] == [884.8]
        assert set(await ask(b"2a37 zz")) == {"error"}
        assert set(await ask(b"")) == {"error"}
        assert await ask(b"2a19 64") == {"level_pct": 100}
        process.stdin.close()
        async with asyncio.timeout(BOUND_S):
            assert await process.stdout.read() == b""
            assert await process.wait() == 1  # not every line could be decoded
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_demo_of_chosen_profiles() -> None:
    arguments = ("--profile", "heart_rate,treadmill", "--profile", "glucose")
    async with Healthd("demo", "--seconds", "5", *arguments) as healthd:
        await healthd.wrote("healthd/demo/device/heart-rate/heart_rate ")
        assert await healthd.ended() == 0
    device = "healthd/demo/device"
    for peripheral, name in (
        ("heart-rate", "Strap"),
        ("treadmill", "Treadmill"),
        ("glucose", "Glucose Meter"),
    ):
        infos = [json.loads(text) for text in payloads(healthd.out, f"{device}/{peripheral}/info")]
        assert any(info.get("name") == name for info in infos)


async def test_a_demo_of_devices_that_only_advertise() -> None:
    async with Healthd("demo", "--profile", "mi_scale,keiser", "--seconds", "60") as healthd:
        await healthd.wrote("healthd/demo/device/keiser/keiser_bike ")
        await healthd.wrote("healthd/demo/device/mi-scale/weight ")
        assert await healthd.stopped(signal.SIGINT) == 0
    assert complaints(healthd.log) == []
    devices = {line.split("/")[3] for line in healthd.out if "/device/" in line}
    assert devices == {"keiser", "mi-scale"}
