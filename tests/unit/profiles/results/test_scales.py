"""One result for each weighing, whatever a scale sends while a person stands on it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.profiles.results.bench import Device

STABLE, REMOVED = 0x20, 0x80


def mi_scale(kg: float, flags: int, second: int = 11) -> str:
    """Return a packet of a Mi Scale, as in openScale PR #1294."""
    packet = struct.pack("<BHHBBBBB", 0x02 | flags, round(kg * 200), 2026, 1, 20, 7, 30, second)
    return packet.hex()


def mi_scale_2(
    kg: float, *, stable: bool, ohm: int = 0, removed: bool = False, second: int = 1
) -> str:
    """Return a packet of a Mi Scale 2, in the layout of openScale #392."""
    flags = 0x0002 | (0x2000 if stable else 0) | (0x8000 if removed else 0) | (0x0200 if ohm else 0)
    return struct.pack("<HHBBBBBHH", flags, 2026, 1, 20, 7, 30, second, ohm, round(kg * 200)).hex()


def standard(kg: float, when: tuple[int, ...] = (), user: int | None = None) -> str:
    """Return a Weight Measurement."""
    flags = (0x02 if when else 0) | (0x04 if user is not None else 0)
    packet = struct.pack("<BH", flags, round(kg * 200))
    if when:
        packet += struct.pack("<HBBBBB", *when)
    return (packet + (b"" if user is None else bytes([user]))).hex()


def when(day: int, hour: int = 7, minute: int = 0, second: int = 0) -> tuple[int, ...]:
    return (2025, 7, day, hour, minute, second)


def test_seven_packets_of_one_weighing_have_one_result() -> None:
    scale = Device("weight_scale", "MI_SCALE")
    scale.send(
        mi_scale(12.4, 0),
        mi_scale(55.1, 0),
        mi_scale(80.9, 0),
        mi_scale(83.6, 0),
        mi_scale(82.3, STABLE),
        mi_scale(82.3, STABLE | REMOVED),
        mi_scale(3.1, REMOVED),
    )
    scale.end()
    assert scale.results == [("weight", 82.3, "live")]
    assert scale.intermediate == [12.4, 55.1, 80.9, 83.6, 3.1]


def test_intermediate_weights_are_published_at_once() -> None:
    scale = Device("weight_scale", "MI_SCALE")
    assert scale.send(mi_scale(12.4, 0)) == [("intermediate_weight", 12.4, "intermediate")]


def test_a_person_who_stays_on_the_scale_has_one_result() -> None:
    scale = Device("weight_scale", "MI SCALE2")
    scale.send(mi_scale(80.9, 0), mi_scale(82.3, STABLE, 11))
    scale.send(mi_scale(82.3, STABLE, 19), mi_scale(82.3, STABLE | REMOVED, 27), every_s=8.0)
    assert scale.results == [("weight", 82.3, "live")]


