"""What is in range of a simulated radio, told, and added to the settings."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from healthd.central.link import Backends
from healthd.central.survey import InRange
from healthd.cli.scan import add_entry, look, show, show_json
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
    """Two straps of one name, and a scale."""
    monkeypatch.setattr("healthd.simulator.peripheral.ADVERTISING_INTERVAL_MS", 20.0)
    monkeypatch.setenv("COLUMNS", "200")
    async with Air() as air:
        for address, model, name in (
            (STRAP, "heart_rate", "Strap"),
            (TWIN, "heart_rate", "Strap"),
            (SCALE, "weight_scale", "My Scale!"),
        ):
            one = CATALOGUE[model].make(address, random.Random(1), name=name)
            await air.add(one)
            await one.appear()
        yield air


async def scanned(air: Air, *peripherals: PeripheralSettings) -> dict[str, InRange]:
    backends = Backends(air.scanner_backend, air.client_backend)
    settings = Settings(peripherals=peripherals)
    async with asyncio.timeout(20):
        found = await look(settings, REGISTRY, SCAN_S, asyncio.Event(), backends)
    assert found is not None
    return {one.address: one for one in found}


async def test_who_is_here(air: Air) -> None:
    found = await scanned(air, PeripheralSettings(id="strap", address=STRAP))
    assert set(found) == {STRAP, TWIN, SCALE}
    assert found[STRAP].peripheral == "strap"
    assert found[TWIN].peripheral is found[SCALE].peripheral is None
    assert found[TWIN].suggested_id == "strap-2", "the first name is taken"
    assert found[SCALE].suggested_id == "my-scale"
    assert found[TWIN].profiles[0] == "heart_rate"
    assert found[SCALE].profiles[0] == "weight_scale"
    assert [found[one].is_episodic for one in (TWIN, SCALE)] == [False, True]
    assert all(one.is_readable and (one.rssi_dbm or 0) < 0 for one in found.values())
    assert next(iter(found)) == STRAP, "those of the settings come first"


async def test_the_most_specific_entry_has_it(air: Air) -> None:
    found = await scanned(
        air,
        PeripheralSettings(id="any", service="heart_rate"),
        PeripheralSettings(id="one", address=STRAP),
    )
    assert (found[STRAP].peripheral, found[TWIN].peripheral) == ("one", "any")


async def test_it_ends_earlier(air: Air) -> None:
    stop = asyncio.Event()
    stop.set()
    backends = Backends(air.scanner_backend, air.client_backend)
    async with asyncio.timeout(20):
        assert await look(Settings(), REGISTRY, 1000.0, stop, backends) is not None


async def test_a_table_with_blocks(air: Air, capsys: pytest.CaptureFixture[str]) -> None:
    found = await scanned(air, PeripheralSettings(id="strap", address=STRAP))
    show(list(found.values()))
    out = capsys.readouterr().out
    assert re.search(rf"strap +│ Strap +│ {STRAP} +│ -\d+ dBm │ heart_rate.*in the settings", out)
    assert re.search(rf"my-scale +│ My Scale! +│ {SCALE} .* weight_scale.*reads it", out)
    assert f'id = "my-scale"\naddress = "{SCALE}"  # "My Scale!"\non = "advertising"' in out
    assert f'address = "{STRAP}"' not in out, "it is in the settings already"


async def test_json(air: Air, capsys: pytest.CaptureFixture[str]) -> None:
    found = await scanned(air, PeripheralSettings(id="strap", address=STRAP))
    capsys.readouterr()
    show_json(list(found.values()))
    told = {one["address"]: one for one in orjson.loads(capsys.readouterr().out)["found"]}
    assert set(told) == {STRAP, TWIN, SCALE}
    assert told[STRAP]["block"] is None
    assert told[SCALE]["block"].startswith('[[peripherals]]\nid = "my-scale"\n')
    assert (told[SCALE]["is_readable"], told[SCALE]["peripheral"]) == (True, None)


def test_nothing_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    show([])
    assert "Nothing was heard" in capsys.readouterr().out


@pytest.mark.parametrize("wanted", ["my-scale", SCALE, SCALE.lower().replace(":", "-")])
async def test_adding_one(air: Air, tmp_path: Path, wanted: str) -> None:
    file = tmp_path / "healthd.toml"
    file.write_text("# mine\n")
    found = list((await scanned(air)).values())
    assert add_entry(wanted, found, file, REGISTRY) == 0
    assert file.read_text().startswith("# mine\n")
    (entry,) = read(file, {}, REGISTRY.profiles).peripherals
    assert (entry.id, entry.address, entry.on) == ("my-scale", SCALE, "advertising")
    # What was added is found as that from now on.
    again = await scanned(air, entry)
    assert again[SCALE].peripheral == "my-scale"
    # A second time it is refused, whichever way it is named.
    before = file.read_text()
    assert add_entry(SCALE, list(again.values()), file, REGISTRY) == 1
    assert add_entry("my-scale", found, file, REGISTRY) == 78
    assert file.read_text() == before


async def test_adding_what_is_not_here(
    air: Air, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list((await scanned(air)).values())
    assert add_entry("rower", found, tmp_path / "none.toml", REGISTRY) == 1
    assert "my-scale" in capsys.readouterr().err
    assert add_entry("my-scale", found, tmp_path / "none.toml", REGISTRY) == 1
    assert "No such file" in capsys.readouterr().err
