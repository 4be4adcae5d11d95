"""What is retained for every peripheral, and when."""

import asyncio
from typing import Any

import orjson
import pytest

from healthd.mqtt.devices import Devices
from healthd.mqtt.payloads import Payload
from healthd.mqtt.topics import Topics
from tests.support import virtual_time

STATUS, INFO = "healthd/home/device/strap/status", "healthd/home/device/strap/info"


class Broker:
    """Records what is retained."""

    def __init__(self) -> None:
        self.topics: dict[str, bytes] = {}
        self.published: list[str] = []

    def retain(self, topic: str, payload: Payload | bytes) -> None:
        self.topics[topic] = payload if isinstance(payload, bytes) else payload.encoded()
        self.published.append(topic)

    @property
    def info(self) -> dict[str, Any]:
        return orjson.loads(self.topics[INFO])


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def devices(broker: Broker) -> Devices:
    return Devices(Topics("healthd", "home"), broker.retain)


def stream(devices: Devices) -> None:
    devices.on_state("strap", "preparing")
    devices.on_linked("strap", "Polar H10", ["heart_rate"])
    devices.on_facts("strap", {"maker": "Polar", "model": "H10"})
    devices.on_state("strap", "streaming", online=True)


def test_a_state_that_changes_all_the_time_is_published_once_a_second(
    broker: Broker, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        stream(devices)
        broker.published.clear()
        for number in range(1000):
            devices.on_facts("strap", {"battery": {"level_pct": number}})
            await asyncio.sleep(0.01)
        assert broker.published.count(INFO) < 25
        await asyncio.sleep(2)
        assert broker.info["battery"] == {"level_pct": 999}
        # Other news is published at once, and with it what waits.
        for number in range(20):
            devices.on_facts("strap", {"battery": {"level_pct": number}})
        devices.on_reason("strap", "no_data")
        assert (broker.info["battery"], broker.info["reason"]) == ({"level_pct": 19}, "no_data")
        devices.on_facts("strap", {"battery": {"level_pct": 20}})
        devices.remove("strap")
        published = len(broker.published)
        await asyncio.sleep(10)
        assert len(broker.published) == published

    virtual_time.run(body, monkeypatch)


def test_offline_unless_online(broker: Broker, devices: Devices) -> None:
    devices.on_state("strap", "searching")
    assert broker.topics == {STATUS: b"offline", INFO: b'{"state":"searching"}'}
    devices.on_state("strap", "streaming", online=True)
    assert broker.topics == {STATUS: b"online", INFO: b'{"state":"streaming"}'}


def test_reason_stays_as_long_as_its_state(broker: Broker, devices: Devices) -> None:
    devices.on_state("strap", "waiting", "link_lost")
    assert broker.info == {"state": "waiting", "reason": "link_lost"}
    devices.on_state("strap", "searching")
    assert broker.info == {"state": "searching"}


def test_all_facts_of_a_device_are_published(broker: Broker, devices: Devices) -> None:
    stream(devices)
    assert broker.info == {
        "name": "Polar H10",
        "profiles": ["heart_rate"],
        "maker": "Polar",
        "model": "H10",
        "state": "streaming",
    }


def test_facts_read_during_preparation_are_published_once(broker: Broker, devices: Devices) -> None:
    stream(devices)
    assert broker.published.count(INFO) == 2  # preparing, streaming


def test_facts_read_while_streaming_are_published_at_once(broker: Broker, devices: Devices) -> None:
    stream(devices)
    devices.on_facts("strap", {"battery": {"level_pct": 50}})
    assert broker.info["battery"] == {"level_pct": 50}
    devices.on_facts("strap", {"battery": {"level_pct": 49}})
    assert broker.info["battery"] == {"level_pct": 49}
    assert broker.info["maker"] == "Polar"


def test_facts_stay_until_the_next_link(broker: Broker, devices: Devices) -> None:
    stream(devices)
    devices.on_state("strap", "waiting", "link_lost")
    assert broker.info["maker"] == "Polar"
    devices.on_state("strap", "preparing")
    devices.on_linked("strap", None, [])
    devices.on_state("strap", "streaming", online=True)
    assert broker.info == {"name": None, "profiles": [], "state": "streaming"}


def test_peripherals_do_not_affect_each_other(broker: Broker, devices: Devices) -> None:
    stream(devices)
    devices.on_state("other", "searching")
    assert broker.topics[STATUS] == b"online"
    assert broker.topics["healthd/home/device/other/status"] == b"offline"
    assert broker.topics["healthd/home/device/other/info"] == b'{"state":"searching"}'
    assert sorted(devices.states()) == ["searching", "streaming"]


def test_nan_is_null(broker: Broker, devices: Devices) -> None:
    stream(devices)
    devices.on_facts("strap", {"battery": {"level_pct": float("nan")}})
    assert broker.info["battery"] == {"level_pct": None}


def test_a_bond_stays_across_links(broker: Broker, devices: Devices) -> None:
    devices.on_state("strap", "searching")
    devices.on_bond("strap", False)
    assert broker.info["bonded"] is False
    devices.on_bond("strap", True)
    devices.on_linked("strap", None, [])
    devices.on_state("strap", "streaming", online=True)
    assert broker.info["bonded"] is True


def test_a_bond_and_the_last_run_are_published_together(broker: Broker, devices: Devices) -> None:
    devices.on_state("strap", "searching")
    devices.on_bond("strap", True)
    devices.on_fetch("strap", {"outcome": "no_data"})
    devices.on_linked("strap", None, [])
    devices.on_state("strap", "streaming", online=True)
    assert broker.info["bonded"] is True
    assert broker.info["fetch"] == {"outcome": "no_data"}


def test_a_bond_is_not_published_before_the_first_state(broker: Broker, devices: Devices) -> None:
    devices.on_bond("scale", True)
    assert not any("scale" in topic for topic in broker.published)
    devices.on_state("scale", "searching")
    assert orjson.loads(broker.topics["healthd/home/device/scale/info"])["bonded"] is True


def test_a_removed_peripheral_is_forgotten(broker: Broker, devices: Devices) -> None:
    stream(devices)
    devices.on_bond("strap", True)
    devices.remove("strap")
    assert devices.states() == []
    # After a change of the settings the id may stand for another device.
    devices.on_state("strap", "searching")
    assert broker.info == {"state": "searching"}


def test_what_is_known_is_reported_again_to_a_listener_that_has_just_started(
    broker: Broker,
) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    devices = Devices(
        Topics("healthd", "home"), broker.retain, lambda id_, info: heard.append((id_, {**info}))
    )
    stream(devices)
    devices.on_bond("strap", bonded=True)
    count = len(broker.published)
    heard.clear()
    devices.report()
    assert heard == [("strap", broker.info)]
    assert len(broker.published) == count


def test_only_going_online_or_offline_is_a_change(devices: Devices) -> None:
    devices.on_state("strap", "searching")
    assert not devices.changed.is_set()
    for online in (True, False):
        devices.on_state("strap", "streaming" if online else "waiting", online=online)
        assert devices.changed.is_set()
        devices.changed.clear()
        devices.on_facts("strap", {"maker": "Polar"})
        assert not devices.changed.is_set()
