"""Requests that are late, too many, too large or aimed at others: the daemon and a real broker."""

import asyncio
import random
import shutil
import time
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.simulator.air import Air
from healthd.simulator.fitness.treadmill import Treadmill, treadmill_part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.verbs import OLDEST_CONTROL_S, REQUESTS
from tests.end_to_end.requester import Requester
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, info
from tests.support.effort import effort
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.polling import until
from tests.support.restartable import PATH
from tests.support.subscriber import Subscriber

pytestmark = needs_mosquitto

BELT = {"peripheral": "belt"}
# Not to requests: a flood of them would fill the queue of this client, too.
LISTENED = ("healthd/+/response/#", "healthd/+/device/#", "healthd/+/status", "homeassistant/#")
LONGER_S = OLDEST_CONTROL_S + 1.5


class Gym:
    """A treadmill, and a client that may send requests."""

    def __init__(self, belt: Treadmill, subscriber: Subscriber, broker: Mosquitto) -> None:
        self.belt = belt
        self.subscriber = subscriber
        self.broker = broker
        self.ask = Requester(subscriber)

    async def moves(self) -> None:
        """Start the belt as a client that is here."""
        response = await self.ask.request("start", BELT)
        assert response["status"] == "ok", response


@asynccontextmanager
async def gym(tmp_path: Path, options: str = "", **mqtt: Any) -> AsyncGenerator[Gym]:
    """Run the daemon with a treadmill that streams."""
    folder = tmp_path / "broker"
    folder.mkdir()
    async with (
        Mosquitto(folder, f"allow_anonymous true\n{options}") as broker,
        Subscriber(broker.port, *LISTENED, username="tests") as subscriber,
        Air() as air,
        asyncio.TaskGroup() as tasks,
    ):
        settings = Settings.model_validate(
            {
                "gateway": {"id": "gateway"},
                "mqtt": {"brokers": [broker.address], "requests": list(REQUESTS), **mqtt},
                "outbox": {"directory": tmp_path / "outbox", "max_size": "4MB"},
                "peripherals": [
                    {"id": "belt", "address": address(1), "control": {"speed_mps": [0, 3]}}
                ],
            }
        )
        stop, belt = asyncio.Event(), Treadmill(random.Random(1))
        backends = Backends(air.scanner_backend, air.client_backend)
        daemon = Daemon(settings, registry.load(), {}, backends)
        tasks.create_task(daemon.run(stop))
        try:
            machine = VirtualPeripheral("Belt", address(1), [treadmill_part(belt, 0.1)])
            await add(air, machine)
            await subscriber.until(lambda all_: info(all_, "belt").get("state") == "streaming")
            yield Gym(belt, subscriber, broker)
        finally:
            stop.set()


async def test_a_start_that_waited_while_healthd_stood_still_is_refused(tmp_path: Path) -> None:
    """D7."""
    async with gym(tmp_path) as at:
        assert (await at.ask.request("stop", BELT))["status"] == "ok"
        started = at.ask.send("start", BELT)
        time.sleep(LONGER_S)  # noqa: ASYNC251 (nothing of healthd may run)
        response = await at.ask.response_to(started)
        assert response["status"] == "error", response
        assert "may have waited" in response["error"]
        assert not at.belt.workout.running
        await at.moves()
        # A stop is carried out however late it is.
        stopped = at.ask.send("stop", BELT)
        time.sleep(LONGER_S)  # noqa: ASYNC251
        assert (await at.ask.response_to(stopped))["status"] == "ok"
        assert not at.belt.workout.running


async def test_a_start_that_waited_while_the_broker_stood_still_is_refused(tmp_path: Path) -> None:
    """D7."""
    async with gym(tmp_path) as at:
        await at.moves()
        assert (await at.ask.request("stop", BELT))["status"] == "ok"
        at.broker.freeze()
        started = at.ask.send("start", BELT)
        await asyncio.sleep(LONGER_S)
        at.broker.thaw()
        response = await at.ask.response_to(started)
        assert response["status"] == "error", response
        assert not at.belt.workout.running


async def slow_down() -> None:
    """Make this process slow: each step of the event loop takes long."""
    while True:
        time.sleep(0.05)  # noqa: ASYNC251
        await asyncio.sleep(0)


