"""Links that break or stay empty while they are prepared, and machines that wait for a start."""

import asyncio
import random
import struct
from collections.abc import AsyncGenerator, Sequence
from itertools import count
from typing import Any

import pytest
from bleak.backends.service import BleakGATTServiceCollection
from bumble.att import Attribute, AttributeValue
from bumble.core import UUID
from bumble.gatt import Characteristic, CharacteristicValue, Descriptor
from structlog.testing import capture_logs
from structlog.typing import EventDict

import healthd.sessions.no_data as no_data_module
import healthd.sessions.steps as steps_module
from healthd.settings.model import PeripheralSettings
from healthd.simulator import backend
from healthd.simulator.attributes import notifying, readable, service
from healthd.simulator.discovery import discover
from healthd.simulator.feed import paced
from healthd.simulator.gatt import GattClient
from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import Battery, battery_part
from healthd.simulator.world import peripherals_for
from tests.field.rig import Field, Machine, P, device, machine_features, part, raw, script, silent

STRAP = {"id": "strap", "name": "Strap"}
# Heart Rate Measurement: flags 0, then beats per minute in one byte.
BPM_72 = bytes([0, 72])
CCCD = UUID.from_16_bits(0x2902)


class Touchy:
    """A strap that hangs up, or never answers, when one of its characteristics is used.

    It answers before it "hangs up", and does not if it "hangs up at once".

    Attributes:
        strap: the strap, once it is made.
        touched: how often the characteristic was used.
        task: ends the link.
    """

    strap: VirtualPeripheral
    task: "asyncio.Task[None]"

    def __init__(self, how: str) -> None:
        self._how = how
        self.touched = 0

    async def react(self) -> None:
        self.touched += 1
        if self._how != "never answers":
            self.task = asyncio.get_running_loop().create_task(self.strap.drop())
        if self._how != "hangs up":
            await asyncio.Event().wait()

    def read(
        self, number: int, value: bytes, more: Characteristic.Properties = P.READ
    ) -> Characteristic[bytes]:
        """Return a characteristic with this reaction to a read."""

        async def answer() -> bytes:
            await self.react()
            return value

        return raw(number, P.READ | more, answer)

    def subscribe(self, number: int, value: bytes | None = None) -> Characteristic[bytes]:
        """Return a characteristic with this reaction to a subscription."""

        async def write(_connection: object, _value: bytes) -> None:
            await self.react()

        found = notifying(number, value)
        rights = Attribute.READABLE | Attribute.WRITEABLE
        switch = AttributeValue(read=lambda _: b"\0\0", write=write)
        found.descriptors = [Descriptor(CCCD, rights, switch)]
        return found

    def write(self, number: int) -> Characteristic[bytes]:
        """Return a characteristic with this reaction to a write."""

        async def write(_connection: object, _value: bytes) -> None:
            await self.react()

        found = raw(number, P.WRITE)
        found.value = CharacteristicValue[bytes](write=write)
        return found

    def with_heart_rate(self, *parts: Part) -> VirtualPeripheral:
        self.strap = device("Strap", heart_rate(), *parts)
        return self.strap


def heart_rate(*others: Characteristic[bytes], period: float = 0.1) -> Part:
    measurement = notifying(0x2A37)
    return part(0x180D, {measurement: paced(lambda _: [BPM_72], period)}, *others)


