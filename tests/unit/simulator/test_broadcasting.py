"""Devices that only advertise: their packets, compared with those of real devices."""

import asyncio
import random
from collections import Counter
from datetime import datetime

import pytest
from bleak import BleakScanner

from healthd.simulator.broadcaster import Frame
from healthd.simulator.broadcasting import scales
from healthd.simulator.broadcasting.catalogue import BROADCASTING
from healthd.simulator.broadcasting.scales import (
    Reading,
    mi_body_scale_frame,
    mi_scale_frame,
    weighing,
)
from healthd.simulator.part import Sent
from tests.unit.simulator.bench import Bench

ADDRESS = "C0:00:00:00:00:08"


def _at(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - the scale knows no zone


# Sources: see the captures in tests/vectors; ble_monitor's tests give the weights.
@pytest.mark.parametrize(
    ("reading", "hexed"),
    [
        (Reading(_at(2021, 4, 11, 16, 19, 1), 86.55, stable=True), "229e43e507040b101301"),
        (Reading(_at(2021, 4, 11, 16, 23, 8), 0.1, removed=True), "821400e507040b101708"),
        (
            Reading(_at(1970, 1, 1, 10, 26, 21), 87.2, stable=True, removed=True),
            "a22044b20701010a1a15",
        ),
    ],
)
def test_a_mi_scale_sends_what_real_ones_send(reading: Reading, hexed: str) -> None:
    assert mi_scale_frame(reading)["service_data_181d"].hex() == hexed


@pytest.mark.parametrize(
    ("reading", "hexed"),
    [
        (Reading(_at(1970, 1, 1, 18, 16, 26), 105.8), "0204b207010112101a0000a852"),
        (
            Reading(_at(1970, 5, 4, 15, 2, 1), 85.15, 428, stable=True),
            "0226b20705040f0201ac018642",
        ),
    ],
)
def test_a_mi_body_scale_sends_what_real_ones_send(reading: Reading, hexed: str) -> None:
    assert mi_body_scale_frame(reading)["service_data_181b"].hex() == hexed


def test_a_weighing_settles_is_stable_and_ends() -> None:
    readings = list(weighing(lambda: _at(2026, 1, 1), 70.0, 500))
    assert len(readings) == 40
    assert [reading.stable for reading in readings] == [False] * 20 + [True] * 20
    assert [reading.removed for reading in readings] == [False] * 30 + [True] * 10
    assert readings[0].weight_kg < 50
    assert {reading.weight_kg for reading in readings[20:]} == {70.0}
    assert Counter(reading.impedance_ohm for reading in readings[20:]) == {0: 5, 500: 15}


@pytest.mark.parametrize("name", BROADCASTING)
async def test_every_model_is_heard_as_recorded(
    bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scales, "INTERVAL_S", 0.02)
    sent: list[Sent] = []
    model = BROADCASTING[name]
    device = model.make(ADDRESS, random.Random(1), period=0.05, record=sent.append)
    await bench.air.add(device)
    heard: list[Frame] = []
    async with asyncio.timeout(20):
        only_newest = {"filters": {"DuplicateData": True}}
        scanner = BleakScanner(backend=bench.air.scanner_backend, bluez=only_newest)  # type: ignore[arg-type]
        async with scanner:
            await device.appear()
            async for _, data in scanner.advertisement_data():
                assert data.local_name == (model.label or None)
                manufacturer = data.manufacturer_data.items()
                service = data.service_data.items()
                heard.append(
                    {
                        **{
                            f"manufacturer_data_{company:04x}": value
                            for company, value in manufacturer
                        },
                        **{f"service_data_{uuid[4:8]}": value for uuid, value in service},
                    }
                )
                if len(heard) == 12:
                    break
    values = [item for frame in heard for item in frame.items()]
    assert values == [(each.uuid, each.payload) for each in sent][: len(values)]
    # It changes: nothing here could notice a device that repeats its first packet forever.
    assert len({value for _, value in values}) > 3
