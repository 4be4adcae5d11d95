"""Measurements formatted for display."""

from typing import Any

import pytest

from healthd.cli.live.wording import (
    age_text,
    main_key,
    numbers,
    phrases,
    rate_text,
)


def shown(stream: str, **values: Any) -> list[str]:
    return [f"{phrase.label} {phrase.value}".strip() for phrase in phrases(stream, values)]


@pytest.mark.parametrize(
    ("stream", "values", "words"),
    [
        ("heart_rate", {"heart_rate_bpm": 72}, ["72 bpm"]),
        ("heart_rate", {"heart_rate_bpm": None}, ["not available"]),
        ("battery", {"level_pct": 95}, ["level 95 %"]),
        ("body_temperature", {"temperature_c": 36.6}, ["36.6 °C"]),
        ("glucose", {"glucose_mmol_per_l": 5.44}, ["5.44 mmol/L"]),
        ("x", {"heading_deg": 38.7}, ["heading 38.7°"]),
        ("weight", {"bmi": 24.2}, ["bmi 24.2"]),
        ("x", {"running": True, "status": "walking"}, ["running yes", "status walking"]),
        ("x", {"met": 7}, ["met 7"]),
        ("x", {"rr_intervals_ms": [812.5, 803.74]}, ["rr intervals 812.5 803.7 ms"]),
        ("x", {"rr_intervals_ms": []}, ["rr intervals not available"]),
        ("x", {"forces_n": [*range(73)]}, ["forces 73 values … 65 66 67 68 69 70 71 72 N"]),
        ("x", {"speed_mps": 2.80555}, ["speed 2.806 m/s"]),
        ("x", {"power_w": 187.0}, ["power 187 W"]),
        ("x", {"distance_m": 12345.0}, ["distance 12345 m"]),
        ("x", {"status": {"a": 1}}, ["status …"]),
        ("x", {"status": "[bold]\x1b[2J"}, ["status [bold]?[2J"]),
    ],
)
def test_a_value_as_text(stream: str, values: dict[str, Any], words: list[str]) -> None:
    assert shown(stream, **values) == words


def test_envelope_and_bookkeeping_keys_are_not_shown() -> None:
    sample = {"id": "a-1", "time": "2026", "clock": "synced", "seq": 1, "sequence_number": 4}
    assert shown("weight", **sample, base_time="2026-11-24T07:30:00", weight_kg=81.25) == [
        "81.25 kg"
    ]


def test_of_a_frame_the_newest_values_are_shown() -> None:
    frame = {"sample_rate_hz": 130.0, "ecg_uv": [1, 2, -17], "x_mg": [1, 2]}
    assert shown("ecg", **frame) == ["-17 µV", "x 2 mg"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("heart_rate_bpm", {"heart_rate_bpm": 72, "rr_intervals_ms": [812.5]}),
        ("power_w", {"cumulative_crank_revolutions": 7, "speed_mps": 2.5, "power_w": 180}),
        ("speed_mps", {"total_energy_kj": 9, "heart_rate_bpm": 120, "speed_mps": 2.5}),
        ("systolic_mmhg", {"pulse_rate_bpm": 71, "systolic_mmhg": 120, "diastolic_mmhg": 80}),
        ("cumulative_wheel_revolutions", {"cumulative_wheel_revolutions": 7}),
        ("ecg_uv", {"sample_rate_hz": 130.0, "ecg_uv": [1, 2]}),
        ("rr_intervals_ms", {"heart_rate_bpm": None, "rr_intervals_ms": [812.5]}),
        (None, {"status": "on", "running": True, "sequence_number": 4, "forces_n": []}),
        (None, {}),
    ],
)
def test_the_main_key_of_a_sample(key: str | None, values: dict[str, Any]) -> None:
    assert main_key(values) == key


def test_only_finite_numbers_are_numbers() -> None:
    found = numbers([1, 2.5, None, True, "3", float("nan"), float("inf"), [4]])
    assert found == [1.0, 2.5]
    assert numbers(7) == [7.0]
    assert numbers({"a": 1}) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (31, "31 s"), (600, "10 min"), (7200, "2 h"), (1e6, "12 d")],
)
def test_an_age(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"), [(130.2, "130/s"), (1.04, "1.0/s"), (0.05, "3.0/min")]
)
def test_a_rate(per_second: float, text: str) -> None:
    assert rate_text(per_second) == text
