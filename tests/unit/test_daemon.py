"""What the whole does that none of its parts can."""

import asyncio
from pathlib import Path

import pytest

from healthd import descriptors
from healthd.central.link import Backends
from healthd.cli.run import EXIT_FAILED, until_signal
from healthd.daemon import Daemon, options_for
from healthd.profiles import registry
from healthd.profiles.characteristic import Options
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
    assert options_for(PeripheralSettings(id="strap", name="Strap")) == Options()
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
    assert options_for(entry) == Options(
        wheel_circumference_m=2.0,
        pmd=("ecg", "acceleration"),
        hrv_window_s=300.0,
        heart_rate_zones_bpm=(95, 114, 133),
    )
