"""FE-C: pages become records, and requests become frames."""

from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.fitness_machine.limits import Limits, Rejected
from healthd.profiles.fitness_machine.machine import Range
from healthd.profiles.fitness_machine.procedures import command
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.vendor.fec import commands
from healthd.profiles.vendor.fec.dialect import FecTrainer
from healthd.profiles.vendor.fec.pages import decode_page
from healthd.profiles.vendor.fec.records import Pages
from healthd.verbs import (
    SetSimulation,
    SetTargetPower,
    SetTargetResistance,
    SetTargetSpeed,
    Start,
)

M = "trainer"
S = 1_000_000_000
# Captures of a NEO 2T, and a fixture of pycycling.
GENERAL_20_M = "10193f140000ff24"
POWER_0 = "19d5003101000020"
POWER_250 = "19015a1027fa0030"


def frame(page: str, header: str = "a4094e05") -> bytes:
    message = bytes.fromhex(header + page)
    return message + bytes([reduce(lambda one, other: one ^ other, message)])


class Link:
    """Pages that arrive one after the other, on one link."""

    def __init__(self) -> None:
        self.state = Pages(Options())
        self.now = S

    def send(self, *pages: str, after_s: float = 0.25) -> list[Timed]:
        made: list[Timed] = []
        for page in pages:
            self.now += round(after_s * S)
            made += self.state.take(decode_page(frame(page)), self.now)
        return made

    def samples(self, *pages: str, after_s: float = 0.25) -> list[dict[str, Any]]:
        return [
            timed.measurement.fields()
            for timed in self.send(*pages, after_s=after_s)
            if not timed.fact
        ]


def general(elapsed: int, distance: int, state: int = 3) -> str:
    return bytes([0x10, 25, elapsed, distance, 0x70, 0x17, 0xFF, state << 4 | 4]).hex()


def specific(events: int, power: int, accumulated: int) -> str:
    return bytes(
        [0x19, events, 90, accumulated & 0xFF, accumulated >> 8, power & 0xFF, power >> 8, 0x30]
    ).hex()


def test_a_record_has_what_both_pages_say() -> None:
    link = Link()
    assert link.samples(GENERAL_20_M) == []
    assert link.samples(POWER_0) == [
        {
            "equipment": "trainer",
            "state": "ready",
            "elapsed_time_s": 15.75,
            "total_distance_m": 20,
            "speed_mps": 0.0,
            "speed_is_virtual": False,
            "heart_rate_bpm": None,
            "event_count": 213,
            "cadence_rpm": 0.0,
            "accumulated_power_w": 305,
            "power_w": 0,
            "calibration_needed": [],
            "target_state": "at_target",
        }
    ]


def test_counters_go_on_beyond_their_wraps() -> None:
    link = Link()
    steps = [(250, 250, 254, 65_000), (255, 255, 255, 65_400), (4, 3, 0, 264), (9, 8, 1, 664)]
    records = [
        link.samples(general(elapsed, distance), specific(events, 400, accumulated))[-1]
        for elapsed, distance, events, accumulated in steps
    ]
    keys = ("elapsed_time_s", "total_distance_m", "event_count", "accumulated_power_w")
    assert [tuple(record[key] for key in keys) for record in records] == [
        (62.5, 250, 254, 65_000),
        (63.75, 255, 255, 65_400),
        (65.0, 259, 256, 65_800),
        (66.25, 264, 257, 66_200),
    ]


def test_a_ride_that_begins_starts_from_zero() -> None:
    link = Link()
    link.send(general(255, 255), specific(1, 100, 100))
    link.send(general(0, 0, state=2), specific(2, 0, 100))
    record = link.samples(general(1, 2), specific(3, 100, 200))[-1]
    assert (record["elapsed_time_s"], record["total_distance_m"]) == (0.25, 2)
    # The counters of the power are not those of a ride.
    assert (record["event_count"], record["accumulated_power_w"]) == (3, 200)


def test_a_page_that_is_sent_twice_is_one_update_until_a_second_has_passed() -> None:
    link = Link()
    assert len(link.samples(POWER_250, POWER_250, POWER_250)) == 1
    assert len(link.samples(POWER_250, after_s=1.0)) == 1
    assert len(link.samples(specific(2, 250, 10_250))) == 1


def test_an_old_page_is_not_part_of_a_record() -> None:
    link = Link()
    link.send(general(8, 20))
    link.now += 5 * S
    (record,) = link.samples(POWER_250)
    assert "speed_mps" not in record
    assert record["power_w"] == 250


def test_a_machine_that_never_sends_the_power_has_records_nevertheless() -> None:
    link = Link()
    made = link.samples(*(general(quarter, 2) for quarter in range(20)))
    assert made[-1] == {
        "equipment": "trainer",
        "elapsed_time_s": 4.75,
        "total_distance_m": 2,
        "speed_mps": 6.0,
        "speed_is_virtual": False,
        "heart_rate_bpm": None,
        "state": "in_use",
    }


