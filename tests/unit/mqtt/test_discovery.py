"""When announcements are published to Home Assistant, and when they are removed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from healthd.mqtt import discovery as module
from healthd.mqtt.announced import FILE_NAME
from healthd.mqtt.arrivals import Message
from healthd.mqtt.discovery import Discovery
from healthd.mqtt.inbox import Inbox
from healthd.mqtt.payloads import Payload
from healthd.mqtt.topics import Topics
from healthd.profiles.heart_rate import HeartRate
from healthd.profiles.reader import Undecoded
from healthd.profiles.registry import load
from healthd.profiles.weight_scale import Weight
from healthd.samples import Measurement, Sample, Stamp
from healthd.settings.model import Settings
from tests.support.hass_discovery import BusyHomeAssistant
from tests.support.hass_rules import complaints

BOUND_S = 5.0
REGISTRY = load()
GATEWAY = "homeassistant/device/home/config"
STRAP = "homeassistant/device/home_strap/config"
SCALE = "homeassistant/device/home_scale/config"
RATE = "heart_rate_heart_rate_bpm"


class Broker:
    """Accepts messages at once, or with ``accept`` if it is not reachable.

    Attributes:
        reachable: whether it accepts messages at once.
        kept: the retained payload of each topic; None: cleared.
        published: topic and payload of every message.
        subscriber: gets every message.
    """

    def __init__(self) -> None:
        self.reachable = True
        self.subscriber: BusyHomeAssistant | None = None
        self.kept: dict[str, dict[str, Any] | None] = {}
        self.published: list[tuple[str, dict[str, Any] | None]] = []
        self._waiting: dict[str, Callable[[], None] | None] = {}
        self._changed = asyncio.Condition()
        self._notifiers: set[asyncio.Task[None]] = set()

    def retain(
        self, topic: str, payload: Payload | bytes, on_accepted: Callable[[], None] | None = None
    ) -> None:
        encoded = payload if isinstance(payload, bytes) else payload.encoded()
        found: dict[str, Any] | None = orjson.loads(encoded) if encoded else None
        assert found is None or complaints(topic, found) == []
        self.kept[topic] = found
        self.published.append((topic, found))
        if self.subscriber is not None:
            self.subscriber.receive(topic, found)
        self._waiting[topic] = on_accepted
        if self.reachable:
            self.accept()
        self._notify()

    def accept(self) -> None:
        """Accept all messages that were published so far."""
        waiting, self._waiting = self._waiting, {}
        for on_accepted in waiting.values():
            if on_accepted is not None:
                on_accepted()
        self._notify()

    async def until(self, reached: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(BOUND_S), self._changed:
                await self._changed.wait_for(reached)
        except TimeoutError:
            raise AssertionError([topic for topic, _ in self.published]) from None

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.create_task(notify())
        self._notifiers.add(task)
        task.add_done_callback(self._notifiers.discard)

    def at(self, topic: str) -> list[dict[str, Any] | None]:
        """Return everything that was published at a topic."""
        return [payload for one, payload in self.published if one == topic]

    def entities(self, topic: str) -> dict[str, Any]:
        """Return the announced entities."""
        payload = self.kept.get(topic)
        return {} if payload is None else payload["cmps"]


class HomeAssistant(Inbox):
    """An inbox whose messages come from Home Assistant.

    Attributes:
        listeners: by topic filter.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listeners: dict[str, Callable[[Message], None]] = {}

    def subscribe(
        self,
        topic_filter: str,
        on_message: Callable[[Message], None],
        room: Callable[[], Awaitable[object]] | None = None,
        one_by_one: Callable[[], Iterable[str]] | None = None,
        timed: Callable[[], bool] | None = None,
        on_flood: Callable[[Message], None] | None = None,
        urgent: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.listeners[topic_filter] = on_message

    def unsubscribe(self, topic_filter: str, on_message: Callable[[Message], None]) -> None:
        assert self.listeners.pop(topic_filter) == on_message

    def publish(self, payload: bytes, *, retained: bool = False) -> None:
        for topic, on_message in self.listeners.items():
            on_message(Message(topic, payload, retained))


@pytest.fixture
def home() -> HomeAssistant:
    return HomeAssistant()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0.01)
    monkeypatch.setattr(module, "FIRST_S", 0.01)
    monkeypatch.setattr(module, "REPEAT_S", 60.0)
    monkeypatch.setattr(module, "JITTER_S", (0.01, 0.02))


