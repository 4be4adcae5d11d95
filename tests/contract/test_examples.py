"""The examples in docs/mqtt.md work exactly as printed."""

import asyncio
import json
import random
import re
import shlex
import shutil
import tomllib
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from healthd.central.link import Backends
from healthd.cli.contract.channels import channels
from healthd.gateway.daemon import Daemon
from healthd.profiles.registry import load
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.catalogue import CATALOGUE
from tests.support.examples import (
    REQUESTS,
    example,
    lines,
    python_asker,
    python_consumer,
    running,
)
from tests.support.mosquitto import Mosquitto, StartMosquitto, needs_mosquitto
from tests.support.node import node
from tests.support.subscriber import Subscriber, publish

LIVE = "healthd/home/device/strap/heart_rate"
HISTORY = f"{LIVE}/history"
OTHER = "healthd/home/device/other/heart_rate"

# The parts of Node-RED's function node that the example uses.
_FUNCTION_NODE = """
const { code, messages } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const kept = new Map();
const context = { get: (key) => kept.get(key), set: (key, value) => kept.set(key, value) };
const node = new Function("msg", "context", code);
process.stdout.write(JSON.stringify(messages.map((msg) => node(msg, context))));
"""

_TOPICS = [
    re.sub(r"{(\w+)}", "x", channel.address.replace("{prefix}", "healthd"))
    for channel in channels(load())
]


def sample(number: int, run: str = "7f3a1c0e") -> str:
    time = f"2026-11-24T02:03:{number:02}.123456Z"
    envelope = {"id": f"{run}-{number}", "time": time, "clock": "synced", "seq": number}
    return json.dumps(envelope | {"heart_rate_bpm": 60 + number})


def matches_a_topic(topic_filter: str) -> bool:
    """Return whether healthd publishes any topic that matches the filter."""
    pattern = (
        re.escape(topic_filter).replace(r"\+", "[^/]+").replace(r"\#", ".+").replace("#", ".+")
    )
    return any(re.fullmatch(pattern, topic) for topic in _TOPICS)


