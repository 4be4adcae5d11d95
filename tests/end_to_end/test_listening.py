"""Devices that only advertise next to linked ones, with new addresses, faults and keys."""

import asyncio
import random
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from healthd.simulator.backend import ScannerBackend
from healthd.simulator.broadcaster import Broadcaster, Frame
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.broker import EmbeddedBroker
from tests.end_to_end.broadcast_rig import broadcaster, delivered, mi_weighing, send
from tests.end_to_end.simulated_gateway import (
    BOUND_S,
    add,
    address,
    device,
    gateway,
    info,
    runs,
    until_runs,
)
from tests.support.conformity import conform
from tests.support.gate import Gate
from tests.support.streams import streams
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(180)

DEVICES = "healthd/gateway/device"
WEIGHT = f"{DEVICES}/scale/weight"
SCALE = {"id": "scale", "address": address(1), "connect": False}


def weights(subscriber: Subscriber) -> list[float]:
    return [sample["weight_kg"] for sample in delivered(subscriber, WEIGHT)]


@pytest.fixture
def rides(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record what the scans report of a bike."""
    reported: list[bytes] = []
    report = ScannerBackend.call_detection_callbacks

    def record(scanner: ScannerBackend, found: BLEDevice, data: AdvertisementData) -> None:
        if 0x0102 in data.manufacturer_data:
            reported.append(data.manufacturer_data[0x0102])
        report(scanner, found, data)

    monkeypatch.setattr(ScannerBackend, "call_detection_callbacks", record)
    return reported


@pytest.mark.untraced
async def test_listening_continuous_and_periodic_peripherals_side_by_side(
    subscriber: Subscriber,
    settings: dict[str, Any],
    rides: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("healthd.sessions.collect.QUIET_S", 1.0)
    monkeypatch.setattr("healthd.sessions.periodic.JITTER_S", 0.2)
    entries = [
        SCALE,
        {"id": "bike", "service": "keiser"},
        {"id": "strap", "address": address(3)},
        {"id": "cuff", "address": address(4), "every": "5s", "window": "4s"},
    ]
    scale, bike = broadcaster(1, "MI SCALE2"), _bike(2)
    async with gateway(subscriber, settings, entries) as air:
        strap = device("heart_rate", 3, 0.2)
        await add(air, scale, bike, strap, device("blood_pressure", 4, 1.0))
        for number, weight in enumerate((70.0, 71.0, 72.0), start=1):
            await send(air, scale, mi_weighing(weight))
            await subscriber.until(
                lambda _, number=number: len(weights(subscriber)) >= number, BOUND_S
            )
        await until_runs(subscriber, cuff=2)
        await bike.vanish()
    assert weights(subscriber) == [70.0, 71.0, 72.0]
    changes = [ride for at, ride in enumerate(rides) if at == 0 or ride != rides[at - 1]]
    (stream,) = streams(subscriber.messages, f"{DEVICES}/bike/keiser_bike").values()
    stream.check()
    assert len(stream.samples) == len(changes) > 20
    (stream,) = streams(subscriber.messages, f"{DEVICES}/strap/heart_rate").values()
    stream.check()
    assert strap.links == 1
    assert {run["outcome"] for run in runs(subscriber.messages, "cuff")} <= {"new_data", "no_data"}
    assert not [
        message.json()
        for message in subscriber.at("healthd/gateway/event/gap")
        if message.json()["reason"] != "stopped"
    ]
    conform(subscriber.messages)


def _bike(number: int) -> Broadcaster:
    return BROADCASTING["keiser"].make(address(number), random.Random(number))


@pytest.mark.parametrize(
    ("entry", "is_linked"),
    [
        ({"address": address(1)}, True),
        ({"service": "core"}, True),
        ({"service": "core_broadcast"}, False),
        ({"address": address(1), "connect": False}, False),
    ],
    ids=["address", "service", "broadcasts", "no link"],
)
async def test_a_core_sensor_is_either_linked_or_listened_to(
    subscriber: Subscriber,
    settings: dict[str, Any],
    entry: dict[str, Any],
    is_linked: bool,
) -> None:
    """It has the temperature in both, and goes on advertising while it is linked."""
    sensor = device("core", 1, 0.1)
    beacon = BROADCASTING["core_broadcast"].make(address(1), random.Random(1), period=0.1)
    temperatures = f"{DEVICES}/sensor/core_temperature"
    async with gateway(subscriber, settings, [{"id": "sensor", **entry}]) as air:
        await add(air, sensor, beacon)
        await subscriber.until(lambda _: len(subscriber.at(temperatures)) >= 10, BOUND_S)
    samples = delivered(subscriber, temperatures)
    assert {"skin_temperature_c" in sample for sample in samples} == {is_linked}
    assert sensor.links == is_linked


async def test_a_device_may_take_a_new_private_address(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    entry = {"id": "scale", "name": "MI SCALE*", "connect": False}
    scale = broadcaster(1, "MI SCALE2")
    async with gateway(subscriber, settings, [entry]) as air:
        await add(air, scale)
        # Resolvable private addresses: the two highest bits are 01.
        for number, weight in enumerate((70.0, 71.0, 72.0), start=1):
            scale.address = f"4{number}:00:00:00:00:01"
            await send(air, scale, mi_weighing(weight))
            await subscriber.until(
                lambda _, number=number: len(weights(subscriber)) >= number, BOUND_S
            )
        # One that was used before: it is the address of another device.
        scale.address = "41:00:00:00:00:01"
        # Nothing is scanned any more once it is refused.
        sending = asyncio.create_task(send(air, scale, mi_weighing(73.0)))
        await subscriber.until(
            lambda all_: info(all_, "scale").get("reason") == "ambiguous", BOUND_S
        )
        sending.cancel()
    assert weights(subscriber) == [70.0, 71.0, 72.0]


async def test_a_result_survives_an_outage_of_the_broker(
    broker: EmbeddedBroker, subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    async with Gate(broker.port) as gate:
        await gate.open()
        settings["mqtt"]["brokers"] = [f"127.0.0.1:{gate.port}"]
        scale = broadcaster(1, "MI SCALE2")
        async with gateway(subscriber, settings, [SCALE]) as air:
            await add(air, scale)
            await send(air, scale, mi_weighing(70.0))
            await subscriber.until(lambda _: subscriber.at(WEIGHT), BOUND_S)
            before = len(subscriber.messages)
            await gate.cut()
            await subscriber.until_payload("healthd/gateway/status", b"offline", since=before)
            await send(air, scale, mi_weighing(71.0))
            await gate.open()
            # The pause between two attempts grows.
            await subscriber.until(
                lambda _: len(weights(subscriber)) == 2,
                2 * BOUND_S,
            )
    assert weights(subscriber) == [70.0, 71.0]


KEY = "231d39c1d7cc1ab1aee224cd096db932"


async def test_a_sensor_that_encrypts_is_read_with_its_key(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    """BTHome, bthome.io/encryption: AES-CCM; the nonce has the address and a counter."""
    (file := tmp_path / "key").write_text(KEY)
    file.chmod(0o600)
    entries = [
        {"id": "room", "address": address(1), "connect": False, "bind_key_file": str(file)},
        {"id": "closed", "address": address(2), "connect": False},
    ]
    async with gateway(subscriber, settings, entries) as air:
        for number in (1, 2):
            await add(air, Broadcaster("", address(number), _encrypting(address(number))))
        room = f"{DEVICES}/room/environment"
        await subscriber.until(lambda _: len(subscriber.at(room)) >= 5, BOUND_S)
    samples = [sample["temperature_c"] for sample in delivered(subscriber, room)]
    first = round(samples[0] * 100)
    assert samples == [number / 100 for number in range(first, first + len(samples))]
    assert not subscriber.at(f"{DEVICES}/closed/environment")


def _encrypting(own: str) -> Any:
    device_byte, uuid = bytes([0x41]), bytes.fromhex("d2fc")
    start = bytes.fromhex(own.replace(":", "")) + uuid + device_byte
    cipher = AESCCM(bytes.fromhex(KEY), tag_length=4)

    async def frames() -> AsyncGenerator[Frame, None]:
        for number in range(2000):
            counter = struct.pack("<I", number + 1)
            objects = b"\x02" + struct.pack("<h", 2000 + number)
            sealed = cipher.encrypt(start + counter, objects, None)
            value = device_byte + sealed[:-4] + counter + sealed[-4:]
            yield {"service_data_fcd2": value}
            await asyncio.sleep(0.2)

    return frames
