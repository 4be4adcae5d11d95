"""Devices in range of a simulated radio: found, shown, and added to the settings."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from healthd.central.link import Backends
from healthd.central.survey import InRange
from healthd.cli.scan import add_entry, scan, show, show_json
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.model import PeripheralSettings, Settings
from healthd.simulator.air import Air
from healthd.simulator.catalogue import CATALOGUE

REGISTRY = registry.load()

# Enough for several rounds of advertisements, which come every 20 ms here.
SCAN_S = 1.0

STRAP, TWIN, SCALE = (f"C0:00:00:00:00:0{n}" for n in (1, 2, 3))


@pytest.fixture
async def air(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Air]:
    """Yield an air with two straps of the same name and a scale."""
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)
    monkeypatch.setenv("COLUMNS", "200")
    async with Air() as air:
        for address, model, name in (
            (STRAP, "heart_rate", "Strap"),
            (TWIN, "heart_rate", "Strap"),
            (SCALE, "weight_scale", "My Scale!"),
        ):
            peripheral = CATALOGUE[model].make(address, random.Random(1), name=name)
            await air.add(peripheral)
            await peripheral.appear()
        yield air


async def scanned(air: Air, *peripherals: PeripheralSettings) -> dict[str, InRange]:
    backends = Backends(air.scanner_backend, air.client_backend)
    settings = Settings(peripherals=peripherals)
    async with asyncio.timeout(20):
        found = await scan(settings, REGISTRY, SCAN_S, asyncio.Event(), backends)
    assert found is not None
    return {device.address: device for device in found}


async def test_devices_in_range_and_in_the_settings(air: Air) -> None:
    found = await scanned(air, PeripheralSettings(id="strap", address=STRAP))
    assert set(found) == {STRAP, TWIN, SCALE}
    assert found[STRAP].peripheral == "strap"
    assert found[TWIN].peripheral is found[SCALE].peripheral is None
    assert found[TWIN].suggested_id == "strap-2", "the first name is taken"
    assert found[SCALE].suggested_id == "my-scale"
    assert found[TWIN].profiles[0] == "heart_rate"
    assert found[SCALE].profiles[0] == "weight_scale"
    assert [found[address].is_episodic for address in (TWIN, SCALE)] == [False, True]
    assert all(device.is_readable and (device.rssi_dbm or 0) < 0 for device in found.values())
    assert next(iter(found)) == STRAP, "peripherals of the settings come first"


async def test_the_most_specific_entry_matches(air: Air) -> None:
    found = await scanned(
        air,
        PeripheralSettings(id="any", service="heart_rate"),
        PeripheralSettings(id="mine", address=STRAP),
    )
    assert (found[STRAP].peripheral, found[TWIN].peripheral) == ("mine", "any")


async def test_stop_ends_the_scan_early(air: Air) -> None:
    stop = asyncio.Event()
    stop.set()
    backends = Backends(air.scanner_backend, air.client_backend)
    async with asyncio.timeout(20):
        assert await scan(Settings(), REGISTRY, 1000.0, stop, backends) is not None


async def test_the_table_and_the_blocks(air: Air, capsys: pytest.CaptureFixture[str]) -> None:
    found = await scanned(air, PeripheralSettings(id="strap", address=STRAP))
    show(list(found.values()))
    out = capsys.readouterr().out
    assert re.search(rf"strap +│ Strap +│ {STRAP} +│ -\d+ dBm │ heart_rate.*in the settings", out)
    assert re.search(rf"my-scale +│ My Scale! +│ {SCALE} .* weight_scale.*supported", out)
    assert f'id = "my-scale"\naddress = "{SCALE}"  # "My Scale!"\non = "advertising"' in out
    assert f'address = "{STRAP}"' not in out, "already in the settings"


async def test_the_json_object(air: Air, capsys: pytest.CaptureFixture[str]) -> None:
    found = await scanned(air, PeripheralSettings(id="strap", address=STRAP))
    capsys.readouterr()
    show_json(list(found.values()))
    entries = {entry["address"]: entry for entry in orjson.loads(capsys.readouterr().out)["found"]}
    assert set(entries) == {STRAP, TWIN, SCALE}
    assert entries[STRAP]["block"] is None
    assert entries[SCALE]["block"].startswith('[[peripherals]]\nid = "my-scale"\n')
    assert (entries[SCALE]["is_readable"], entries[SCALE]["peripheral"]) == (True, None)


def test_nothing_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    show([])
    assert "No device found" in capsys.readouterr().out


@pytest.mark.parametrize("wanted", ["my-scale", SCALE, SCALE.lower().replace(":", "-")])
async def test_adding_a_device(air: Air, tmp_path: Path, wanted: str) -> None:
    file = tmp_path / "healthd.toml"
    file.write_text("# mine\n")
    found = list((await scanned(air)).values())
    assert add_entry(wanted, found, file, REGISTRY) == 0
    assert file.read_text().startswith("# mine\n")
    (entry,) = read(file, {}, REGISTRY.profiles).peripherals
    assert (entry.id, entry.address, entry.on) == ("my-scale", SCALE, "advertising")
    # From now on the scan finds it as this peripheral.
    again = await scanned(air, entry)
    assert again[SCALE].peripheral == "my-scale"
    # It cannot be added twice, neither by address nor by id.
    before = file.read_text()
    assert add_entry(SCALE, list(again.values()), file, REGISTRY) == 1
    assert add_entry("my-scale", found, file, REGISTRY) == 78
    assert file.read_text() == before


async def test_adding_a_device_that_is_not_in_range(
    air: Air, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list((await scanned(air)).values())
    assert add_entry("rower", found, tmp_path / "none.toml", REGISTRY) == 1
    assert "my-scale" in capsys.readouterr().err
    assert add_entry("my-scale", found, tmp_path / "none.toml", REGISTRY) == 1
    assert "No such file" in capsys.readouterr().err


def test_adding_a_device_repeats_what_has_to_be_done_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "healthd.toml"
    hint = "hold its button, then: healthd pair cuff"
    cuff = InRange(SCALE, "Cuff", -50, ("blood_pressure",), False, True, False, None, "cuff", hint)
    assert add_entry("cuff", [cuff], file, REGISTRY) == 1, "there are no settings"
    assert hint not in capsys.readouterr().err
    file.touch()
    assert add_entry("cuff", [cuff], file, REGISTRY) == 0
    assert capsys.readouterr().err.endswith(f"{hint}\n")
    assert f"# {hint}\n[[peripherals]]" in file.read_text()
