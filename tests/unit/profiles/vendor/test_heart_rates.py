"""Advertised heart rates get what the settings ask of any heart rate."""

from typing import Any

import pytest

from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load

REGISTRY = load()
ZONES = Options(heart_rate_zones_bpm=(60, 80, 120), hrv_window_s=60)


def read(name: str, packet: str, options: Options = ZONES) -> list[dict[str, Any]]:
    profile = next(
        each.name
        for each in REGISTRY.profiles.values()
        if REGISTRY.broadcasts[name] in each.broadcasts
    )
    reader = Reader(REGISTRY, options, None, [profile], "C0:00:00:00:00:01")
    found = reader.take(REGISTRY.broadcasts[name], bytes.fromhex(packet), 0)
    return [{"kind": each.measurement.kind, **each.measurement.fields()} for each in found]


@pytest.mark.parametrize(
    ("name", "packet", "zone"),
    [
        ("mi_band", "020aff54ffffffffffffffffffffffffff0302005e100013", 2),
        ("mi_band", "02ffffffffffffffffffffffffffffffff0302005e100013", None),
        ("polar_broadcast", "33000038", 0),
        ("polar_broadcast", "3b1b5452", 2),
    ],
)
def test_a_heart_rate_has_its_zone(name: str, packet: str, zone: int | None) -> None:
    [found] = read(name, packet)
    assert found["kind"] == "heart_rate"
    assert found["heart_rate_zone"] == zone
    [without] = read(name, packet, Options())
    assert "heart_rate_zone" not in without


def test_steps_have_none() -> None:
    assert read("mi_band_steps", "0b000000") == [{"kind": "steps", "step_count": 11}]


def test_an_advertised_temperature_is_a_result() -> None:
    [found] = read("thermometer_2a1c", "00700100ff")
    assert found == {"kind": "body_temperature", "temperature_c": 36.8}
