"""What the whole does that none of its parts can."""

import asyncio
from pathlib import Path

import pytest

from healthd import descriptors
from healthd.central.bonds import Wish
from healthd.central.link import Backends
from healthd.cli.run import EXIT_FAILED, until_signal
from healthd.daemon import Daemon
from healthd.errors import Fatal
from healthd.profiles import registry
from healthd.profiles.characteristic import Options
from healthd.records import Records
from healthd.sessions import options_for, wish_for
from healthd.settings import PeripheralSettings, Settings


def test_a_leak_of_files_stops_it_cleanly_and_has_it_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(descriptors, "LIMIT", 1)
    settings = Settings.model_validate(
        {
            "mqtt": {"brokers": ["127.0.0.1:1"]},
            "outbox": {"directory": tmp_path, "max_size": "4MB"},
        }
    )
    stopped: list[bool] = []

    async def body(stop: asyncio.Event) -> None:
        try:
            await Daemon(settings, registry.load(), {}, Backends()).run(stop)
        finally:
            stopped.append(stop.is_set())

    # Not 78: that is the one code after which systemd leaves the service alone.
    assert until_signal(body) == EXIT_FAILED
    assert stopped == [True]
    written = capfd.readouterr()
    lines = (written.out + written.err).splitlines()
    told = [index for index, line in enumerate(lines) if "leak" in line]
    assert told
    assert told[0] < next(i for i, line in enumerate(lines) if "stopping" in line)


def test_what_profiles_are_told() -> None:
    records = Records(lambda _gone, _whole: None)
    strap = PeripheralSettings(id="strap", name="Strap")
    assert options_for(strap, records) == Options(records=records)
    entry = PeripheralSettings.model_validate(
        {
            "id": "strap",
            "name": "Strap",
            "wheel_circumference": 2,
            "pmd": ["ecg", "acceleration"],
            "hrv": "5min",
            "heart_rate_zones": [95, 114, 133],
        }
    )
    assert options_for(entry, records) == Options(
        wheel_circumference_m=2.0,
        pmd=("ecg", "acceleration"),
        hrv_window_s=300.0,
        heart_rate_zones_bpm=(95, 114, 133),
        records=records,
    )


def test_what_is_wished_of_a_bond_is_what_the_settings_say(tmp_path: Path) -> None:
    file = tmp_path / "passkey"
    file.write_text("000042\n")
    assert wish_for(PeripheralSettings(id="scale")) == Wish(pair=False, passkey=None)
    told = PeripheralSettings(id="scale", pair=True, passkey_file=file)
    assert wish_for(told) == Wish(pair=True, passkey=42)


@pytest.mark.parametrize("text", [None, "hunter2"], ids=["absent", "no passkey"])
def test_a_passkey_that_cannot_be_used_is_found_at_the_start(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "passkey"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Fatal, match=r"peripherals\.scale\.passkey_file") as refused:
        wish_for(PeripheralSettings(id="scale", passkey_file=file))
    assert "hunter2" not in str(refused.value)
