"""Programs that know only the documents end with exactly what the straps have sent.

The daemon is the real one, and so are the broker and an outage in the middle; acknowledgements are
lost in it, so that samples come twice.
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
from tests.end_to_end.ward import Ward
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

# Behind everything else that the consumers subscribe to: who has got that has got all.
END = "healthd/gateway/device/the-end/heart_rate"

Sample = tuple[str, str, int]
"""Stream, time and heart rate."""


@dataclass(frozen=True)
class Consumer:
    """A program of somebody else's.

    Attributes:
        client_id: of its connection.
        read: understands a line of what it writes.
        command: starts it.
        stdin: what it reads.
        environ: what it node_environment its packages by.
    """

    client_id: str
    read: Callable[[str], Sample]
    command: Sequence[str]
    stdin: str = ""
    environ: Mapping[str, str] | None = None


def printed(line: str) -> Sample:
    """A line of the example in Python."""
    stream, time, rate = line.split()
    return stream, time, int(rate)


def debugged(line: str) -> Sample:
    """A message that arrived at the end of the flow of Node-RED."""
    message = json.loads(line)
    stream = message["topic"].removesuffix("/history")
    return stream, message["payload"]["time"], message["payload"]["heart_rate_bpm"]


def told(line: str) -> Sample:
    """A message that the consumer of the AsyncAPI document has understood."""
    message = json.loads(line)
    return message["stream"], message["payload"]["time"], message["payload"]["heart_rate_bpm"]


async def all_of(out: asyncio.StreamReader, read: Callable[[str], Sample]) -> list[Sample]:
    """What a consumer has made of everything before the end."""
    found: list[Sample] = []
    async for line in out:
        sample = read(line.decode())
        if sample[0] == END:
            return found
        found.append(sample)
    raise AssertionError(f"it has ended, after {len(found)} samples")


@needs_mosquitto
@pytest.mark.timeout(INSTALL_S + 2 * BOUND_S)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_each_has_every_sample_once(
    version: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    installed, missing = None, None
    try:
        installed = await asyncio.to_thread(packages, FLOW)
    except pytest.skip.Exception as skipped:
        missing = skipped  # told in the end: the others need no registry
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(tmp_path))
        port = str(broker.port)
        command = (sys.executable, asyncapi_consumer.__file__, port, version, "heart_rate")
        consumers = [
            Consumer("my-consumer", printed, python_consumer(broker.port)),
            Consumer("asyncapi-consumer", told, command, page()),
        ]
        if installed is not None:
            # As it stands on the page it speaks MQTT 5.
            command = (str(NODE), str(FLOW / "flow.js"), port, "" if version == "5" else "4")
            made = Consumer(
                "node-red-healthd", debugged, command, example("json"), node_environment(installed)
            )
            consumers.append(made)
        reading: list[asyncio.Task[list[Sample]]] = []
        for one in consumers:
            process = running(
                *one.command, stdin=one.stdin, environ=one.environ, at_most=2 * BOUND_S
            )
            out = await stack.enter_async_context(process)
            reading.append(asyncio.create_task(all_of(out, one.read)))
            stack.callback(reading[-1].cancel)
            await broker.logged(f"Received SUBSCRIBE from {one.client_id}")
        gate = await stack.enter_async_context(Gate(broker.port))
        await gate.open()
        ward = Ward(
            tmp_path,
            broker.port,
            monkeypatch,
            straps=2,
            period_s=PERIOD_S,
            daemon_port=gate.port,
            version=version,
        )
        async with ward:
            await ward.appear()
            await ward.streaming(*ward.straps.values())
            await an_outage(ward, gate)
            await ward.received_more(ward.straps["strap-1"], 5)
            await ward.caught_up()
            await ward.stop()
        ward.check()
        expected = delivered(ward)
        await publish(broker.port, END, '{"id": "end-1", "time": "now", "heart_rate_bpm": 0}')
        for found in await asyncio.gather(*reading):
            assert len(found) == len(expected)
            assert set(found) == expected
        measured(f"{len(consumers)} consumers, {ward.summary()}")
    if missing is not None:
        raise missing


async def an_outage(ward: Ward, gate: Gate) -> None:
    """Lose acknowledgements, then the broker, for longer than memory alone keeps samples."""
    strap = ward.straps["strap-1"]
    before = len(ward.subscriber.messages)
    gate.hold(answers_alone=True)
    await ward.received_more(strap, 5)
    await gate.cut()
    await ward.subscriber.until_payload(STATUS, b"offline", since=before)
    await ward.received_more(strap, round(2.5 / PERIOD_S))
    seen = len(ward.subscriber.messages)
    await gate.open()
    await ward.subscriber.until_payload(STATUS, b"online", since=seen, at_most=40)


def delivered(ward: Ward) -> set[Sample]:
    """What the straps have sent, as it was published; some of it came late, and some twice."""
    found: set[Sample] = set()
    streams = {ward.topic(one, "heart_rate"): ward.delivered(one) for one in ward.straps.values()}
    assert any(stream.history for stream in streams.values())
    assert any(stream.duplicates for stream in streams.values())
    for topic, stream in streams.items():
        found |= {(topic, one["time"], one["heart_rate_bpm"]) for one in stream.samples.values()}
    return found
