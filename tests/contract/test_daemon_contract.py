"""What other programs see of healthd: topics, exit codes, files and log of the real process.

The radio is simulated; settings, broker, signals and subscribers are real.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.support.gate import Gate
from tests.support.mosquitto import HOST, StartMosquitto, free_port, needs_mosquitto, password_file
from tests.support.process import Healthd, complaints
from tests.support.streams import Stream, streams, time_of
from tests.support.subscriber import Received, Subscriber

ADDRESS = "A0:9E:1A:00:00:01"
STATUS, INFO = "healthd/gateway/status", "healthd/gateway/info"
STRAPS = ("chest-strap", "other-strap")

# Without a broker nothing shows what healthd does. Samples are stored at an age of two seconds, so
# after this time some are stored, and some are still in memory.
OUTAGE_S = 4.5

# A strap sends once a second; the newest sample is at most this old when a run is stopped.
PERIOD = timedelta(seconds=1)
NEWEST = timedelta(seconds=2.5)

# The same, but below the age that it has if the samples in memory are lost: 1.6 s and more.
NEWEST_IF_KEPT = timedelta(seconds=1.4)

# On a busy machine, starting Python, the radio and two links has taken more than 15 s.
START_S = 60.0


def topic(strap: str, last: str) -> str:
    return f"healthd/gateway/device/{strap}/{last}"


RETAINED = {STATUS, INFO} | {
    topic(strap, last) for strap in STRAPS for last in ("status", "info", "battery")
}


class Home:
    """A folder with settings and outbox, for one gateway with two straps."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "healthd.toml"
        self.outbox = folder / "outbox"

    def write(self, *brokers: str, mqtt: str = "", peripherals: bool = True) -> Path:
        listed = ", ".join(f'"{broker}"' for broker in brokers)
        entries = f"""
            [[peripherals]]
            id = "chest-strap"
            address = "{ADDRESS}"
            [[peripherals]]
            id = "other-strap"
            name = "Polar H10*"
        """
        self.config.write_text(f"""
            [gateway]
            id = "gateway"
            [mqtt]
            brokers = [{listed}]
            {mqtt}
            [outbox]
            directory = "{self.outbox}"
            max_size = "16MB"
            {entries if peripherals else ""}
        """)
        return self.config


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def any_broker() -> AsyncIterator[EmbeddedBroker]:
    """mosquitto if it is installed, else the broker that comes in a wheel."""
    async with EmbeddedBroker() as broker:
        yield broker


def demo(home: Home) -> Healthd:
    return Healthd("demo", "--config", str(home.config))


def samples_at(messages: list[Received], count: int, last: str = "heart_rate") -> bool:
    """Return whether every strap has this many samples at the topic."""
    wanted = [topic(strap, last) for strap in STRAPS]
    seen = [message.topic for message in messages]
    return all(seen.count(one) >= count for one in wanted)


def heart_rates(subscriber: Subscriber) -> list[dict[str, Stream]]:
    """Return the heart-rate streams of each strap, by run."""
    return [streams(subscriber.messages, topic(strap, "heart_rate")) for strap in STRAPS]


def oldest_end(stream: Stream, stopped_at: datetime) -> datetime:
    """Return the least time of the last sample of a run: earlier if its strap was slowed down.

    On a busy machine the simulated strap sends late, and the pauses between samples show by how
    much. Samples that were lost at the end leave no such pause.
    """
    times = [time_of(stream.samples[seq]) for seq in sorted(stream.samples)]
    longest = max((later - earlier for earlier, later in pairwise(times)), default=PERIOD)
    return stopped_at - NEWEST_IF_KEPT - 3 * max(timedelta(), longest - PERIOD)


async def retained(port: int, wanted: set[str]) -> dict[str, Received]:
    """Return the retained messages at the broker, once they include ``wanted``."""

    def memory(messages: list[Received]) -> dict[str, Received]:
        return {message.topic: message for message in messages if message.retained}

    async with Subscriber(port, name="late-subscriber") as late:
        await late.until(lambda all_: wanted <= memory(all_).keys())
        return memory(late.messages)