@given(
    st.lists(
        st.tuples(
            st.integers(40, 43),
            st.integers(1, 4),
            st.sampled_from([0.1, 1.0, 4.0]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_each_weighing_has_one_result(
    weighings: list[tuple[int, int, float, bool, bool]],
) -> None:
    """Whatever the number of its packets, the pauses between them, and the links."""
    scale, second = Device("weight_scale", "MI_SCALE"), 0
    for kg, packets, every_s, steps_off, links_again in weighings:
        second += 12
        scale.send(mi_scale(kg / 2, 0, second), every_s=2.0)
        scale.send(*packets * [mi_scale(kg, STABLE, second + 1)], every_s=every_s)
        if steps_off:
            scale.send(mi_scale(kg, STABLE | REMOVED, second + 2), mi_scale(0.1, REMOVED))
        if links_again:
            scale.link()
    scale.end()
    assert scale.live == [kg for kg, *_ in weighings]
    assert scale.history == []


def test_the_next_person_has_a_result_even_with_the_same_weight() -> None:
    scale = Device("weight_scale", "MI_SCALE")
    scale.send(mi_scale(80.9, 0), mi_scale(82.3, STABLE), mi_scale(3.1, REMOVED))
    scale.send(mi_scale(40.0, 0, 31), mi_scale(82.3, STABLE, 35), every_s=4.0)
    scale.end()
    assert scale.live == [82.3, 82.3]


def test_the_result_of_a_weighing_before_the_link_is_one() -> None:
    """The scale is linked after the person has stepped off."""
    scale = Device("weight_scale", "MI_SCALE")
    scale.send(mi_scale(82.3, STABLE | REMOVED), mi_scale(0.0, REMOVED))
    scale.end()
    assert scale.results == [("weight", 82.3, "live")]


def test_a_weighing_that_was_given_up_has_no_result() -> None:
    scale = Device("weight_scale", "MI_SCALE")
    scale.send(mi_scale(12.4, 0), mi_scale(30.2, 0), mi_scale(3.1, REMOVED))
    scale.end()
    assert scale.results == []


def test_a_result_that_is_sent_on_the_next_link_too_is_published_once() -> None:
    scale = Device("weight_scale", "MI_SCALE")
    for _ in range(3):
        scale.send(mi_scale(82.3, STABLE | REMOVED))
        scale.link()
    assert scale.results == [("weight", 82.3, "live")]


@pytest.mark.parametrize("again", ["link", "restart"])
def test_a_weighing_that_two_links_see_has_one_result(again: str) -> None:
    """The link is lost while the person stands on the scale, whose clock goes on."""
    scale = Device("weight_scale", "MI_SCALE")
    scale.send(mi_scale(80.9, 0, 11), mi_scale(82.3, STABLE, 13))
    scale.link()
    if again == "restart":
        scale.restart()
    scale.send(mi_scale(82.3, STABLE, 17), mi_scale(82.3, STABLE | REMOVED, 20))
    scale.send(mi_scale(3.1, REMOVED, 21))
    scale.link()
    assert scale.live == [82.3]
    # The next person, of the same weight, or of another one.
    scale.send(mi_scale(60.0, 0, 40), mi_scale(82.3, STABLE, 44), mi_scale(3.1, REMOVED, 46))
    scale.link()
    scale.send(mi_scale(65.0, STABLE, 59))
    scale.end()
    assert scale.live == [82.3, 82.3, 65.0]


def test_the_impedance_follows_the_weight_in_one_result() -> None:
    scale = Device("body_composition", "MIBFS")
    scale.send(mi_scale_2(60.0, stable=False), mi_scale_2(82.3, stable=True, second=3))
    assert scale.pause(6.0) == []
    scale.send(mi_scale_2(82.3, stable=True, ohm=489, second=3))
    scale.pause(10.0)
    [result] = [timed.measurement for timed in scale.published if timed.finished]
    assert result.fields() | {"weight_kg": 82.3, "impedance_ohm": 489} == result.fields()


def test_a_weight_without_impedance_is_a_result_after_the_person_has_stepped_off() -> None:
    scale = Device("body_composition", "MIBCS")
    scale.send(mi_scale_2(82.3, stable=True), mi_scale_2(82.3, stable=True, removed=True))
    scale.send(mi_scale_2(0.0, stable=False, removed=True))
    scale.pause(3.0)
    assert scale.results == [("body_composition", 82.3, "live")]


def test_a_repetition_without_the_impedance_does_not_remove_it() -> None:
    scale = Device("body_composition", "MIBCS")
    scale.send(mi_scale_2(82.3, stable=True, ohm=489), mi_scale_2(82.3, stable=True, removed=True))
    scale.end()
    [result] = [timed.measurement for timed in scale.published if timed.finished]
    assert result.fields()["impedance_ohm"] == 489


def test_a_scale_that_repeats_its_result_has_one() -> None:
    scale = Device("weight_scale")
    scale.send(*3 * [standard(82.3, when(20))])
    scale.end()
    assert scale.results == [("weight", 82.3, "live")]


@pytest.mark.parametrize("dated", [True, False])
def test_a_scale_without_flags_has_one_result_for_values_that_settle(dated: bool) -> None:
    scale = Device("weight_scale")
    values = enumerate((80.9, 83.6, 82.3, 82.3))
    scale.send(*(standard(kg, when(20, 7, 59, at) if dated else ()) for at, kg in values))
    assert scale.results == []
    scale.pause(3.0)
    assert scale.results == [("weight", 82.3, "live")]
    assert scale.intermediate == [80.9, 83.6]


def test_two_users_on_one_scale_have_a_result_each() -> None:
    scale = Device("weight_scale")
    scale.send(standard(82.3, when(20, 7, 59), user=1), standard(61.0, when(20, 7, 59), user=2))
    scale.pause(3.0)
    assert sorted(value for _, value, _ in scale.results) == [61.0, 82.3]


def test_the_memory_of_a_scale_ends_with_the_newest_and_the_others_in_the_history() -> None:
    scale = Device("weight_scale")
    scale.send(*(standard(80 + day / 10, when(day)) for day in (14, 15, 16, 11, 12, 13)))
    scale.pause(5.0)
    assert scale.live == [81.6]
    assert scale.history == [81.4, 81.5, 81.1, 81.2, 81.3]


@pytest.mark.parametrize("packet", ["00ffff", "000000"])
def test_a_failed_weighing_has_no_result(packet: str) -> None:
    scale = Device("weight_scale")
    scale.send(packet)
    scale.end()
    assert scale.results == []
    assert [timed.measurement.kind for timed in scale.published] == ["intermediate_weight"]


def test_two_weighings_without_a_time_are_two() -> None:
    scale = Device("weight_scale")
    scale.send(standard(82.3), standard(82.3), every_s=20.0)
    scale.end()
    assert scale.live == [82.3, 82.3]


def test_a_composition_that_could_not_be_measured_has_no_result() -> None:
    """A Beurer sends zeros then (ble-scale-sync, beurer-bf720.test.ts)."""
    scale = Device("body_composition")
    scale.send("9803000096230000000000000000", "9803ffff96230000000000000000")
    scale.end()
    assert {timed.measurement.kind for timed in scale.published} == {
        "intermediate_body_composition"
    }