@asynccontextmanager
async def flood(at: Gym, verb: str, payload: str) -> AsyncGenerator[None]:
    """Publish a request all the time while the block runs; healthd is slow meanwhile."""
    publisher = shutil.which("mosquitto_pub", path=PATH)
    assert publisher is not None
    where = ("-p", str(at.broker.port), "-t", f"healthd/gateway/request/{verb}", "-q", "1")
    how = ("-m", payload, "--repeat", "1000000")
    slow = asyncio.create_task(slow_down())
    flooding = await asyncio.create_subprocess_exec(publisher, *where, *how)
    try:
        yield
    finally:
        flooding.kill()
        await flooding.wait()
        slow.cancel()


async def test_a_stop_behind_a_flood_of_requests_is_carried_out(tmp_path: Path) -> None:
    """D11: the broker drops what a slow client has no room for."""
    async with gym(tmp_path, "max_queued_messages 1000") as at:
        await at.moves()
        async with flood(at, "scan", '{"seconds": 0.01}'):
            await at.broker.logged("messages are being dropped for client healthd-gateway")
            await asyncio.sleep(effort(1, 20))
            stopped = at.ask.send("stop", BELT)
            await at.broker.logged("request/stop")
        response = await at.ask.response_to(stopped)
        assert response["status"] == "ok"
        assert not at.belt.workout.running


async def test_a_huge_request_over_mqtt_3_1_1_takes_little_memory_and_gets_an_error(
    tmp_path: Path,
) -> None:
    """D23: nothing but the reader of packets stands between a broker's user and 256 MB."""
    size = effort(8_000_000, 50_000_000)
    huge = tmp_path / "huge"
    huge.write_bytes(b"x" * size)
    publisher = shutil.which("mosquitto_pub", path=PATH)
    assert publisher is not None
    async with gym(tmp_path, version="3.1.1") as at:
        await at.subscriber.until(lambda all_: info(all_, "belt").get("state") == "streaming")
        tracemalloc.start()
        try:
            where = ("-p", str(at.broker.port), "-t", "healthd/gateway/request/scan", "-q", "1")
            sending = await asyncio.create_subprocess_exec(publisher, *where, "-f", str(huge))
            response = await until_response(at, "scan")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await sending.wait()
        assert response["error"] == "request is longer than 4096 bytes"
        assert peak < 4_000_000
        # The connection has survived it.
        at.subscriber.send("healthd/gateway/request/stop", b'{"peripheral":"belt"}')
        assert (await until_response(at, "stop"))["status"] == "ok"


async def until_response(at: Gym, verb: str, count: int = 1) -> dict[str, Any]:
    """Wait for so many responses at the default topic; return the last one."""
    where = f"healthd/gateway/response/{verb}"
    await at.subscriber.until(lambda _: len(at.subscriber.at(where)) >= count)
    return at.subscriber.at(where)[-1].json()


FORBIDDEN = [
    "homeassistant/status",
    "homeassistant/device/gateway_belt/config",
    "healthd/gateway/device/belt/status",
    "healthd/gateway/request/stop",
    "healthd/other/response/x",
    "healthd/gateway/response//x",
    "healthd/gateway/response/",
    "other/lamp/set",
    "/healthd/gateway/response/x",
    "allowed",
    "healthd/gateway/response/" + "x" * 250,
]


async def test_a_response_goes_only_where_responses_may_go(tmp_path: Path) -> None:
    """D24."""
    async with (
        gym(tmp_path, response_topics=["allowed", "homeassistant"]) as at,
        Subscriber(at.broker.port, "#", name="everything") as everything,
    ):
        for topic in FORBIDDEN:
            correlation = topic[:20].encode()
            payload = b'{"seconds": 0.01, "transaction": 1}'
            how: dict[str, Any] = {"response_topic": topic, "correlation": correlation}
            since = len(everything.messages)
            everything.send("healthd/gateway/request/scan", payload, **how)
            answer = await everything.until(
                lambda all_, since=since: next(
                    (one for one in all_[since:] if one.topic.endswith("/response/scan")), None
                )
            )
            assert "the response topic" in answer.json()["error"], topic
            assert answer.correlation == correlation
        ask: dict[str, Any] = {"response_topic": "allowed/me", "correlation": b"1"}
        everything.send("healthd/gateway/request/scan", b'{"seconds": 0.01}', **ask)
        await everything.until(lambda _: everything.at("allowed/me"))
        responses = [one for one in everything.messages if one.payload[:9] == b'{"status"']
        assert {one.topic for one in responses} == {
            "healthd/gateway/response/scan",
            "allowed/me",
        }


