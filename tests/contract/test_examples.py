"""The examples of docs/mqtt.md do what the page says, as they stand there."""

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

# What Node-RED gives to a function node, as far as this one uses it.
_FUNCTION_NODE = """
const { code, messages } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const kept = new Map();
const context = { get: (key) => kept.get(key), set: (key, value) => kept.set(key, value) };
const node = new Function("msg", "context", code);
process.stdout.write(JSON.stringify(messages.map((msg) => node(msg, context))));
"""

_TOPICS = [
    re.sub(r"{(\w+)}", "x", one.address.replace("{prefix}", "healthd")) for one in channels(load())
]


def sample(number: int, run: str = "7f3a1c0e") -> str:
    time = f"2026-11-24T02:03:{number:02}.123456Z"
    envelope = {"id": f"{run}-{number}", "time": time, "clock": "synced", "seq": number}
    return json.dumps(envelope | {"heart_rate_bpm": 60 + number})


def leads_somewhere(topic_filter: str) -> bool:
    """Whether healthd publishes anything that the filter lets through."""
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
    told = f"{LIVE} 2026-11-24T02:03"
    async with running(*consumer) as out:
        await broker.logged("Received SUBSCRIBE from my-consumer")
        for topic, payload in (
            (LIVE, sample(1)),
            (LIVE, sample(1)),  # the acknowledgement was lost with the connection
            (HISTORY, sample(1)),  # and it had been stored meanwhile
            (HISTORY, sample(2)),
            (LIVE, sample(2)),
            (OTHER, sample(1)),  # an id is unique within its stream alone
            (LIVE, sample(1, "00000000")),  # healthd was started again
            (LIVE, sample(3)),
        ):
            await publish(broker.port, topic, payload)
        assert await lines(out, 5) == [
            f"{told}:01.123456Z 61",
            f"{told}:02.123456Z 62",
            f"{OTHER} 2026-11-24T02:03:01.123456Z 61",
            f"{told}:01.123456Z 61",
            f"{told}:03.123456Z 63",
        ]
    # What comes while it is not running waits for it at the broker.
    await publish(broker.port, HISTORY, sample(4))
    async with running(*consumer) as out:
        assert await lines(out, 1) == [f"{told}:04.123456Z 64"]


@needs_mosquitto
@pytest.mark.skipif(
    shutil.which("mosquitto_sub") is None,
    reason="NOT TESTED: no mosquitto_sub on this machine; apt-get install mosquitto-clients",
)
async def test_each_line_of_mosquitto_sub_shows_something(mosquitto: StartMosquitto) -> None:
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
    nodes = {one["id"]: one for one in flow}
    assert len(nodes) == len(flow)
    ends = [end for one in flow for output in one.get("wires", []) for end in output]
    assert set(ends) <= nodes.keys()
    sources = [one for one in flow if one["type"] == "mqtt in"]
    assert all(leads_somewhere(one["topic"]) for one in sources)
    assert {one["broker"] for one in sources} == {"broker"} <= nodes.keys()
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
    asked = json.dumps({"code": code, "messages": messages})
    passed = json.loads(node("-e", _FUNCTION_NODE, stdin=asked))
    assert [one is not None for one in passed] == [True, False, True, False, True]
    assert passed[0] == messages[0]


def test_telegraf_reads_topics_that_there_are() -> None:
    (source,) = tomllib.loads(example("toml"))["inputs"]["mqtt_consumer"]
    assert source["qos"] == 1
    assert source["persistent_session"] is True
    assert all(leads_somewhere(topic) for topic in source["topics"])
    assert [one["topic"] for one in source["topic_parsing"]] == source["topics"]
    for one in source["topic_parsing"]:
        levels = one["topic"].count("/")
        assert levels == one["measurement"].count("/") == one["tags"].count("/")
        assert _told("heart_rate", one) == {"measurement"}
        assert _told("+", one) >= {"gateway", "device"}


def _told(level: str, parsing: dict[str, str]) -> set[str]:
    """What Telegraf takes the levels of a topic for that are ``level``."""
    rows: Iterable[tuple[str, ...]] = zip(
        *(parsing[key].split("/") for key in ("topic", "measurement", "tags")), strict=True
    )
    return {name for topic, *names in rows for name in names if topic == level} - {"_"}


def test_a_filter_that_leads_nowhere_is_told() -> None:
    assert leads_somewhere("healthd/#")
    assert leads_somewhere("healthd/+/event/gap")
    assert not leads_somewhere("healthd/+/device/+/hart_rate")


@asynccontextmanager
async def home(broker: Mosquitto, folder: Path) -> AsyncGenerator[None]:
    """The gateway of the examples, with the page's settings and a scale in range, listening."""
    mqtt = {"brokers": [broker.address], **tomllib.loads(example("toml", REQUESTS))["mqtt"]}
    outbox = {"directory": folder, "max_size": "4MB"}
    settings = Settings.model_validate({"gateway": {"id": "home"}, "mqtt": mqtt, "outbox": outbox})
    stop = asyncio.Event()
    async with Air() as air, asyncio.TaskGroup() as tasks:
        scale = CATALOGUE["weight_scale"].make("C0:5E:5E:00:00:01", random.Random(1), name="Scale")
        await air.add(scale)
        await scale.appear()
        backends = Backends(air.scanner_backend, air.client_backend)
        tasks.create_task(Daemon(settings, load(), {}, backends).run(stop))
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
async def test_each_way_of_asking_is_answered(mosquitto: StartMosquitto, tmp_path: Path) -> None:
    broker = await mosquitto()
    (line,) = example("sh", REQUESTS).splitlines()
    command = shlex.split(line)
    assert command[0] == "mosquitto_rr"

    async def answer(*command: str) -> str:
        async with running(*command) as out:
            return (await lines(out, 1))[0]

    async with home(broker, tmp_path), Subscriber(broker.port) as subscriber:
        # What Node-RED's nodes do behind and before the function.
        asked = json.dumps({"code": example("js", REQUESTS), "messages": [{"_msgid": "2f1e.a"}]})
        (message,) = json.loads(await asyncio.to_thread(node, "-e", _FUNCTION_NODE, stdin=asked))
        await publish(broker.port, message["topic"], json.dumps(message["payload"]))
        plain, told = await asyncio.gather(
            answer(*command, "-p", str(broker.port)), answer(*python_asker(broker.port))
        )
        (flow,) = await subscriber.until(lambda _: subscriber.at("healthd/home/response/scan"))
    number, _, rest = told.partition(" ")
    assert number == "1"
    answers = [json.loads(plain), json.loads(rest), flow.json()]
    assert [one["data"]["found"][0]["suggested_id"] for one in answers] == ["scale"] * 3
    assert [one.get("transaction") for one in answers] == [None, None, "2f1e.a"]
