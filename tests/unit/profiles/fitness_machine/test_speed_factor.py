"""Machines that send miles per hour: their speeds are corrected, and their targets are, too."""

import struct

import pytest

from healthd.profiles import registry
from healthd.profiles.fitness_machine.limits import Limits, Rejected
from healthd.profiles.fitness_machine.machine import Range, machine_of
from healthd.profiles.fitness_machine.procedures import command
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.verbs import SetTargetSpeed

MILE = 1.609344
REGISTRY = registry.load()
# 1 mph in m/s.
MPH = 0.44704


def read(uuid: str, packet: str, factor: float = MILE) -> dict[str, object]:
    reader = Reader(REGISTRY, Options(speed_factor=factor), "Treadmill", ["fitness_machine"])
    *_, timed = reader.take(REGISTRY.characteristics[uuid], bytes.fromhex(packet), 0)
    return timed.measurement.fields()


@pytest.mark.parametrize("uuid", ["2acd", "2ad2"])
def test_both_speeds_are_corrected(uuid: str) -> None:
    # 6.00 and 5.50 mph.
    fields = read(uuid, "0200 5802 2602")
    assert fields["speed_mps"] == pytest.approx(6 * MPH, abs=2e-3)
    assert fields["average_speed_mps"] == pytest.approx(5.5 * MPH, abs=2e-3)


def test_distances_and_paces_stay_as_they_are() -> None:
    packet = "2400 5802 e80300 2c01"
    corrected, as_sent = read("2acd", packet), read("2acd", packet, factor=1)
    assert {key for key in corrected if corrected[key] != as_sent[key]} == {"speed_mps"}
    assert (corrected["total_distance_m"], corrected["pace_s_per_500m"]) == (1000, 300)


def test_targets_and_the_supported_range_are_corrected() -> None:
    assert read("2ada", "05 5802")["speed_mps"] == pytest.approx(6 * MPH, abs=2e-3)
    range_ = read("2ad4", "3200 b004 0a00")
    assert [range_[key] for key in ("min_mps", "max_mps", "increment_mps")] == [
        pytest.approx(mph * MPH, abs=2e-3) for mph in (0.5, 12, 0.1)
    ]


def test_a_simulated_wind_is_not_a_speed_of_the_machine() -> None:
    wind = read("2ada", "12 e803 0000 28 33")
    assert wind["wind_speed_mps"] == 1.0


def test_a_value_that_is_not_in_the_packet_stays_absent() -> None:
    assert "speed_mps" not in read("2ada", "04")


TREADMILL = machine_of({"2acd", "2ad4"}, {"2ad4": bytes.fromhex("3200b0040a00")}, speed_factor=MILE)
LIMITS = Limits(speed_mps=Range(0, 8))


def speed(mps: float) -> SetTargetSpeed:
    return SetTargetSpeed(peripheral="treadmill", speed_mps=mps)


def test_a_target_speed_is_written_in_the_machine_s_unit() -> None:
    made = command(speed(6 * MPH), TREADMILL, LIMITS)
    assert made.request == struct.pack("<BH", 2, 600)
    assert made.targets == {"speed_mps": 6 * MPH}


@pytest.mark.parametrize("mph", [0.5, 12], ids=["lowest", "highest"])
def test_the_ends_of_the_range_are_allowed(mph: float) -> None:
    assert command(speed(mph * MPH), TREADMILL, LIMITS).request == struct.pack(
        "<BH", 2, int(mph * 100)
    )


def test_the_range_of_the_machine_counts_in_metres_per_second() -> None:
    with pytest.raises(Rejected, match=r"expected 0\.224 to 5\.364: the settings allow 0 to 8"):
        command(speed(6), TREADMILL, LIMITS)