@pytest.fixture
def repeats_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPEAT_S", 0.05)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def settings(
    *peripherals: str,
    discovery: str | None = "homeassistant",
    address: str | None = None,
    requests: tuple[str, ...] = (),
) -> Settings:
    entries: list[dict[str, Any]] = [
        {"id": id_, **({"address": address} if address else {"name": id_})} for id_ in peripherals
    ]
    mqtt = {"discovery": discovery, "requests": requests}
    return Settings.model_validate({"mqtt": mqtt, "peripherals": entries})


@asynccontextmanager
async def running(
    folder: Path,
    broker: Broker,
    first: Settings,
    *,
    topics: Topics | None = None,
    home: HomeAssistant | None = None,
) -> AsyncGenerator[Discovery]:
    """One run of the daemon's discovery."""
    topics, home = topics or Topics("healthd", "home"), home or HomeAssistant()
    discovery = Discovery(topics, broker, home, folder, REGISTRY)
    discovery.apply(first)
    service = asyncio.create_task(discovery.run(lambda: None))
    try:
        yield discovery
    finally:
        service.cancel()
        await asyncio.wait([service])
        assert service.cancelled()


def sample(
    measurement: Measurement, peripheral: str = "strap", stream: str | None = None
) -> Sample:
    return Sample(
        peripheral, stream or measurement.kind, "run", 1, Stamp(0, 0, "synced"), measurement
    )


def beat(**more: Any) -> Sample:
    fields = {"heart_rate_bpm": 60, "sensor_contact_supported": False}
    return sample(HeartRate.of({**fields, "sensor_contact_detected": None, **more}))


def saved(folder: Path) -> dict[str, Any]:
    return orjson.loads((folder / FILE_NAME).read_bytes())


async def settled(broker: Broker, *topics: str) -> None:
    """Wait until exactly these topics are announced."""
    await broker.until(
        lambda: {one for one, payload in broker.kept.items() if payload} == set(topics)
    )


async def next_message(discovery: Discovery, broker: Broker, count: int) -> None:
    """Cause a message and check that nothing else has caused one since there were ``count``."""
    discovery.on_info("strap", {"state": "streaming", "model": f"after {count}"})
    await broker.until(lambda: len(broker.published) > count)
    (message,) = broker.published[count:]
    assert message[1] is not None
    assert message[1]["dev"]["mdl"] == f"after {count}"


# Off


async def test_without_discovery_nothing_happens(
    tmp_path: Path, broker: Broker, home: HomeAssistant
) -> None:
    off = settings("strap", discovery=None)
    async with running(tmp_path, broker, off, home=home) as discovery:
        discovery.on_sample(beat())
        discovery.on_info("strap", {"state": "streaming", "name": "Strap"})
        await asyncio.sleep(10 * module.SETTLE_S)  # there is no event to wait for
        assert broker.published == []
        assert home.listeners == {}
        assert not (tmp_path / FILE_NAME).exists()
        discovery.apply(settings("strap"))
        await settled(broker, GATEWAY, STRAP)
    assert RATE not in broker.entities(STRAP)


# What is announced