async def test_topics(any_broker: EmbeddedBroker, home: Home) -> None:
    home.write(f"{HOST}:{any_broker.port}")
    async with Subscriber(any_broker.port) as subscriber, demo(home) as healthd:
        await subscriber.until(lambda all_: samples_at(all_, 2))
        memory = await retained(any_broker.port, RETAINED)
        assert {one: memory[one].payload for one in memory if one.endswith("/status")} == {
            STATUS: b"online",
            **{topic(strap, "status"): b"online" for strap in STRAPS},
        }
        info = memory[INFO].json()
        assert {"version", "host", "run", "profiles"} <= info.keys()
        assert {"battery", "device_information", "heart_rate"} <= set(info["profiles"])
        assert info["peripherals"] == list(STRAPS)
        for strap in STRAPS:
            of_strap = memory[topic(strap, "info")].json()
            wanted = {"name", "maker", "model", "firmware", "profiles", "state", "battery"}
            assert wanted <= of_strap.keys()
            assert of_strap["state"] == "streaming"
            assert of_strap["maker"] == "healthd"
            assert of_strap["battery"]["level_pct"] == 95
            battery = memory[topic(strap, "battery")]
            assert battery.json()["level_pct"] == 95
            assert battery.json()["id"] == f"{info['run']}-1"
            # A stale heart rate must not look fresh.
            assert topic(strap, "heart_rate") not in memory
            for message in subscriber.at(topic(strap, "heart_rate")):
                assert (message.qos, message.retained) == (1, False)
                assert message.content_type == "application/json"
                assert message.user == {"schema": "heart_rate/1"}
                payload = message.json()
                assert payload["id"] == f"{info['run']}-{payload['seq']}"
                assert payload["clock"] in ("synced", "unsynced")
                assert 40 <= payload["heart_rate_bpm"] <= 160
                assert payload["sensor_contact_detected"] is True
        healthd.send_kill()
        await subscriber.until_payload(STATUS, b"offline")
        assert await healthd.ended() == -9
    assert (await retained(any_broker.port, {STATUS}))[STATUS].payload == b"offline"


@needs_mosquitto
async def test_retained_topics_are_published_again_if_the_broker_lost_them(
    mosquitto: StartMosquitto, home: Home
) -> None:
    broker = await mosquitto()
    home.write(broker.address)
    async with demo(home) as healthd:
        async with Subscriber(broker.port) as subscriber:
            await subscriber.until(lambda all_: samples_at(all_, 1))
        before = await retained(broker.port, RETAINED)
        await broker.kill()
        await healthd.logged("retrying", reason="broker_lost", service="mqtt")
        await broker.start()
        after = await retained_again(broker.port)
        assert {one: after[one].payload for one in RETAINED} == {
            one: before[one].payload for one in RETAINED
        }
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []


async def retained_again(port: int) -> dict[str, Received]:
    """Return the retained messages once all of them have been published again."""
    async with Subscriber(port) as subscriber:
        await subscriber.until(lambda all_: {message.topic for message in all_} >= RETAINED)
    return await retained(port, RETAINED)


async def test_sigterm_loses_nothing_and_publishes_offline(
    any_broker: EmbeddedBroker, home: Home
) -> None:
    home.write(f"{HOST}:{any_broker.port}")
    async with Subscriber(any_broker.port) as subscriber, demo(home) as healthd:
        await subscriber.until(lambda all_: samples_at(all_, 3))
        stopped_at = datetime.now(UTC)
        assert await healthd.stopped() == 0
        await healthd.logged("stopped")
        await subscriber.until_payload(STATUS, b"offline")
        for of_strap in heart_rates(subscriber):
            (stream,) = of_strap.values()
            stream.check()
            assert stream.history == []
            assert stream.last_time > stopped_at - NEWEST
        # Published once, by healthd: the broker does not publish the will as well.
        assert [one.payload for one in subscriber.at(STATUS)] == [b"online", b"offline"]
    memory = await retained(any_broker.port, RETAINED)
    assert {memory[one].payload for one in memory if one.endswith("/status")} == {b"offline"}
    for strap in STRAPS:
        assert memory[topic(strap, "info")].json()["state"] == "disabled"
    assert complaints(healthd.log) == []


async def test_offline_is_the_last_message(any_broker: EmbeddedBroker, home: Home) -> None:
    home.write(f"{HOST}:{any_broker.port}")
    async with Subscriber(any_broker.port) as subscriber, demo(home) as healthd:
        await subscriber.until(lambda all_: samples_at(all_, 1))
        assert await healthd.stopped() == 0
        await subscriber.until(lambda all_: {m.topic for m in all_ if is_last(m)} >= RETAINED)
    assert [one.topic for one in subscriber.messages][-1] == STATUS


def is_last(message: Received) -> bool:
    """Return whether it is a message of the state after a clean stop (or any battery level)."""
    if message.topic.endswith("/info"):
        return message.topic == INFO or message.json()["state"] == "disabled"
    return message.payload == b"offline" or message.topic.endswith("/battery")