def test_grade_and_resistance_are_of_the_settings_page() -> None:
    link = Link()
    link.send("11ffffd2d4fe0f31")
    (record,) = link.samples(POWER_250)
    assert (record["grade_pct"], record["resistance_pct"]) == (-3.0, 7.5)


def test_what_a_trainer_says_about_itself_is_published_when_it_changes() -> None:
    link = Link()
    pages = ("36ffffffff900107", "50ffff015900e10b", "51ff0315d2040000", "47310700ffff2003")
    first, again = link.send(*pages), link.send(*pages)
    assert [timed.measurement.kind for timed in first if timed.fact] == [
        "trainer_capabilities",
        "trainer_manufacturer",
        "trainer_product",
        "trainer_command",
    ]
    assert [timed.measurement.kind for timed in first if not timed.fact] == [
        "trainer_capabilities",
        "trainer_manufacturer",
        "trainer_product",
        "trainer_command",
    ]
    assert again == []
    (status, _) = link.send("47310803ffff2003")
    assert status.measurement.fields()["command_status"] == "rejected"


@pytest.mark.parametrize("page", ["f000000000000000", "31ffffffffff2003"])
def test_other_pages_and_what_is_written_make_nothing(page: str) -> None:
    assert Link().send(page) == []


@given(st.lists(st.binary(min_size=8, max_size=8), max_size=40))
def test_any_pages_make_samples_that_can_be_published(pages: list[bytes]) -> None:
    link = Link()
    for timed in link.send(*(page.hex() for page in pages)):
        assert timed.measurement.fields()


# Derived packets of the maker's document, recomputed.
@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (commands.set_target_power(power_w=200), "a4094f0531ffffffffff20030a"),
        (commands.set_track(grade_pct=4.5), "a4094f0533ffffffffe24f5029"),
        (commands.set_basic_resistance(resistance_level=20), "a4094f0530ffffffffffff28ff"),
        (commands.request_page(0x36), "a4094f0546ffffffff80360116"),
    ],
)
def test_commands(made: bytes, expected: str) -> None:
    assert made.hex() == expected


