"""Consumers written from the documentation alone get exactly what the straps sent.

The daemon and the broker are real, and so is an outage in the middle; acknowledgements are lost in
it, so that samples arrive twice.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from healthd.cli.contract.asyncapi import page
from tests.end_to_end.strap_rig import StrapRig
from tests.support import asyncapi_consumer
from tests.support.examples import example, python_consumer, running
from tests.support.gate import Gate
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.node import INSTALL_S, NODE, node_environment, packages
from tests.support.subscriber import publish

FLOW = Path(asyncapi_consumer.__file__).parent / "nodered"

BOUND_S = 60.0
PERIOD_S = 0.05

STATUS = "healthd/gateway/status"

# Published last: a consumer that has received it has received everything.
END = "healthd/gateway/device/the-end/heart_rate"

Sample = tuple[str, str, int]
"""Stream, time and heart rate."""


@dataclass(frozen=True)
class Consumer:
    """An independent program.

    Attributes:
        client_id: the client id of its connection.
        read: parses a line of its output.
        command: starts it.
        stdin: its standard input.
        environ: environment variables that lead to its packages.
    """

    client_id: str
    read: Callable[[str], Sample]
    command: Sequence[str]
    stdin: str = ""
    environ: Mapping[str, str] | None = None


def printed(line: str) -> Sample:
    """Parse a line of the Python example."""
    stream, time, rate = line.split()
    return stream, time, int(rate)


def debugged(line: str) -> Sample:
    """Parse a message that arrived at the end of the Node-RED flow."""
    message = json.loads(line)
    stream = message["topic"].removesuffix("/history")
    return stream, message["payload"]["time"], message["payload"]["heart_rate_bpm"]


def generated(line: str) -> Sample:
    """Parse a message of the client that reads the AsyncAPI document."""
    message = json.loads(line)
    return message["stream"], message["payload"]["time"], message["payload"]["heart_rate_bpm"]


async def all_of(out: asyncio.StreamReader, read: Callable[[str], Sample]) -> list[Sample]:
    """Return the samples that a consumer wrote before the end."""
    found: list[Sample] = []
    async for line in out:
        sample = read(line.decode())
        if sample[0] == END:
            return found
        found.append(sample)
    raise AssertionError(f"the consumer ended after {len(found)} samples")


@needs_mosquitto
@pytest.mark.timeout(INSTALL_S + 2 * BOUND_S)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_each_consumer_gets_every_sample_once(
    version: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    installed, missing = None, None
    try:
        installed = await asyncio.to_thread(packages, FLOW)
    except pytest.skip.Exception as skipped:
        missing = skipped  # raised at the end: the other consumers need no registry
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(tmp_path))
        port = str(broker.port)
        command = (sys.executable, asyncapi_consumer.__file__, port, version, "heart_rate")
        consumers = [
            Consumer("my-consumer", printed, python_consumer(broker.port)),
            Consumer("asyncapi-consumer", generated, command, page()),
        ]
        if installed is not None:
            # As documented, it uses MQTT 5.
            command = (str(NODE), str(FLOW / "flow.js"), port, "" if version == "5" else "4")
            made = Consumer(
                "node-red-healthd", debugged, command, example("json"), node_environment(installed)
            )
            consumers.append(made)
        reading: list[asyncio.Task[list[Sample]]] = []
        for consumer in consumers:
            process = running(
                *consumer.command,
                stdin=consumer.stdin,
                environ=consumer.environ,
                at_most=2 * BOUND_S,
            )
            out = await stack.enter_async_context(process)
            reading.append(asyncio.create_task(all_of(out, consumer.read)))
            stack.callback(reading[-1].cancel)
            await broker.logged(f"Received SUBSCRIBE from {consumer.client_id}")
        gate = await stack.enter_async_context(Gate(broker.port))
        await gate.open()
        rig = StrapRig(
            tmp_path,
            broker.port,
            monkeypatch,
            straps=2,
            period_s=PERIOD_S,
            daemon_port=gate.port,
            version=version,
        )
        async with rig:
            await rig.appear()
            await rig.until_streaming(*rig.straps.values())
            await an_outage(rig, gate)
            await rig.until_received(rig.straps["strap-1"], 5)
            await rig.until_delivered()
            await rig.stop()
        rig.check()
        expected = delivered(rig)
        await publish(broker.port, END, '{"id": "end-1", "time": "now", "heart_rate_bpm": 0}')
        for found in await asyncio.gather(*reading):
            assert len(found) == len(expected)
            assert set(found) == expected
        measured(f"{len(consumers)} consumers, {rig.summary()}")
    if missing is not None:
        raise missing


async def an_outage(rig: StrapRig, gate: Gate) -> None:
    """Lose acknowledgements, then the broker, for longer than memory alone keeps samples."""
    strap = rig.straps["strap-1"]
    before = len(rig.subscriber.messages)
    gate.hold(answers_alone=True)
    await rig.until_received(strap, 5)
    await gate.cut()
    await rig.subscriber.until_payload(STATUS, b"offline", since=before)
    await rig.until_received(strap, round(2.5 / PERIOD_S))
    seen = len(rig.subscriber.messages)
    await gate.open()
    await rig.subscriber.until_payload(STATUS, b"online", since=seen, at_most=40)


def delivered(rig: StrapRig) -> set[Sample]:
    """Return what the straps sent, as published; some of it arrived late, and some twice."""
    found: set[Sample] = set()
    straps = rig.straps.values()
    streams = {rig.topic(strap, "heart_rate"): rig.delivered(strap) for strap in straps}
    assert any(stream.history for stream in streams.values())
    assert any(stream.duplicates for stream in streams.values())
    for topic, stream in streams.items():
        found |= {(topic, one["time"], one["heart_rate_bpm"]) for one in stream.samples.values()}
    return found
