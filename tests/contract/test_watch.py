"""``healthd watch`` with a real broker: the live table, lines and JSON."""

import asyncio
import json
import shlex
import sys

import pytest

from tests.support.mosquitto import StartMosquitto, needs_mosquitto
from tests.support.process import BOUND_S, Healthd, clean_environment, complaints
from tests.support.subscriber import publish
from tests.support.terminal import on_a_terminal

pytestmark = needs_mosquitto

STRAP = "healthd/home/device/strap"
INFO = '{"state": "streaming", "name": "Strap 1"}'


def sample(seq: int) -> str:
    return json.dumps({"id": f"a-{seq}", "clock": "unsynced", "heart_rate_bpm": 70 + seq})


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"


async def test_a_live_table(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    await publish(broker.port, "healthd/home/status", "online", retain=True)
    await publish(broker.port, f"{STRAP}/info", INFO, retain=True)
    async with on_a_terminal("watch", "--broker", broker.address) as terminal:
        await terminal.shows("healthd watch", "Strap 1", "streaming", "Ctrl-C to quit")
        for seq in (1, 2, 2, 2):  # duplicates, as after a lost acknowledgement
            await publish(broker.port, f"{STRAP}/heart_rate", sample(seq))
        await publish(broker.port, f"{STRAP}/heart_rate/history", sample(3))
        gap = '{"id": "g-1", "peripheral": "strap", "stream": "heart_rate", "reason": "stalled"}'
        await publish(broker.port, "healthd/home/event/gap", gap)
        await terminal.shows(bold("72 bpm"), "▁█", "1 stalled")
        assert "73 bpm" not in terminal.screen
        assert "▁██" not in terminal.screen
        # When the gateway goes offline, so do its devices.
        since = len(terminal.screen)
        await publish(broker.port, "healthd/home/status", "offline", retain=True)
        await terminal.shows("offline (gateway)", since=since)
        # Another gateway on the same broker has a strap with the same id.
        other = STRAP.replace("home", "attic")
        await publish(broker.port, f"{other}/heart_rate", sample(9))
        await terminal.shows("gateway", "attic", bold("79 bpm"), since=since)


async def test_a_lost_broker_is_shown_and_retried(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    await publish(broker.port, f"{STRAP}/info", INFO, retain=True)
    async with on_a_terminal("watch", "--broker", broker.address) as terminal:
        await terminal.shows("streaming", "Ctrl-C to quit")
        since = len(terminal.screen)
        await broker.stop()
        await terminal.shows("no connection to the broker", "retrying", since=since)
        since = len(terminal.screen)
        await broker.start()
        await terminal.shows("Ctrl-C to quit", since=since)
        await publish(broker.port, f"{STRAP}/heart_rate", sample(1))
        await terminal.shows(bold("71 bpm"), since=since)


@pytest.mark.parametrize("columns", [40, 80])
async def test_no_row_is_wider_than_the_terminal(mosquitto: StartMosquitto, columns: int) -> None:
    broker = await mosquitto()
    long = json.dumps({"id": "a-1", "heart_rate_bpm": 72, "status": "x" * 200})
    async with on_a_terminal("watch", "--broker", broker.address, columns=columns) as terminal:
        await terminal.shows("Ctrl-C to quit")
        await publish(broker.port, f"{STRAP}-of-a-long-name/heart_rate", long)
        await terminal.shows("72 bpm")
        assert "xxx" not in terminal.screen


async def test_json_objects(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    await publish(broker.port, "healthd/home/status", "online", retain=True)
    async with Healthd("watch", "--broker", broker.address, "--json") as healthd:
        status = json.loads(await healthd.wrote("healthd/home/status"))
        await publish(broker.port, f"{STRAP}/heart_rate/history", sample(1))
        late = json.loads(await healthd.wrote("heart_rate"))
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []
    assert [json.loads(line) for line in healthd.out] == [status, late]
    assert status.pop("arrived") <= late.pop("arrived")
    assert status == {
        "topic": "healthd/home/status",
        "retained": True,
        "gateway": "home",
        "peripheral": None,
        "stream": "status",
        "history": False,
        "payload": "online",
    }
    assert late == {
        "topic": f"{STRAP}/heart_rate/history",
        "retained": False,
        "gateway": "home",
        "peripheral": "strap",
        "stream": "heart_rate",
        "history": True,
        "payload": json.loads(sample(1)),
    }


async def test_it_ends_after_the_given_seconds(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    await publish(broker.port, "healthd/home/status", "online", retain=True)
    arguments = ("watch", "--broker", broker.address, "--seconds", "1.5")
    async with Healthd(*arguments) as healthd:
        assert await healthd.ended() == 0
    assert healthd.out == ["healthd/home/status online"]


@pytest.mark.parametrize("form", ["", "--json"])
@pytest.mark.parametrize("flows", [True, False], ids=["with messages", "without messages"])
async def test_a_closed_pipe_ends_it_without_an_error(
    mosquitto: StartMosquitto, form: str, flows: bool
) -> None:
    broker = await mosquitto()
    await publish(broker.port, "healthd/home/status", "online", retain=True)
    watch = shlex.join([sys.executable, "-m", "healthd", "watch", "--broker", broker.address])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"{watch} {form} | head -1; echo ${{PIPESTATUS[0]}}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(),
    )

    ended = asyncio.create_task(process.communicate())
    try:
        async with asyncio.timeout(BOUND_S):
            while flows and not ended.done():
                await publish(broker.port, f"{STRAP}/heart_rate", sample(1))
            out, errors = await ended
    finally:
        if process.returncode is None:
            process.kill()
    line, code = out.decode().splitlines()
    assert "online" in line
    assert (code, errors.decode()) == ("0", "")