@needs_mosquitto
@pytest.mark.timeout(4 * START_S)
async def test_sigterm_without_a_broker_keeps_the_samples_for_the_next_run(
    mosquitto: StartMosquitto, home: Home
) -> None:
    broker = await mosquitto()
    home.write(broker.address)
    async with Subscriber(broker.port) as subscriber:
        async with demo(home) as healthd:
            await subscriber.until(lambda all_: samples_at(all_, 2), START_S)
            await broker.stop()
            await healthd.logged("retrying", service="mqtt")
            await asyncio.sleep(OUTAGE_S)
            stopped_at = datetime.now(UTC)
            assert await healthd.stopped() == 0
        assert complaints(healthd.log) == []
        (first_run,) = heart_rates(subscriber)[0]
        assert subscriber.at(topic("chest-strap", "heart_rate/history")) == []

        await broker.start()
        await subscriber.subscribed()
        already = len(subscriber.messages)
        async with demo(home) as healthd:
            await subscriber.until(
                lambda _: all(
                    of_strap[first_run].last_time > oldest_end(of_strap[first_run], stopped_at)
                    for of_strap in heart_rates(subscriber)
                ),
                START_S,
            )
            await subscriber.until(lambda all_: samples_at(all_[already:], 1), START_S)
            assert await healthd.stopped() == 0
        assert complaints(healthd.log) == []
    for of_strap in heart_rates(subscriber):
        assert len(of_strap) == 2
        for run, stream in of_strap.items():
            stream.check()
            if run == first_run:
                assert len(stream.history) >= 2
                assert max(stream.live) < min(stream.history)
            else:
                assert stream.history == []


async def test_a_broker_that_comes_up_late_gets_everything(
    any_broker: EmbeddedBroker, home: Home
) -> None:
    async with Subscriber(any_broker.port) as subscriber, Gate(any_broker.port) as gate:
        home.write(gate.address)
        async with demo(home) as healthd:
            await healthd.logged("retrying", reason="broker_unreachable", service="mqtt")
            await healthd.logged("state", peripheral="chest-strap", state="streaming")
            await asyncio.sleep(OUTAGE_S)
            assert subscriber.messages == []
            await gate.open()
            await subscriber.until_payload(STATUS, b"online")
            await subscriber.until(lambda all_: samples_at(all_, 2))
            await subscriber.until(lambda all_: samples_at(all_, 1, "heart_rate/history"))
            # Live samples do not wait for stored ones: wait until all have arrived.
            await subscriber.until(
                lambda _: all(
                    one.is_whole for runs in heart_rates(subscriber) for one in runs.values()
                )
            )
            assert await healthd.stopped() == 0
        await subscriber.until_payload(STATUS, b"offline")
    for of_strap in heart_rates(subscriber):
        (stream,) = of_strap.values()
        stream.check()
        assert stream.history
        assert stream.live
    assert complaints(healthd.log) == []


async def test_a_dead_broker_first_in_the_list(any_broker: EmbeddedBroker, home: Home) -> None:
    home.write(f"{HOST}:{free_port()}", f"{HOST}:{any_broker.port}")
    async with Subscriber(any_broker.port) as subscriber, demo(home) as healthd:
        await healthd.logged("connected", broker=f"{HOST}:{any_broker.port}")
        await subscriber.until(lambda all_: samples_at(all_, 2))
        assert await healthd.stopped() == 0
        await subscriber.until_payload(STATUS, b"offline")
    for of_strap in heart_rates(subscriber):
        (stream,) = of_strap.values()
        stream.check()


async def test_a_mute_broker_first_in_the_list(any_broker: EmbeddedBroker, home: Home) -> None:
    with socket.socket() as mute:
        # The kernel accepts connections for a listening socket; no program ever answers.
        mute.bind((HOST, 0))
        mute.listen()
        home.write(f"{HOST}:{mute.getsockname()[1]}", f"{HOST}:{any_broker.port}")
        async with Subscriber(any_broker.port) as subscriber, demo(home) as healthd:
            await subscriber.until(lambda all_: samples_at(all_, 1))
            assert await healthd.stopped() == 0