@given(
    grade=st.floats(-200, 200),
    wind=st.floats(-35, 35),
    crr=st.floats(0, 0.0127),
    cw=st.floats(0, 2.54),
)
def test_a_road_is_read_as_it_is_written_within_its_steps(
    grade: float, wind: float, crr: float, cw: float
) -> None:
    keys = {"grade_pct": grade, "wind_speed_mps": wind, "crr": crr, "cw_kg_per_m": cw}
    read = commands.road_of(commands.set_simulation(**keys))
    steps = {"grade_pct": 0.01, "wind_speed_mps": 1 / 3.6, "crr": 5e-5, "cw_kg_per_m": 0.01}
    for key, step in steps.items():
        assert read[key] == pytest.approx(keys[key], abs=step * 0.51)


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (commands.set_target_power, {"power_w": 4001}),
        (commands.set_target_power, {"power_w": -1}),
        (commands.set_basic_resistance, {"resistance_level": 100.5}),
        (commands.set_track, {"grade_pct": 201}),
        (commands.set_track, {"grade_pct": 0, "crr": 0.0128}),
        (commands.set_wind, {"wind_speed_mps": 36}),
        (commands.set_wind, {"cw_kg_per_m": 2.55}),
        (commands.set_track, {"grade_pct": float("nan")}),
    ],
)
def test_what_a_page_cannot_hold_is_an_error(make: Any, keys: Mapping[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make(**keys)


ROADS = Limits(grade_pct=Range(-15, 15))


def written(request: Any, limits: Limits = ROADS, capabilities: str = "") -> list[str]:
    trainer = FecTrainer()
    if capabilities:
        trainer.hear(frame(capabilities))
    made = command(request, trainer.machine, limits)
    return [step.hex() for step in trainer.steps(made.request)]


def test_a_power_needs_limits_in_the_settings() -> None:
    request = SetTargetPower(peripheral=M, power_w=200)
    with pytest.raises(Rejected, match=r"set control\.power_w in the settings"):
        written(request)
    limits = Limits(power_w=Range(0, 400))
    assert written(request, limits) == ["a4094f0531ffffffffff20030a"]
    with pytest.raises(Rejected, match="expected 0 to 400"):
        written(SetTargetPower(peripheral=M, power_w=401), limits)


def test_a_resistance_is_in_percent_in_half_steps_within_the_limits() -> None:
    assert written(SetTargetResistance(peripheral=M, resistance_level=20)) == [
        "a4094f0530ffffffffffff28ff"
    ]
    trainer = FecTrainer()
    limits = Limits(resistance_level=Range(0, 20.3))
    made = command(
        SetTargetResistance(peripheral=M, resistance_level=20.3), trainer.machine, limits
    )
    # Rounded up, it would be 20.5 %.
    assert made.request.hex() == "a4094f0530ffffffffffff28ff"
    assert trainer.machine.step("resistance_level") == Fraction(1, 2)
    with pytest.raises(Rejected, match="expected 0 to 100"):
        written(SetTargetResistance(peripheral=M, resistance_level=101))
    with pytest.raises(Rejected, match="the power that a resistance takes is not known"):
        written(
            SetTargetResistance(peripheral=M, resistance_level=5), Limits(power_w=Range(0, 400))
        )


def test_a_wind_is_only_written_if_it_makes_a_difference() -> None:
    assert written(SetSimulation(peripheral=M, grade_pct=4.5)) == ["a4094f0533ffffffffe24f5029"]
    windy = written(SetSimulation(peripheral=M, grade_pct=0, wind_speed_mps=2))
    assert [step[8:10] for step in windy] == ["32", "33"]
    trainer = FecTrainer()
    for wind in (2, 0):
        request = SetSimulation(peripheral=M, grade_pct=0, wind_speed_mps=wind)
        steps = trainer.steps(command(request, trainer.machine, ROADS).request)
        assert len(steps) == 2, wind
    assert [step.hex()[8:10] for step in trainer.release(simulated=True, stopped=False)] == [
        "32",
        "33",
    ]


def test_a_road_counts_as_the_trainer_reads_it() -> None:
    """A wind is written in whole km/h: rounded up, it may brake by more than is allowed."""
    limits = Limits(grade_pct=Range(-15, 4.61))
    # 1.39 m/s is written as 5 km/h, which is like 4.69 % at full speed.
    with pytest.raises(Rejected, match="the road is like a grade of 4"):
        written(SetSimulation(peripheral=M, grade_pct=3.6, wind_speed_mps=1.39), limits)


@pytest.mark.parametrize(
    ("capabilities", "unloads"),
    [
        ("", "33ffffffff204e50"),
        ("36ffffffff900107", "33ffffffff204e50"),
        # Without a simulation: no resistance, or no power.
        ("36ffffffff900103", "30ffffffffffff00"),
        ("36ffffffff900102", "31ffffffffff0000"),
    ],
)
def test_a_trainer_is_released_by_what_it_can_do(capabilities: str, unloads: str) -> None:
    trainer = FecTrainer()
    if capabilities:
        trainer.hear(frame(capabilities))
    assert [step.hex()[8:-2] for step in trainer.release(simulated=False, stopped=False)] == [
        unloads
    ]
    assert trainer.stop.hex()[8:-2] == unloads


def test_capabilities_limit_what_is_accepted() -> None:
    only_simulation = "36ffffffff900104"
    assert written(SetSimulation(peripheral=M, grade_pct=4.5), ROADS, only_simulation)
    limits = Limits(power_w=Range(0, 400))
    with pytest.raises(Rejected, match="has no target power") as rejected:
        written(SetTargetPower(peripheral=M, power_w=200), limits, only_simulation)
    assert rejected.value.reason == "not_supported"
    with pytest.raises(Rejected, match="has no target resistance"):
        written(SetTargetResistance(peripheral=M, resistance_level=1), ROADS, only_simulation)
    with pytest.raises(Rejected, match="simulates no road"):
        written(SetSimulation(peripheral=M, grade_pct=4.5), ROADS, "36ffffffff900103")


@pytest.mark.parametrize(
    "request_", [Start(peripheral=M), SetTargetSpeed(peripheral=M, speed_mps=1)]
)
def test_what_no_trainer_of_this_kind_can_do(request_: Any) -> None:
    with pytest.raises(Rejected) as rejected:
        written(request_, Limits(speed_mps=Range(0, 4)))
    assert rejected.value.reason == "not_supported"


POWER = commands.set_target_power(power_w=200)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("47310700ffff2003", "success"),
        ("47310701ffff2003", "operation_failed"),
        ("47310702ffff2003", "opcode_not_supported"),
        ("47310703ffff2003", "invalid_parameter"),
    ],
)
def test_the_command_status_answers(status: str, word: str) -> None:
    trainer = FecTrainer()
    trainer.begin(POWER)
    assert trainer.answers(POWER, frame(status))
    assert trainer.result(POWER, frame(status)) == word


@pytest.mark.parametrize(
    "message",
    [
        frame("47ffffff01000020"),  # none yet
        frame("47330700ffe24f50"),  # of another command
        frame("47310704ffff2003"),  # pending
        frame("473107ffffff2003"),  # not started
        frame(POWER_250),
        b"",
        b"\xa4",
    ],
)
def test_other_messages_do_not_answer(message: bytes) -> None:
    trainer = FecTrainer()
    trainer.begin(POWER)
    assert not trainer.answers(POWER, message)


def test_the_status_of_an_earlier_command_does_not_answer() -> None:
    """Its data and its sequence number are those of before."""
    trainer, before = FecTrainer(), frame("47310700ffff9001")
    trainer.hear(before)
    trainer.begin(POWER)
    assert not trainer.answers(POWER, before)
    # Not all trainers repeat the data.
    assert trainer.answers(POWER, frame("47310803ffffffff"))
    # Nor do all count.
    assert trainer.answers(POWER, frame("47310703ffff2003"))