async def test_what_a_response_echoes_is_bounded(tmp_path: Path) -> None:
    """D12: a broker may carry larger messages to healthd than it takes from healthd."""
    async with gym(tmp_path) as at:
        long: tuple[dict[str, Any], ...] = (
            {"correlation": b"x" * 20_000},
            {"response_topic": "healthd/gateway/response/" + "x" * 20_000},
        )
        for how in long:
            since = len(at.subscriber.messages)
            at.subscriber.send("healthd/gateway/request/scan", b"{}", **how)
            answer = await at.subscriber.until(
                lambda all_, since=since: next(
                    (one for one in all_[since:] if one.topic.endswith("/response/scan")), None
                )
            )
            assert answer.json()["status"] == "error"
            assert len(answer.payload) + len(answer.correlation or b"") < 1000
        deep = b'{"transaction": ' + b"[" * 9 + b"]" * 9 + b"}"
        assert "nested deeper" in (await at.ask.request("scan", deep))["error"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_stop_that_arrives_over_two_connections_gets_one_response(
    tmp_path: Path, version: str
) -> None:
    async with gym(tmp_path, version=version) as at:
        await at.broker.logged("-stop 1 healthd/gateway/request/release")
        for number in range(5):
            request = b'{"peripheral":"belt","transaction":%d}' % number
            at.subscriber.send("healthd/gateway/request/release", request)
        last = b'{"peripheral":"other","transaction":5}'
        at.subscriber.send("healthd/gateway/request/release", last)
        where = "healthd/gateway/response/release"
        await at.subscriber.until(lambda _: len(at.subscriber.at(where)) >= 6)
        # What comes over the other connection has arrived when a later request is answered.
        at.subscriber.send("healthd/gateway/request/scan", b'{"seconds": 0.01}')
        assert (await until_response(at, "scan"))["status"] == "ok"
        # What is sent after a stop is sent after it, whichever connection is faster.
        for verb, count in (("start", 1), ("stop", 1), ("start", 2)):
            at.subscriber.send(f"healthd/gateway/request/{verb}", b'{"peripheral":"belt"}')
            answer = await until_response(at, verb, count)
            assert answer["status"] == "ok", answer
        assert at.belt.workout.running
        responses = [one.json() for one in at.subscriber.at(where)]
        assert sorted(one["transaction"] for one in responses) == list(range(6))


@pytest.mark.parametrize(
    ("options", "mqtt", "problem"),
    [
        ("max_connections 2", {}, "no connection of their own"),
        ("use_username_as_clientid true", {"username": "me"}, "ended the other connection"),
    ],
)
async def test_without_a_second_connection_stop_shares_the_first_one(
    tmp_path: Path, options: str, mqtt: dict[str, Any], problem: str
) -> None:
    """As with brokers that limit connections, or end the older one of a user."""
    with capture_logs() as logs:
        async with gym(tmp_path, options, **mqtt) as at:

            async def is_logged() -> bool:
                return any(problem in f"{one['event']} {one.get('error')}" for one in logs)

            async def is_back() -> bool:
                log = list(enumerate(at.broker.log))
                ended = max((at for at, line in log if "already connected" in line), default=0)
                return any(at > ended and "request/+" in line for at, line in log)

            assert await until(is_logged, BOUND_S)
            if mqtt:
                assert await until(is_back, BOUND_S)  # the first connection is made again
            lost = sum(one.get("reason") == "broker_lost" for one in logs)
            at.subscriber.send("healthd/gateway/request/stop", b'{"peripheral":"belt"}')
            assert (await until_response(at, "stop"))["status"] == "ok"
            assert sum(one.get("reason") == "broker_lost" for one in logs) == lost


async def test_a_flood_is_not_listened_to_for_a_while(tmp_path: Path) -> None:
    """D11: a flood with QoS 0, which no broker holds back, does not delay samples and stops."""
    publisher = shutil.which("mosquitto_pub", path=PATH)
    assert publisher is not None
    async with gym(tmp_path) as at:
        await at.moves()
        where = ("-p", str(at.broker.port), "-t", "healthd/gateway/request/scan", "-q", "0")
        how = ("-m", '{"seconds": 0.01}', "--repeat", "100000000")
        flooding = await asyncio.create_subprocess_exec(publisher, *where, *how)
        try:
            await at.subscriber.until(
                lambda all_: any(b"healthd accepts none for now" in one.payload for one in all_),
                BOUND_S,
            )
            assert (await at.ask.request("stop", BELT))["status"] == "ok"
            assert not at.belt.workout.running
        finally:
            flooding.kill()
            await flooding.wait()
        answers = [one for one in at.subscriber.messages if b"accepts none for" in one.payload]
        assert len(answers) == 1