@needs_mosquitto
@pytest.mark.timeout(90)
async def test_a_wrong_password_loses_no_sample(
    mosquitto: StartMosquitto, home: Home, tmp_path: Path
) -> None:
    users = password_file(tmp_path, {"healthd": "right"})
    broker = await mosquitto(f"allow_anonymous false\npassword_file {users}")
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    home.write(broker.address, mqtt=f'username = "healthd"\npassword_file = "{secret}"')
    async with Subscriber(broker.port, username="healthd", password="right") as subscriber:
        async with demo(home) as healthd:
            await healthd.logged("retrying", reason="credentials_refused", service="mqtt")
            await healthd.logged("state", peripheral="chest-strap", state="streaming")
            await asyncio.sleep(OUTAGE_S)
            newest = datetime.now(UTC) - NEWEST
            assert healthd.is_running
            assert await healthd.stopped() == 0
        assert complaints(healthd.log) == []
        assert subscriber.messages == []
        secret.write_text("right\n")
        async with demo(home) as healthd:
            await subscriber.until(lambda all_: samples_at(all_, 2, "heart_rate/history"))
            await subscriber.until(
                lambda _: all(
                    any(one.history and one.last_time > newest for one in runs.values())
                    for runs in heart_rates(subscriber)
                )
            )
            assert await healthd.stopped() == 0
        assert complaints(healthd.log) == []
    for of_strap in heart_rates(subscriber):
        for stream in of_strap.values():
            stream.check()


@pytest.mark.parametrize("command", ["run", "demo"])
async def test_all_bad_settings_are_logged_at_once(command: str, tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text("""
        [gateway]
        id = "Living Room"
        [mqtt]
        borkers = ["localhost"]
        [[peripherals]]
        id = "chest-strap"
        address = "A0:9E:1A"
    """)
    async with Healthd(command, "--config", str(config)) as healthd:
        assert await healthd.ended() == 78
    assert {line["key"] for line in healthd.log} == {
        "gateway.id",
        "mqtt.borkers",
        "peripherals[0].address",
    }
    for line in healthd.log:
        assert (line["event"], line["level"]) == ("bad setting", "critical")
        assert line["file"] == str(config)
        assert line["found"]
        assert line["expected"]
    assert healthd.out == []


@pytest.mark.parametrize("command", ["run", "demo"])
async def test_a_missing_password_file_is_tried_again(command: str, home: Home) -> None:
    home.write("localhost", mqtt='password_file = "/nowhere/secret"', peripherals=False)
    async with Healthd(command, "--config", str(home.config)) as healthd:
        # systemd starts healthd again: the file may only be missing for a moment.
        assert await healthd.ended() == 1
    assert any("/nowhere/secret" in str(line) for line in healthd.log)
    assert complaints(healthd.log) == []


async def test_run_without_peripherals(any_broker: EmbeddedBroker, home: Home) -> None:
    home.write(f"{HOST}:{any_broker.port}", peripherals=False)
    async with (
        Subscriber(any_broker.port) as subscriber,
        Healthd("run", "--config", str(home.config)) as healthd,
    ):
        await subscriber.until_payload(STATUS, b"online")
        await healthd.logged("no peripherals in the settings", level="warning")
        info = (await subscriber.until(lambda all_: [m for m in all_ if m.topic == INFO]))[0]
        assert info.json()["peripherals"] == []
        assert await healthd.stopped() == 0
        await subscriber.until_payload(STATUS, b"offline")
    assert complaints(healthd.log) == []
    assert healthd.out == []


async def test_the_log_contains_transitions_and_nothing_private(
    any_broker: EmbeddedBroker, home: Home
) -> None:
    home.write(f"{HOST}:{any_broker.port}")
    async with Subscriber(any_broker.port) as subscriber, demo(home) as healthd:
        await subscriber.until(lambda all_: samples_at(all_, 5))
        assert await healthd.stopped() == 0
    assert complaints(healthd.log) == []
    text = str(healthd.log).upper()
    for private in (ADDRESS, ADDRESS.replace(":", "_"), ADDRESS.replace(":", "-"), "HEART_RATE_"):
        assert private not in text
    # The subscriber, by contrast, saw health values in this very run.
    assert b"heart_rate_bpm" in subscriber.at(topic("chest-strap", "heart_rate"))[0].payload
    streaming = {"state": "streaming", "peripheral": "chest-strap"}
    assert sum(streaming.items() <= line.items() for line in healthd.log) == 1
    # One line per transition, none per sample: there were at least ten samples in this run.
    events = [(line["event"], line.get("peripheral"), line.get("state")) for line in healthd.log]
    assert len(events) == len(set(events))
    assert all(datetime.fromisoformat(line["timestamp"]) for line in healthd.log)
