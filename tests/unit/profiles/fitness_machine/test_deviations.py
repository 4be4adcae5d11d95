"""Rowers and treadmills that use other steps than the service: read, and written to."""

import pytest

from healthd.profiles.fitness_machine.levels import inclination_of, share_of
from healthd.profiles.fitness_machine.limits import Limits, Rejected
from healthd.profiles.fitness_machine.machine import Machine, Range, machine_of
from healthd.profiles.fitness_machine.procedures import command
from healthd.profiles.identity import Identity
from healthd.profiles.quirks import decoders_for, writers_for
from healthd.profiles.registry import load
from healthd.verbs import SetTargetInclination

CHARACTERISTICS = load().characteristics
T01 = Identity(name="T01_1A2B")

# What T01 treadmills send for each of their levels (cagnulein/qdomyos-zwift, horizontreadmill.cpp).
SHARES = (0, 60, 130, 200, 260, 330, 400, 460, 530, 600, 660, 730, 800, 860, 930, 1000)


def decoded(uuid: str, packet: str, name: str) -> dict[str, object]:
    decode = decoders_for(Identity(name=name)).get(uuid, CHARACTERISTICS[uuid].decode)
    return decode(bytes.fromhex(packet)).fields()


@pytest.mark.parametrize(
    ("name", "total_kj"), [("FS-A1B2C3", 41.84), ("fs-1", 41.84), ("Rower", 418.4), ("FSX", 418.4)]
)
def test_fitshow_rowers_count_tenths_of_a_kcal(name: str, total_kj: float) -> None:
    # cagnulein/qdomyos-zwift #4624
    fields = decoded("2ad1", "00010000006400ffffff", name)
    assert fields["total_energy_kj"] == total_kj
    assert fields["energy_per_hour_kj_per_h"] is None


def test_a_fitshow_rower_without_a_total() -> None:
    assert decoded("2ad1", "0001000000ffffffffff", "FS-A1B2C3")["total_energy_kj"] is None


@pytest.mark.parametrize(
    ("name", "rate"), [("WHIPR 0815", 24), ("whipr", 24), ("KS-WLT-W1", 24), ("Concept2", 12)]
)
def test_rowers_that_send_whole_strokes(name: str, rate: float) -> None:
    # cagnulein/qdomyos-zwift #653, #1118
    assert decoded("2ad1", "0000180000", name)["stroke_rate_spm"] == rate
    average = decoded("2ad1", "0200 18 0000 18 ", name)
    assert average["average_stroke_rate_spm"] == average["stroke_rate_spm"] == rate


@pytest.mark.parametrize(("level", "share"), [*enumerate(SHARES)])
def test_each_level_of_a_t01_treadmill(level: int, share: int) -> None:
    packet = bytes.fromhex("0800 0000") + share.to_bytes(2, "little") + bytes(2)
    assert decoded("2acd", packet.hex(), T01.name)["inclination_pct"] == level
    assert share_of(level) == share


def test_an_inclination_between_two_levels() -> None:
    assert share_of(7.5) == 500
    assert inclination_of(500) == 7.5


def test_other_fields_of_a_t01_treadmill_are_as_usual() -> None:
    assert decoded("2acd", "0800 0000 ff7f 0a00", T01.name)["inclination_pct"] is None
    assert decoded("2acd", "0800 0000 e803 0a00", T01.name)["ramp_angle_deg"] == 1.0
    # A pace of one byte, which only the length shows.
    assert decoded("2acd", "2800 0000 e803 0a00 0f", T01.name) == {
        "more_data": False,
        "speed_mps": 0.0,
        "inclination_pct": 15.0,
        "ramp_angle_deg": 1.0,
        "pace_s_per_500m": 20.0,
    }
    assert decoded("2acd", "0800 0000 e803 0a00", "T01")["inclination_pct"] == 100.0


def test_a_t01_treadmill_reports_its_targets_in_levels() -> None:
    assert decoded("2ada", "06e803", T01.name)["inclination_pct"] == 15.0
    assert decoded("2ad9", "039001", T01.name)["inclination_pct"] == 6.0
    assert decoded("2ad9", "800301", T01.name)["result"] == "success"
    assert decoded("2ada", "07c800", T01.name)["resistance_raw"] == 200


@pytest.mark.parametrize(
    ("range_", "low", "high", "increment"),
    [("0000e8033c00", 0.0, 15.0, 1.0), ("000096000a00", 0.0, 15.0, 1.0)],
    ids=["shares", "per cent"],
)
def test_the_range_of_a_t01_treadmill(
    range_: str, low: float, high: float, increment: float
) -> None:
    assert decoded("2ad5", range_, T01.name) == {
        "min_pct": low,
        "max_pct": high,
        "increment_pct": increment,
    }
    machine = t01({"2ad5": bytes.fromhex(range_)})
    assert machine.ranges["inclination_pct"] == Range(low, high, 0.1, increment)


def t01(facts: dict[str, bytes]) -> Machine:
    return machine_of({"2acd", "2ad5"}, facts, decoders_for(T01), writers_for(T01))


def inclination(pct: float) -> SetTargetInclination:
    return SetTargetInclination(peripheral="treadmill", inclination_pct=pct)


@pytest.mark.parametrize(("level", "share"), [*enumerate(SHARES)])
def test_a_target_inclination_of_a_t01_treadmill(level: int, share: int) -> None:
    limits = Limits(inclination_pct=Range(0, 20))
    made = command(inclination(level), t01({}), limits)
    assert made.request == b"\x03" + share.to_bytes(2, "little")
    assert made.targets == {"inclination_pct": level}


@pytest.mark.parametrize("pct", [-1, 15.1])
def test_a_t01_treadmill_has_fifteen_levels(pct: float) -> None:
    limits = Limits(inclination_pct=Range(-5, 20))
    with pytest.raises(Rejected, match="inclination_pct: expected 0 to 15, found") as refused:
        command(inclination(pct), t01({}), limits)
    assert refused.value.reason == "out_of_range"
