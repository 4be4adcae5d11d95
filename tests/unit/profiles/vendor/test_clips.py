"""Oximeters that are clipped to a finger: what is published, and what they are asked."""

import pytest

from healthd.profiles.identity import Identity
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load
from healthd.profiles.vendor import contec, jumper


def published(profile: str, uuid: str, *packets: str) -> list[tuple[str, dict[str, object]]]:
    registry = load()
    reader = Reader(registry, Options(), "Clip", [profile])
    return [
        (timed.measurement.kind, timed.measurement.fields())
        for packet in packets
        for timed in reader.take(registry.characteristics[uuid], bytes.fromhex(packet), 0)
    ]


def test_results_of_a_jumper_are_published_and_its_pulse_wave_is_not() -> None:
    wave, result = "80" + 10 * "32", "81386344"
    uuid = jumper.PROFILE.characteristics[0].uuid
    assert published("jumper", uuid, wave, result, wave) == [
        (
            "pulse_oximeter",
            {"spo2_pct": 99.0, "pulse_rate_bpm": 56.0, "pulse_amplitude_index_pct": 6.8},
        )
    ]


def test_results_of_a_contec_are_published_and_the_request_is_not() -> None:
    assert published("contec", "ff01", "9b011c", "eb010453637f0025") == [
        ("pulse_oximeter", {"spo2_pct": 99.0, "pulse_rate_bpm": 83.0})
    ]


def test_only_values_answer_the_request_to_a_contec() -> None:
    wave, result = bytes.fromhex("eb000348093f"), bytes.fromhex("eb010453637f0025")
    assert not contec.is_result(contec.START, wave)
    assert contec.is_result(contec.START, result)


def test_of_what_else_a_contec_sends_nothing_is_published() -> None:
    assert published("contec", "ff01", "eb000348093f", "f65046") == []


@pytest.mark.parametrize("name", ["SpO2080001", "SleepO2 1234"])
def test_a_contec_is_asked_again_and_again(name: str) -> None:
    asked = contec.keep_sending(Options(device=Identity(name)))
    assert next(asked) == bytes.fromhex("9b011c")
    assert asked.send(b"") == bytes.fromhex("9b011c")


@pytest.mark.parametrize("name", ["", "Desk 7421", "My SpO208"])
def test_another_device_with_the_service_is_asked_nothing(name: str) -> None:
    assert list(contec.keep_sending(Options(device=Identity(name)))) == []