async def test_gateway_and_peripherals_are_announced_at_once(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap", "scale")):
        await settled(broker, GATEWAY, STRAP, SCALE)
    # First, because the others refer to it.
    assert broker.published[0][0] == GATEWAY
    assert broker.entities(STRAP).keys() == {"status", "link_state"}


async def test_the_first_sample_with_a_key_adds_an_entity(tmp_path: Path, broker: Broker) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await broker.until(lambda: STRAP in broker.kept)
        for _ in range(3):
            discovery.on_sample(beat())
        await broker.until(lambda: RATE in broker.entities(STRAP))
        discovery.on_sample(beat(energy_expended_kj=4))
        await broker.until(lambda: "heart_rate_energy_expended_kj" in broker.entities(STRAP))
        count = len(broker.published)
        discovery.on_sample(beat(energy_expended_kj=5))
        discovery.on_sample(sample(Weight.of({"weight_kg": 70.0}), "scale"))  # not in the settings
        await next_message(discovery, broker, count)


async def test_a_key_that_is_always_null_has_no_entity(tmp_path: Path, broker: Broker) -> None:
    """It would be unknown forever, like the contact of a strap that cannot detect it."""
    async with running(tmp_path, broker, settings("strap")) as discovery:
        for _ in range(3):
            discovery.on_sample(beat(energy_expended_kj=None))
        await broker.until(lambda: RATE in broker.entities(STRAP))
        assert broker.entities(STRAP).keys() == {"status", "link_state", RATE}
        discovery.on_sample(beat(energy_expended_kj=0))
        await broker.until(lambda: "heart_rate_energy_expended_kj" in broker.entities(STRAP))


async def test_changes_within_a_short_time_are_announced_together(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await broker.until(lambda: STRAP in broker.kept)
        monkeypatch.setattr(module, "SETTLE_S", 0.2)
        count = len(broker.published)
        discovery.on_sample(beat())
        await asyncio.sleep(0)
        discovery.on_sample(sample(Weight.of({"weight_kg": 70.0})))
        discovery.on_info("strap", {"state": "streaming", "name": "Strap", "maker": "X"})
        await broker.until(lambda: len(broker.published) > count)
        (message,) = broker.published[count:]
    assert message[1] is not None
    assert message[1]["dev"]["mf"] == "X"
    assert message[1]["cmps"].keys() >= {RATE, "weight_weight_kg"}


async def test_undecoded_bytes_have_no_entity(tmp_path: Path, broker: Broker) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await broker.until(lambda: STRAP in broker.kept)
        count = len(broker.published)
        unknown = Undecoded(hex="00", size_bytes=1, error="")
        discovery.on_sample(sample(unknown, stream="undecoded/2a37"))
        await next_message(discovery, broker, count)


async def test_facts_of_a_device_are_announced_once_all_are_read(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await broker.until(lambda: STRAP in broker.kept)
        count = len(broker.published)
        discovery.on_info("strap", {"state": "waiting", "name": "Strap 1"})
        discovery.on_info("strap", {"state": "streaming", "name": "Strap 2", "maker": "X"})
        await broker.until(lambda: len(broker.published) > count)
        (message,) = broker.published[count:]
        assert message[1] is not None
        assert (message[1]["dev"]["name"], message[1]["dev"]["mf"]) == ("Strap 2", "X")
        discovery.on_info("strap", {"state": "streaming", "name": None, "battery": {}})
        await next_message(discovery, broker, count + 1)
    kept = broker.kept[STRAP]
    assert kept is not None
    assert kept["dev"]["name"] == "Strap 2"


async def test_profiles_that_a_link_does_not_find_are_not_forgotten(
    tmp_path: Path, broker: Broker
) -> None:
    """Otherwise the names would change with each link on which BlueZ misses a service."""
    async with running(tmp_path, broker, settings("strap")) as discovery:
        for profiles in (["heart_rate", "fitness_machine"], ["battery"], ["heart_rate"]):
            discovery.on_info("strap", {"state": "streaming", "profiles": profiles})
        await settled(broker, GATEWAY, STRAP)
    facts = saved(tmp_path)["peripherals"]["strap"]["facts"]
    assert facts == {"profiles": ["battery", "fitness_machine", "heart_rate"]}


# Restarts


async def test_a_restart_announces_the_same_before_any_link(tmp_path: Path, broker: Broker) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        discovery.on_sample(beat())
        discovery.on_info("strap", {"state": "streaming", "name": "Strap", "maker": "X"})
        await broker.until(lambda: RATE in broker.entities(STRAP))
    again = Broker()
    async with running(tmp_path, again, settings("strap")):
        await again.until(lambda: STRAP in again.kept)
    assert again.kept == broker.kept
    assert len(again.published) == 2


async def test_an_unreadable_file_is_replaced(tmp_path: Path, broker: Broker) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"topics": 5}')
    async with running(tmp_path, broker, settings("strap")):
        await settled(broker, GATEWAY, STRAP)


# Removal


@pytest.mark.usefixtures("repeats_soon")
async def test_a_peripheral_that_leaves_the_settings_is_removed(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap", "scale")) as discovery:
        discovery.on_sample(beat())
        await settled(broker, GATEWAY, STRAP, SCALE)
        discovery.apply(settings("scale"))
        await settled(broker, GATEWAY, SCALE)
    assert broker.published[-1] == (STRAP, None)
    assert saved(tmp_path)["peripherals"] == {}


async def test_a_peripheral_that_left_while_healthd_was_down_is_removed(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap", "scale")):
        await settled(broker, GATEWAY, STRAP, SCALE)
    async with running(tmp_path, broker, settings("scale")):
        await settled(broker, GATEWAY, SCALE)


async def test_a_removal_that_no_broker_accepted_is_repeated_by_the_next_run(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap", "scale")):
        await settled(broker, GATEWAY, STRAP, SCALE)
    unreachable = Broker()
    unreachable.reachable = False
    async with running(tmp_path, unreachable, settings("scale")):
        await unreachable.until(lambda: STRAP in unreachable.kept)
    async with running(tmp_path, broker, settings("scale")):
        await settled(broker, GATEWAY, SCALE)


@pytest.mark.usefixtures("repeats_soon")
async def test_switching_discovery_off_removes_everything(
    tmp_path: Path, broker: Broker, home: HomeAssistant
) -> None:
    async with running(tmp_path, broker, settings("strap"), home=home) as discovery:
        discovery.on_sample(beat())
        await settled(broker, GATEWAY, STRAP)
        discovery.apply(settings("strap", discovery=None))
        await settled(broker)
        assert home.listeners == {}
        discovery.apply(settings("strap"))
        await settled(broker, GATEWAY, STRAP)
        assert RATE not in broker.entities(STRAP)
        discovery.on_sample(beat())
        await broker.until(lambda: RATE in broker.entities(STRAP))
        assert home.listeners.keys() == {"homeassistant/status"}


async def test_discovery_is_switched_off_and_on_before_anything_was_announced(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        discovery.on_sample(beat())
        discovery.apply(settings("strap", discovery=None))
        discovery.apply(settings("strap", "scale"))
        await settled(broker, GATEWAY, STRAP, SCALE)
    assert RATE not in broker.entities(STRAP)


async def test_another_prefix_or_gateway_id_removes_the_old_topics(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap")):
        await settled(broker, GATEWAY, STRAP)
    async with running(tmp_path, broker, settings("strap", discovery="ha")):
        await settled(broker, "ha/device/home/config", "ha/device/home_strap/config")
    garage = Topics("healthd", "garage")
    async with running(tmp_path, broker, settings("strap", discovery="ha"), topics=garage):
        await settled(broker, "ha/device/garage/config", "ha/device/garage_strap/config")


@pytest.mark.usefixtures("repeats_soon")
async def test_an_entity_is_removed_before_it_is_left_out(tmp_path: Path, broker: Broker) -> None:
    async with running(tmp_path, broker, settings("strap", requests=("scan", "reconnect"))):
        await settled(broker, GATEWAY, STRAP)
    assert "request_reconnect" in broker.entities(STRAP)
    count, before = len(broker.published), len(broker.at(STRAP))
    async with running(tmp_path, broker, settings("strap")):
        await broker.until(
            lambda: (
                len(broker.published) > count and "request_reconnect" not in broker.entities(STRAP)
            )
        )
        await broker.until(lambda: "request_scan" not in broker.entities(GATEWAY))
    first, again, second = broker.at(STRAP)[before : before + 3]
    assert first is not None
    assert first["cmps"]["request_reconnect"] == {"p": "button"}
    # Home Assistant drops a removal that arrives while it is busy with the device.
    assert again == first
    assert second is not None
    assert second["cmps"].keys() == first["cmps"].keys() - {"request_reconnect"}


@pytest.mark.usefixtures("repeats_soon")
async def test_nothing_is_left_out_before_the_broker_has_accepted_its_removal(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap", requests=("reconnect",))):
        await settled(broker, GATEWAY, STRAP)
    broker.reachable = False
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await broker.until(lambda: broker.entities(STRAP)["request_reconnect"] == {"p": "button"})
        discovery.on_sample(beat())
        await broker.until(lambda: RATE in broker.entities(STRAP))
        assert broker.entities(STRAP)["request_reconnect"] == {"p": "button"}
        broker.reachable = True
        broker.accept()
        await broker.until(lambda: "request_reconnect" not in broker.entities(STRAP))


@pytest.mark.usefixtures("repeats_soon")
async def test_a_peripheral_leaves_while_the_broker_has_not_accepted_the_removal_of_an_entity(
    tmp_path: Path, broker: Broker
) -> None:
    async with running(tmp_path, broker, settings("strap", requests=("reconnect",))):
        await settled(broker, GATEWAY, STRAP)
    count = len(broker.at(STRAP))
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await broker.until(lambda: len(broker.at(STRAP)) > count)
        broker.reachable = False
        await broker.until(lambda: len(broker.at(STRAP)) > count + 1)
        discovery.apply(settings())
        broker.reachable = True
        broker.accept()
        await settled(broker, GATEWAY)


@pytest.mark.usefixtures("repeats_soon")
async def test_an_id_that_now_stands_for_another_device_starts_over(
    tmp_path: Path, broker: Broker
) -> None:
    first = settings("strap", address="A0:9E:1A:00:00:01")
    async with running(tmp_path, broker, first) as discovery:
        discovery.on_sample(beat())
        await broker.until(lambda: RATE in broker.entities(STRAP))
        discovery.apply(settings("strap", address="A0:9E:1A:00:00:02"))
        await broker.until(lambda: RATE not in broker.entities(STRAP))
    assert any(
        payload["cmps"].get(RATE) == {"p": "sensor"} for _, payload in broker.published if payload
    )


@pytest.mark.usefixtures("repeats_soon")
async def test_an_entity_of_another_platform_replaces_the_old_one(
    tmp_path: Path, broker: Broker
) -> None:
    """As after an upgrade: the old one has to be removed first, as both have the same id."""
    document = {"topics": {STRAP: {"status": "sensor"}}, "peripherals": {}}
    (tmp_path / FILE_NAME).write_bytes(orjson.dumps(document))
    async with running(tmp_path, broker, settings("strap")):
        await broker.until(lambda: "uniq_id" in broker.entities(STRAP).get("status", {}))
    first = next(payload for topic, payload in broker.published if topic == STRAP)
    assert first is not None
    assert first["cmps"]["status"] == {"p": "sensor"}
    assert broker.entities(STRAP)["status"]["p"] == "binary_sensor"


# Home Assistant drops entities of a message that comes while it sets up an earlier one


@pytest.fixture
def busy(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> BusyHomeAssistant:
    """Return a Home Assistant that is slower than two announcements follow each other."""
    monkeypatch.setattr(module, "REPEAT_S", 2.5)
    # On a busy machine the second announcement may come this much later.
    broker.subscriber = BusyHomeAssistant(setup_s=1.0)
    return broker.subscriber


def is_up_to_date(home: BusyHomeAssistant, broker: Broker, topic: str) -> bool:
    """Return whether Home Assistant has everything that is announced at this topic."""
    wanted = broker.entities(topic)
    return home.entities.get(topic, {}).keys() == wanted.keys()


async def test_no_entity_is_lost_while_home_assistant_is_busy(
    tmp_path: Path, broker: Broker, busy: BusyHomeAssistant
) -> None:
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await settled(broker, GATEWAY, STRAP)
        discovery.on_sample(beat(energy_expended_kj=5))
        discovery.on_sample(sample(Weight.of({"weight_kg": 70.0, "bmi": 22.0})))
        await broker.until(lambda: RATE in broker.entities(STRAP))
        assert busy.dropped
        async with asyncio.timeout(BOUND_S):
            while not is_up_to_date(busy, broker, STRAP):  # noqa: ASYNC110 (it has no event)
                await asyncio.sleep(0.05)
    assert RATE in busy.entities[STRAP]


async def test_no_removal_is_lost_while_home_assistant_is_busy(
    tmp_path: Path, broker: Broker, busy: BusyHomeAssistant
) -> None:
    everything = settings("strap", "scale", requests=("scan", "reconnect"))
    async with running(tmp_path, broker, everything) as discovery:
        await settled(broker, GATEWAY, STRAP, SCALE)
        discovery.apply(settings("strap"))
        await settled(broker, GATEWAY, STRAP)
        async with asyncio.timeout(BOUND_S):
            while not all(  # noqa: ASYNC110 (it has no event)
                is_up_to_date(busy, broker, topic) for topic in (GATEWAY, STRAP, SCALE)
            ):
                await asyncio.sleep(0.05)
    assert busy.entities[SCALE] == {}
    assert busy.entities[STRAP].keys() == {"status", "link_state"}


async def test_the_first_announcement_waits_until_the_peripheral_streams(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 60.0)
    async with running(tmp_path, broker, settings("strap", "scale")) as discovery:
        await settled(broker, GATEWAY)
        discovery.on_sample(beat())
        discovery.on_info("strap", {"state": "preparing", "profiles": ["heart_rate"]})
        await asyncio.sleep(5 * module.SETTLE_S)
        assert broker.at(STRAP) == []
        discovery.on_info("strap", {"state": "streaming", "profiles": ["heart_rate"]})
        await settled(broker, GATEWAY, STRAP)
        assert RATE in broker.entities(STRAP)
        (only,) = broker.at(STRAP)
        assert only is not None
        # A later one does not wait for long.
        discovery.on_sample(sample(Weight.of({"weight_kg": 70.0})))
        await broker.until(lambda: "weight_weight_kg" in broker.entities(STRAP))
    assert broker.at(SCALE) == []


async def test_a_peripheral_that_is_not_in_range_is_announced_after_a_while(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.3)
    started = asyncio.get_running_loop().time()
    async with running(tmp_path, broker, settings("strap")):
        await settled(broker, GATEWAY, STRAP)
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_a_restart_does_not_wait_for_what_was_announced_before(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, broker, settings("strap")):
        await settled(broker, GATEWAY, STRAP)
    monkeypatch.setattr(module, "FIRST_S", 60.0)
    again = Broker()
    async with running(tmp_path, again, settings("strap")):
        await settled(again, GATEWAY, STRAP)


async def test_each_announcement_is_sent_once_more_some_time_after_the_last_change(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEAT_S", 0.4)
    now = asyncio.get_running_loop().time
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await settled(broker, GATEWAY, STRAP)
        discovery.on_sample(beat())
        await broker.until(lambda: RATE in broker.entities(STRAP))
        discovery.on_sample(sample(Weight.of({"weight_kg": 70.0})))
        await broker.until(lambda: "weight_weight_kg" in broker.entities(STRAP))
        changed = now()
        await broker.until(lambda: len(broker.at(STRAP)) == 4)
        assert now() - changed >= 0.3
        *_, last, repeated = broker.at(STRAP)
        assert repeated == last
        await broker.until(lambda: len(broker.at(GATEWAY)) == 2)
        await asyncio.sleep(2 * module.REPEAT_S)
        # Once is enough: 22 peripherals must not flood a broker.
        assert (len(broker.at(STRAP)), len(broker.at(GATEWAY))) == (4, 2)


async def test_a_repeat_waits_for_the_broker(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEAT_S", 0.1)
    broker.reachable = False
    async with running(tmp_path, broker, settings("strap")):
        await settled(broker, GATEWAY, STRAP)
        await asyncio.sleep(3 * module.REPEAT_S)
        assert len(broker.at(STRAP)) == 1
        broker.reachable = True
        broker.accept()
        await broker.until(lambda: len(broker.at(STRAP)) == 2)


async def test_a_peripheral_is_removed_once_home_assistant_is_done_with_it(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEAT_S", 0.3)
    now = asyncio.get_running_loop().time
    async with running(tmp_path, broker, settings("strap")) as discovery:
        await settled(broker, GATEWAY, STRAP)
        announced = now()
        discovery.apply(settings())
        await settled(broker, GATEWAY)
        assert now() - announced >= 0.2
        assert broker.at(STRAP)[1:] == [None]


# Starts of Home Assistant


async def test_everything_is_sent_again_twice_when_home_assistant_has_started(
    tmp_path: Path, broker: Broker, home: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, broker, settings("strap"), home=home):
        await settled(broker, GATEWAY, STRAP)
        assert home.listeners.keys() == {"homeassistant/status"}
        first = list(broker.published)
        with capture_logs() as logs:
            for _ in range(3):  # several restarts in a row
                home.publish(b"online")
            await broker.until(lambda: len(broker.published) == 4)
            monkeypatch.setattr(module, "REPEAT_S", 0.1)
            home.publish(b"online", retained=True)
            await broker.until(lambda: len(broker.published) == 8)
    assert broker.published == first * 4
    assert [one["event"] for one in logs] == ["announced again"] * 2


async def test_a_birth_does_not_announce_a_peripheral_that_is_still_waited_for(
    tmp_path: Path, broker: Broker, home: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 60.0)
    async with running(tmp_path, broker, settings("strap"), home=home):
        await settled(broker, GATEWAY)
        home.publish(b"online")
        await broker.until(lambda: len(broker.at(GATEWAY)) == 2)
    assert broker.at(STRAP) == []


@pytest.mark.parametrize("payload", [b"offline", b"", b"\xff"])
async def test_other_messages_of_home_assistant_are_ignored(
    tmp_path: Path, broker: Broker, home: HomeAssistant, payload: bytes
) -> None:
    async with running(tmp_path, broker, settings("strap"), home=home):
        await settled(broker, GATEWAY, STRAP)
        home.publish(payload)
        await asyncio.sleep(2 * module.JITTER_S[1])
        assert len(broker.published) == 2
        home.publish(b"online")
        await broker.until(lambda: len(broker.published) == 4)


async def test_the_entities_of_a_person_go_with_the_person(tmp_path: Path, broker: Broker) -> None:
    def household(*people: str) -> Settings:
        entries = [{"id": one, "weight_kg": 62} for one in people]
        first = settings("scale").model_dump(include={"peripherals"}, exclude_defaults=True)
        mqtt = {"discovery": "homeassistant"}
        return Settings.model_validate({**first, "mqtt": mqtt, "people": entries})

    entity = "person_{}_weight_weight_kg"
    async with running(tmp_path, broker, household("anna", "bert")) as discovery:
        for one in ("anna", "bert"):
            discovery.on_sample(sample(Weight(weight_kg=62), "scale", f"person/{one}/weight"))
        both = {entity.format("anna"), entity.format("bert")}
        await broker.until(lambda: both <= broker.entities(SCALE).keys())
    async with running(tmp_path, broker, household("anna")):
        gone = {"p": "sensor"}
        await broker.until(lambda: broker.entities(SCALE).get(entity.format("bert")) == gone)
        assert len(broker.entities(SCALE)[entity.format("anna")]) > 1