@needs_mosquitto
async def test_the_python_consumer_prints_each_sample_of_both_topics_once(
    mosquitto: StartMosquitto,
) -> None:
    broker = await mosquitto("allow_anonymous true\npersistence false")
    code = example("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    consumer = python_consumer(broker.port)
    line = f"{LIVE} 2026-11-24T02:03"
    async with running(*consumer) as out:
        await broker.logged("Received SUBSCRIBE from my-consumer")
        for topic, payload in (
            (LIVE, sample(1)),
            (LIVE, sample(1)),  # delivered again: the acknowledgement was lost with the connection
            (HISTORY, sample(1)),  # and again: it had been stored meanwhile
            (HISTORY, sample(2)),
            (LIVE, sample(2)),
            (OTHER, sample(1)),  # an id is only unique within its stream
            (LIVE, sample(1, "00000000")),  # healthd was restarted
            (LIVE, sample(3)),
        ):
            await publish(broker.port, topic, payload)
        assert await lines(out, 5) == [
            f"{line}:01.123456Z 61",
            f"{line}:02.123456Z 62",
            f"{OTHER} 2026-11-24T02:03:01.123456Z 61",
            f"{line}:01.123456Z 61",
            f"{line}:03.123456Z 63",
        ]
    # The broker queues messages while the consumer is not running.
    await publish(broker.port, HISTORY, sample(4))
    async with running(*consumer) as out:
        assert await lines(out, 1) == [f"{line}:04.123456Z 64"]


@needs_mosquitto
@pytest.mark.skipif(
    shutil.which("mosquitto_sub") is None,
    reason="NOT TESTED: no mosquitto_sub on this machine; apt-get install mosquitto-clients",
)
async def test_each_mosquitto_sub_command_prints_a_message(mosquitto: StartMosquitto) -> None:
    broker = await mosquitto()
    topics = ("status", "health", "event/gap", "device/strap/heart_rate", "device/scale/weight")
    for topic in topics:
        await publish(broker.port, f"healthd/home/{topic}", '{"id":"a-1"}', retain=True)
    commands = [shlex.split(line, comments=True) for line in example("sh").splitlines()]
    assert len(commands) >= 5
    for command in commands:
        assert command[0] == "mosquitto_sub"
        async with running(*command, "-p", str(broker.port)) as out:
            (line,) = await lines(out, 1)
        assert '{"id":"a-1"}' in line or "healthd/home/status" in line, command


def test_the_flow_of_node_red_passes_each_id_once() -> None:
    flow: list[dict[str, Any]] = json.loads(example("json"))
    nodes = {each["id"]: each for each in flow}
    assert len(nodes) == len(flow)
    targets = [target for each in flow for wires in each.get("wires", []) for target in wires]
    assert set(targets) <= nodes.keys()
    sources = [each for each in flow if each["type"] == "mqtt in"]
    assert all(matches_a_topic(source["topic"]) for source in sources)
    assert {source["broker"] for source in sources} == {"broker"} <= nodes.keys()
    messages = [
        {"topic": topic, "payload": json.loads(payload)}
        for topic, payload in (
            (LIVE, sample(1)),
            (HISTORY, sample(1)),
            (HISTORY, sample(2)),
            (LIVE, sample(2)),
            (OTHER, sample(1)),
        )
    ]
    code = nodes["once"]["func"]
    stdin = json.dumps({"code": code, "messages": messages})
    passed = json.loads(node("-e", _FUNCTION_NODE, stdin=stdin))
    assert [message is not None for message in passed] == [True, False, True, False, True]
    assert passed[0] == messages[0]


def test_telegraf_subscribes_to_existing_topics() -> None:
    (source,) = tomllib.loads(example("toml"))["inputs"]["mqtt_consumer"]
    assert source["qos"] == 1
    assert source["persistent_session"] is True
    assert all(matches_a_topic(topic) for topic in source["topics"])
    assert [parsing["topic"] for parsing in source["topic_parsing"]] == source["topics"]
    for parsing in source["topic_parsing"]:
        levels = parsing["topic"].count("/")
        assert levels == parsing["measurement"].count("/") == parsing["tags"].count("/")
        assert _names_of("heart_rate", parsing) == {"measurement"}
        assert _names_of("+", parsing) >= {"gateway", "device"}


def _names_of(level: str, parsing: dict[str, str]) -> set[str]:
    """Return the measurement and tags to which Telegraf assigns levels equal to ``level``."""
    rows: Iterable[tuple[str, ...]] = zip(
        *(parsing[key].split("/") for key in ("topic", "measurement", "tags")), strict=True
    )
    return {name for topic, *names in rows for name in names if topic == level} - {"_"}


def test_a_filter_without_a_matching_topic_is_detected() -> None:
    assert matches_a_topic("healthd/#")
    assert matches_a_topic("healthd/+/event/gap")
    assert not matches_a_topic("healthd/+/device/+/hart_rate")


@asynccontextmanager
async def home(broker: Mosquitto, folder: Path) -> AsyncGenerator[None]:
    """Run the gateway of the examples with the page's settings and a scale in range."""
    mqtt = {"brokers": [broker.address], **tomllib.loads(example("toml", REQUESTS))["mqtt"]}
    outbox = {"directory": folder, "max_size": "4MB"}
    settings = Settings.model_validate({"gateway": {"id": "home"}, "mqtt": mqtt, "outbox": outbox})
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        scale = CATALOGUE["weight_scale"].make("C0:5E:5E:00:00:01", random.Random(1), name="Scale")
        await air.add(scale)
        await scale.appear()
        backends = Backends(air.scanner_backend, air.client_backend)
        tasks.create_task(Daemon(settings, load(), {}, backends).run(stop), name="daemon")
        try:
            await broker.logged("1 healthd/home/request/+")
            yield
        finally:
            stop.set()


@needs_mosquitto
@pytest.mark.skipif(
    shutil.which("mosquitto_rr") is None,
    reason="NOT TESTED: no mosquitto_rr on this machine; apt-get install mosquitto-clients",
)
async def test_each_example_of_a_request_gets_a_response(
    mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    broker = await mosquitto()
    (line,) = example("sh", REQUESTS).splitlines()
    command = shlex.split(line)
    assert command[0] == "mosquitto_rr"

    async def answer(*command: str) -> str:
        async with running(*command) as out:
            return (await lines(out, 1))[0]

    async with home(broker, tmp_path), Subscriber(broker.port) as subscriber:
        # Do what Node-RED's other nodes do before and after the function.
        stdin = json.dumps({"code": example("js", REQUESTS), "messages": [{"_msgid": "2f1e.a"}]})
        (message,) = json.loads(await asyncio.to_thread(node, "-e", _FUNCTION_NODE, stdin=stdin))
        await publish(broker.port, message["topic"], json.dumps(message["payload"]))
        plain, python = await asyncio.gather(
            answer(*command, "-p", str(broker.port)), answer(*python_asker(broker.port))
        )
        (flow,) = await subscriber.until(lambda _: subscriber.at("healthd/home/response/scan"))
    number, _, rest = python.partition(" ")
    assert number == "1"
    answers = [json.loads(plain), json.loads(rest), flow.json()]
    assert [response["data"]["found"][0]["suggested_id"] for response in answers] == ["scale"] * 3
    assert [response.get("transaction") for response in answers] == [None, None, "2f1e.a"]