def left_out(log: Sequence[EventDict]) -> list[str]:
    return [line["characteristic"] for line in log if line["event"] == "left out"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for answers and for values for one second."""
    monkeypatch.setattr(steps_module, "ANSWER_S", 1.0)
    monkeypatch.setattr(no_data_module, "NO_DATA_S", 1.0)


async def streams_without(
    field: Field, touchy: Touchy, strap: VirtualPeripheral, uuid: str
) -> dict[str, Any]:
    """Check that a strap streams without a characteristic; return its info."""
    with capture_logs() as log:
        async with field.gateway(STRAP, strap):
            info = await field.until_info(
                "strap", lambda info: "left_out" in info and info["state"] == "streaming"
            )
            before = len(field.received("strap", "heart_rate"))
            await field.until_values("strap", "heart_rate", before + 15)
            assert field.received("strap", "info")[-1]["state"] == "streaming"
    assert touchy.touched == 1
    assert strap.links <= 2, "from the first link on, or at the latest from the second one on"
    assert uuid in info["left_out"]
    assert uuid in left_out(log)
    assert len(left_out(log)) == len(set(left_out(log))), "each is logged once"
    return info


@pytest.mark.parametrize("how", ["hangs up", "hangs up at once"])
@pytest.mark.parametrize("number", [0x2A23, 0x2A25, 0x2A50])
async def test_b7_a_strap_that_hangs_up_when_its_description_is_read(
    field: Field, number: int, how: str
) -> None:
    touchy = Touchy(how)
    texts = {0x2A29: b"Maker", 0x2A25: b"123"}
    values = [readable(each, text) for each, text in texts.items() if each != number]
    description = Part(service(0x180A, [*values, touchy.read(number, b"1234567")]))
    await streams_without(field, touchy, touchy.with_heart_rate(description), f"{number:04x}")


async def test_b7_a_strap_that_never_answers_when_its_serial_number_is_read(field: Field) -> None:
    touchy = Touchy("never answers")
    known = readable(0x2A24, b"Model")
    description = Part(service(0x180A, [known, touchy.read(0x2A25, b"")]))
    strap = touchy.with_heart_rate(description, battery_part(Battery(90)))
    info = await streams_without(field, touchy, strap, "2a25")
    assert strap.links == 1
    # What comes before it in the order of importance is read.
    assert (info["model"], info["battery"]["level_pct"]) == ("Model", 90)


@pytest.mark.parametrize("how", ["hangs up", "never answers"])
async def test_b7_a_bike_whose_maker_has_to_be_read_first(field: Field, how: str) -> None:
    # Life Fitness bikes are recognised by their maker, and send in another layout than others.
    touchy, data = Touchy(how), notifying(0x2AD2)
    # Indoor Bike Data: flags without a field of its own, then 25 km/h.
    rides = paced(lambda _: [bytes.fromhex("0000 c409")], 0.1)
    touchy.strap = device(
        "Bike", part(0x1826, {data: rides}), Part(service(0x180A, [touchy.read(0x2A29, b"Any")]))
    )
    async with field.gateway({"id": "bike", "name": "Bike"}, touchy.strap):
        values = await field.until_values("bike", "indoor_bike", 15)
        assert field.received("bike", "info")[-1]["left_out"] == ["2a29"]
    assert (touchy.touched, touchy.strap.links) == (1, 2)
    assert values[-1]["speed_mps"] == pytest.approx(25 / 3.6, abs=0.001)


async def test_b7_a_strap_that_hangs_up_at_every_value_of_its_description(field: Field) -> None:
    touchy = Touchy("hangs up")
    numbers = (0x2A24, 0x2A25, 0x2A26, 0x2A27, 0x2A28, 0x2A29)
    values = [touchy.read(number, b"text") for number in numbers]
    strap = touchy.with_heart_rate(Part(service(0x180A, values)))
    async with field.gateway(STRAP, strap):
        await field.until_info("strap", lambda info: info.get("state") == "streaming")
        links, before = strap.links, len(field.received("strap", "heart_rate"))
        await field.until_values("strap", "heart_rate", before + 15)
        assert strap.links == links <= 4


@pytest.mark.parametrize("how", ["hangs up", "never answers"])
@pytest.mark.parametrize("what", ["read battery", "subscribe battery", "read location"])
async def test_b7_a_strap_that_does_not_survive_an_optional_step(
    field: Field, how: str, what: str
) -> None:
    touchy = Touchy(how)
    if what == "read location":
        location = touchy.read(0x2A38, b"\x01")
        touchy.strap = device("Strap", heart_rate(location))
        await streams_without(field, touchy, touchy.strap, "2a38")
        return
    level = (
        touchy.read(0x2A19, b"\x5a", P.NOTIFY)
        if what == "read battery"
        else touchy.subscribe(0x2A19, b"\x5a")
    )
    strap = touchy.with_heart_rate(Part(service(0x180F, [level])))
    await streams_without(field, touchy, strap, "2a19")


@pytest.mark.parametrize("how", ["hangs up", "never answers"])
@pytest.mark.parametrize("uuid", ["2acc", "2ada", "2ad8"])
async def test_b7_a_rower_that_does_not_survive_an_optional_step(
    field: Field, how: str, uuid: str
) -> None:
    touchy, number = Touchy(how), int(uuid, 16)
    odd = touchy.subscribe(number) if uuid == "2ada" else touchy.read(number, bytes(8))
    data = notifying(0x2AD1)
    # Rower Data: flags without a field of its own, then 24 strokes a minute and 7 strokes.
    rows = paced(lambda _: [bytes.fromhex("000030 0700")], 0.1)
    touchy.strap = device("Rower", part(0x1826, {data: rows}, odd))
    async with field.gateway({"id": "rower", "name": "Rower"}, touchy.strap):
        await field.until_info("rower", lambda info: uuid in info.get("left_out", []))
        values = await field.until_values(
            "rower", "rower", len(field.received("rower", "rower")) + 9
        )
    assert touchy.touched == 1
    assert touchy.strap.links <= 2
    assert values[-1]["stroke_rate_spm"] == 24


async def test_b7_a_strap_that_hangs_up_when_its_clock_is_set(field: Field) -> None:
    touchy = Touchy("hangs up")
    strap = touchy.with_heart_rate(Part(service(0x1805, [touchy.write(0x2A2B)])))
    with capture_logs() as log:
        async with field.gateway(STRAP, strap):
            await field.until(lambda: "2a2b" in left_out(log))
            links, before = strap.links, len(field.received("strap", "heart_rate"))
            await field.until_values("strap", "heart_rate", before + 15)
    assert (touchy.touched, links, strap.links) == (1, 1, 2)


async def test_b7_a_measurement_that_ends_each_link_gives_way_to_another_one(field: Field) -> None:
    # The Cycling Power service works, the Heart Rate service of the same device does not.
    touchy = Touchy("hangs up")
    power = notifying(0x2A63)
    touchy.strap = device(
        "Odd",
        Part(service(0x180D, [touchy.subscribe(0x2A37)]), advertised=True),
        # Cycling Power Measurement: flags 0, 200 W.
        part(0x1818, {power: paced(lambda _: [struct.pack("<Hh", 0, 200)], 0.1)}),
    )
    async with field.gateway({"id": "bike", "name": "Odd"}, touchy.strap):
        # Once by chance is possible, so it costs a second link.
        await field.until_info("bike", lambda info: info.get("left_out") == ["2a37"])
        links = touchy.strap.links
        values = await field.until_values(
            "bike", "cycling_power", len(field.received("bike", "cycling_power")) + 9
        )
    assert touchy.touched == 2
    assert touchy.strap.links == links == 3
    assert values[-1]["power_w"] == 200


async def test_b7_a_cuff_that_hangs_up_at_its_description_is_still_fetched(field: Field) -> None:
    touchy = Touchy("hangs up at once")
    result = raw(0x2A35, P.INDICATE)
    # Blood Pressure Measurement: 123/80, mean 94 mmHg.
    sends = script((0.0, struct.pack("<BHHH", 0, 123, 80, 94)))
    touchy.strap = device(
        "Cuff", part(0x1810, {result: sends}), Part(service(0x180A, [touchy.read(0x2A25, b"1")]))
    )
    entry = {"id": "cuff", "name": "Cuff", "on": "advertising"}
    async with field.gateway(entry, touchy.strap):
        values = await field.until_values("cuff", "blood_pressure")
        await field.until(lambda: bool(field.events("fetch")))
    assert values[0]["systolic_mmhg"] == 123
    assert [event["outcome"] for event in field.events("fetch")][:1] == ["new_data"]


class Discoveries:
    """Lets the first discoveries of services lack some of them."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, *missing: str) -> None:
        self.made = 0
        self._number = number
        self._missing = missing
        patch.setattr(backend, "discover", self._discover)

    async def _discover(self, gatt: GattClient, _wanted: object) -> BleakGATTServiceCollection:
        self.made += 1
        whole = await discover(gatt, None)
        if self.made > self._number:
            return whole
        there = {each.uuid for each in whole if each.uuid[4:8] not in self._missing}
        return await discover(gatt, there)


@pytest.mark.parametrize("found_by", [{"name": "Strap"}, {"service": "heart_rate"}])
async def test_b6_services_are_resolved_before_all_are_there(
    field: Field, monkeypatch: pytest.MonkeyPatch, found_by: dict[str, str]
) -> None:
    discoveries = Discoveries(monkeypatch, 1, "180d")
    strap = device("Strap", heart_rate(), battery_part(Battery(90)))
    with capture_logs() as log:
        async with field.gateway({"id": "strap", **found_by}, strap):
            await field.until_values("strap", "heart_rate", 3)
            info = await field.until_info("strap", lambda info: info["state"] == "streaming")
    assert discoveries.made == strap.links == 2
    assert info["profiles"] == ["heart_rate", "battery"]
    reasons = [line["reason"] for line in log if line["event"] == "retrying"]
    assert reasons == ["service_missing"]


async def test_b6_nothing_but_the_battery_is_there_at_first(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    Discoveries(monkeypatch, 1, "180d")
    measurement = notifying(0x2A37)
    heart = part(0x180D, {measurement: paced(lambda _: [BPM_72], 0.1)}, advertised=False)
    strap = device("Strap", heart, battery_part(Battery(90)))
    async with field.gateway(STRAP, strap):
        await field.until_values("strap", "heart_rate", 3)
    assert strap.links == 2


async def test_b6_an_advertised_service_is_missing_next_to_another_one(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    Discoveries(monkeypatch, 1, "1818")
    power = notifying(0x2A63)
    bike = device(
        "Bike",
        heart_rate(),
        part(0x1818, {power: paced(lambda _: [struct.pack("<Hh", 0, 200)], 0.1)}),
    )
    async with field.gateway({"id": "bike", "name": "Bike"}, bike):
        await field.until_values("bike", "cycling_power", 3)
        await field.until_values("bike", "heart_rate", 3)
    assert bike.links == 2


async def test_b6_a_device_that_really_has_nothing_more_is_not_discovered_forever(
    field: Field,
) -> None:
    keyring = device("Keyring", Part(service(0x180F, [notifying(0x2A19, lambda: b"\x5a")])))

    async def until_streaming(links: int) -> None:
        def is_streaming(info: dict[str, Any]) -> bool:
            streams = (info.get("state"), info.get("reason")) == ("streaming", "no_measurements")
            return streams and keyring.links == links

        await field.until_info("keyring", is_streaming)

    with capture_logs() as log:
        async with field.gateway({"id": "keyring", "name": "Keyring"}, keyring):
            # One fresh discovery for each link that ends, and after two of them no more.
            for links in (2, 4, 5, 6):
                await until_streaming(links)
                await keyring.drop()
            await field.until_values("keyring", "battery")
    assert [line["reason"] for line in log if line["event"] == "no data"] == ["no_measurements"]


class Rower:
    """A rower that sends Rower Data only after Request Control and Start.

    I-ROWER, SF-RW and MRK-R06: cagnulein/qdomyos-zwift #842, #1289, PR #4064.
    """

    def __init__(self, machine: Machine | None = None, data: int = 0x2AD1) -> None:
        self.machine = machine or Machine()
        measurement = notifying(data)
        streams = {measurement: self._rows, **self.machine.streams}
        features = machine_features(0x26)
        self.device = device("I-ROWER", part(0x1826, streams, features))

    async def _rows(self) -> AsyncGenerator[bytes, None]:
        await self.machine.started.wait()
        for strokes in count(1):
            # 24 strokes a minute, a number of strokes, and 9 m for each of them.
            yield struct.pack("<HBH", 0x0004, 48, strokes) + (strokes * 9).to_bytes(3, "little")
            await asyncio.sleep(0.1)


ROWER = {"id": "rower", "name": "I-ROWER"}


async def test_b10_a_machine_that_waits_for_a_start_is_started(field: Field) -> None:
    rower = Rower()
    async with field.gateway({**ROWER, "start": True}, rower.device):
        values = await field.until_values("rower", "rower", 3)
        assert rower.machine.writes == ["00", "07"]
        await rower.device.drop()
        await field.until(lambda: len(rower.machine.writes) == 4)
        await field.until_values("rower", "rower", len(field.received("rower", "rower")) + 3)
    # Once on each link, and nothing at the end of a link: no request took a lease.
    assert rower.machine.writes == ["00", "07", "00", "07"]
    assert values[0]["stroke_rate_spm"] == 24
    changes = [(event["change"], event.get("reason")) for event in field.events("control")]
    assert changes == [("started", "settings")] * 2


async def test_b10_a_machine_that_yields_nothing_says_so_and_what_may_help(field: Field) -> None:
    rower = Rower()
    with capture_logs() as log:
        async with field.gateway(ROWER, rower.device, mqtt={"requests": ["start"]}):
            info = await field.until_info("rower", lambda info: info.get("reason") == "no_data")
            assert info["state"] == "streaming"
            assert rower.machine.writes == []
            field.request("start", '{"peripheral": "rower"}')
            await field.until_values("rower", "rower", 3)
            await field.until_info("rower", lambda info: "reason" not in info)
            assert rower.device.links == 1
    lines = [line for line in log if line["event"] == "no data"]
    assert [(line["log_level"], line["reason"]) for line in lines] == [("warning", "no_data")]
    assert "start = true" in lines[0]["advice"]


async def test_b10_a_machine_that_does_not_answer_is_started_nevertheless(field: Field) -> None:
    rower = Rower(Machine(lambda request: None if request == b"\x00" else 1))
    async with field.gateway({**ROWER, "start": True}, rower.device):
        await field.until_values("rower", "rower", 3)
    assert rower.machine.writes == ["00", "07"]


@pytest.mark.parametrize("request_", [b"\x00", b"\x07"])
async def test_b10_a_machine_that_hangs_up_when_it_is_started_streams(
    field: Field, request_: bytes
) -> None:
    """It does not survive what ``start = true`` writes; its values come without it, too."""

    def result(request: bytes) -> int | None:
        if request[:1] != request_:
            return 1
        touchy.task = asyncio.get_running_loop().create_task(touchy.strap.drop())
        return None

    machine, touchy, data = Machine(result), Touchy("hangs up"), notifying(0x2AD1)
    # Rower Data: 24 strokes a minute and 7 strokes.
    rows = paced(lambda _: [bytes.fromhex("0000300700")], 0.1)
    touchy.strap = device("I-ROWER", part(0x1826, {data: rows, **machine.streams}))
    with capture_logs() as log:
        async with field.gateway({**ROWER, "start": True}, touchy.strap):
            await field.until(lambda: bool(field.events("control")))
            links, before = touchy.strap.links, len(field.received("rower", "rower"))
            await field.until_values("rower", "rower", before + 15)
    assert (links, touchy.strap.links) == (3, 3), "twice may be chance"
    assert machine.writes.count(request_.hex()) == 2
    (event,) = field.events("control")
    assert (event["change"], event["reason"]) == ("refused", "link_lost")
    assert [line["reason"] for line in log if line["event"] == "not started"] == ["link_lost"]


@pytest.mark.parametrize("control", [{}, {"speed_mps": [0, 3]}])
async def test_b10_a_treadmill_is_never_started_by_the_settings(
    field: Field, control: dict[str, Any]
) -> None:
    treadmill = Rower(data=0x2ACD)
    entry = {**ROWER, "start": True, "control": control}
    async with field.gateway(entry, treadmill.device):
        await field.until(lambda: bool(field.events("control")))
        await field.until_info("rower", lambda info: info.get("reason") == "no_data")
    assert treadmill.machine.writes == []
    (event,) = field.events("control")
    assert (event["change"], event["reason"]) == ("refused", "not_allowed")


async def test_b10_a_machine_that_was_stopped_on_request_stays_so(field: Field) -> None:
    rower = Rower()
    requests = {"requests": ["start", "stop"]}
    async with field.gateway({**ROWER, "start": True}, rower.device, mqtt=requests):
        await field.until_values("rower", "rower", 3)
        field.request("stop", '{"peripheral": "rower"}')
        await field.until(lambda: "released" in [e["change"] for e in field.events("control")])
        written = len(rower.machine.writes)
        await rower.device.drop()
        links = [event["change"] for event in field.events("link")]
        await field.until(lambda: len(field.events("link")) == len(links) + 2)
        await field.until_info("rower", lambda info: info["state"] == "streaming")
        field.request("start", '{"peripheral": "rower"}')
        await field.until(lambda: field.events("control")[-1]["change"] == "started")
    assert rower.machine.writes[written : written + 2] == ["00", "07"], "only the request's"


async def test_b10_any_silent_link_says_so_until_a_value_comes(field: Field) -> None:
    measurement = notifying(0x2A37)
    late = script((2.5, BPM_72))
    strap = device("Strap", part(0x180D, {measurement: late}))
    async with field.gateway(STRAP, strap):
        info = await field.until_info("strap", lambda info: info.get("reason") == "no_data")
        assert info["state"] == "streaming"
        await field.until_values("strap", "heart_rate")
        await field.until_info("strap", lambda info: "reason" not in info)


async def test_b10_a_silent_link_is_still_given_up_after_its_deadline(field: Field) -> None:
    strap = device("Strap", part(0x180D, {notifying(0x2A37): silent()}))
    with capture_logs() as log:
        async with field.gateway({**STRAP, "silence": "1500ms"}, strap):
            await field.until_info("strap", lambda info: info.get("reason") == "stalled")
            await field.until(lambda: strap.links >= 3)
    lines = [line for line in log if line["event"] == "no data"]
    assert len(lines) == 1, "not on each of the links"


async def test_b15_the_demo_finds_entries_by_services_that_accompany_others(field: Field) -> None:
    services = ("battery", "current_time", "device_information", "user_data")
    entries = [PeripheralSettings(id=f"by-{each}", service=each) for each in services]
    made = peripherals_for(entries, random.Random(1))
    for entry in entries:
        async with field.gateway(entry.model_dump(include={"id", "service"}), made[entry.id]):
            info = await field.until_info(entry.id, lambda info: info.get("state") == "streaming")
        assert entry.service in info["profiles"]
