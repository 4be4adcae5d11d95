"""Cuffs: what they send on each link, clocks that are wrong, pressures while they inflate."""

import struct
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles import known_results
from tests.unit.profiles.results.bench import NOW, Device

UNSET = NOW.replace(2000, 1, 1, 0, 0)
# medisanabp_ble #1, #6, #10: the newest one first.
NEW, OLD = "067b0050000000e907070f0f00004600", "067d0050000000e907070d0900004600"


def result(
    systolic: int, made: datetime | None = None, *, user: int = 1, diastolic: int = 78
) -> str:
    """Return a Blood Pressure Measurement with a pulse, and perhaps with a time."""
    flags = 0x0C if made is None else 0x0E
    packet = struct.pack("<BHHH", flags, systolic, diastolic, 93)
    if made is not None:
        day = (made.year, made.month, made.day, made.hour, made.minute, made.second)
        packet += struct.pack("<HBBBBB", *day)
    return (packet + struct.pack("<HB", 62, user)).hex()


def days(number: float) -> datetime:
    """Return a time this many days before now."""
    return NOW - timedelta(days=number)


@pytest.fixture
def cuff() -> Device:
    return Device("blood_pressure")


# B5: the memory


def test_the_newest_by_the_cuffs_clock_is_live_and_the_other_one_history(cuff: Device) -> None:
    cuff.send(NEW, OLD)
    cuff.pause(5.0)
    assert (cuff.live, cuff.history) == ([123.0], [125.0])


def test_a_second_link_publishes_nothing(cuff: Device) -> None:
    cuff.send(NEW, OLD)
    cuff.link()
    before = len(cuff.published)
    cuff.send(NEW, OLD)
    cuff.restart()
    cuff.send(OLD, NEW)
    cuff.end()
    assert len(cuff.published) == before


def test_a_memory_in_the_order_of_a_ring_ends_with_the_newest(cuff: Device) -> None:
    """A Medisana BU5xx: the newest of five is the third one."""
    made = (days(2), days(1), days(0.7), days(4), days(3))
    cuff.send(*(result(121 + at, when) for at, when in enumerate(made)), every_s=0.1)
    cuff.pause(5.0)
    assert cuff.live == [123.0]
    assert sorted(cuff.history) == [121.0, 122.0, 124.0, 125.0]


def test_an_older_one_on_a_later_link_is_history(cuff: Device) -> None:
    cuff.send(NEW)
    cuff.link()
    cuff.send(OLD)
    cuff.pause(5.0)
    cuff.restart()
    cuff.send(OLD, result(119, days(10)))
    cuff.end()
    assert (cuff.live, cuff.history) == ([123.0], [125.0, 119.0])


def test_a_newer_one_on_a_later_link_is_live(cuff: Device) -> None:
    cuff.send(OLD)
    cuff.link()
    cuff.send(OLD, NEW)
    cuff.end()
    assert (cuff.live, cuff.history) == ([125.0, 123.0], [])


def test_results_with_one_time_are_one_per_user_and_values(cuff: Device) -> None:
    made = days(1)
    packets = [result(120, made), result(120, made, user=2), result(121, made), result(120, made)]
    cuff.send(*packets)
    cuff.link()
    cuff.send(*packets)
    cuff.end()
    assert len(cuff.results) == 3


def test_results_are_published_while_the_cuff_stays_linked(cuff: Device) -> None:
    cuff.send(NEW, OLD)
    assert cuff.live == []
    cuff.pause(3.5)
    assert cuff.live == [123.0]


def test_what_is_measured_during_the_link_is_live(cuff: Device) -> None:
    """A cuff that measures every second is not sending its memory, even if its clock is wrong."""
    cuff.send(*(result(120 + at, days(30) + timedelta(seconds=at)) for at in range(4)), every_s=1.0)
    cuff.end()
    assert cuff.live == [120.0, 121.0, 122.0, 123.0]


def test_what_a_killed_run_held_back_is_new_on_the_next_link(cuff: Device) -> None:
    cuff.send(NEW, OLD)
    cuff.restart()
    cuff.send(NEW, OLD)
    cuff.end()
    assert (cuff.live, cuff.history) == ([123.0], [125.0])


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=5),
    st.sampled_from([0.05, 0.4, 1.0]),
)
def test_each_result_is_published_once_and_the_newest_is_the_last_live_one(
    links: list[list[int]], every_s: float
) -> None:
    cuff = Device("blood_pressure")
    for link in links:
        cuff.send(*(result(100 + day, days(30 - day / 2)) for day in link), every_s=every_s)
        if len(link) % 3 == 2:
            cuff.pause(5.0)
            cuff.restart()
        else:
            cuff.link()
    cuff.end()
    sent = {100.0 + day for link in links for day in link}
    assert sorted(value for _, value, _ in cuff.results) == sorted(sent)
    assert cuff.live == sorted(cuff.live)
    assert cuff.live[-1:] == ([max(sent)] if sent else [])


def test_the_memory_of_known_results_is_bounded(
    cuff: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_results, "LIMIT", 20)
    newest = result(150, days(0.5))
    cuff.send(newest)
    for day in range(100):
        cuff.send(result(100, days(200 - day)))
        cuff.pause(5.0)
    assert len(cuff.notes) == 20
    before = len(cuff.published)
    cuff.restart()
    cuff.send(newest, *(result(100, days(200 - day)) for day in range(81, 100)))
    cuff.end()
    assert len(cuff.published) == before
    assert cuff.live == [150.0]


# Clocks


@pytest.mark.parametrize("reset", [UNSET, UNSET.replace(year=1970), UNSET.replace(year=2020)])
def test_a_new_result_by_a_clock_that_was_reset_is_live(cuff: Device, reset: datetime) -> None:
    cuff.send(NEW, OLD)
    for at in (2, 9):
        cuff.link()
        cuff.send(NEW, OLD, result(130 + at, reset + timedelta(minutes=at)))
    cuff.link()
    cuff.send(NEW, OLD, result(119, days(1)), result(118, days(2)))
    cuff.end()
    assert cuff.live == [123.0, 132.0, 139.0, 119.0]
    assert cuff.history == [125.0, 118.0]


def test_of_several_results_by_an_unset_clock_the_last_is_live(cuff: Device) -> None:
    cuff.send(*(result(120 + at, UNSET + timedelta(hours=at)) for at in (2, 3, 1)))
    cuff.end()
    assert (cuff.live, sorted(cuff.history)) == ([123.0], [121.0, 122.0])


def test_a_clock_that_was_ahead_does_not_hide_later_results(cuff: Device) -> None:
    cuff.send(result(140, NOW + timedelta(days=3650)))
    cuff.link()
    cuff.send(result(120, days(1)))
    cuff.end()
    assert cuff.live == [140.0, 120.0]


def test_a_clock_that_was_set_back_an_hour_does_not_hide_the_next_result(cuff: Device) -> None:
    cuff.send(result(140, NOW + timedelta(minutes=50)))
    cuff.link()
    cuff.send(result(120, NOW - timedelta(minutes=2)))
    cuff.end()
    assert cuff.live == [140.0, 120.0]


def test_without_our_own_time_only_the_cuffs_dates_count() -> None:
    cuff = Device("blood_pressure", now=None)
    cuff.send(OLD, NEW)
    cuff.end()
    assert (cuff.live, cuff.history) == ([123.0], [125.0])


def test_results_without_a_time_are_live(cuff: Device) -> None:
    cuff.send(result(120))
    cuff.pause(2.0)
    cuff.send(result(120))
    cuff.end()
    assert cuff.live == [120.0, 120.0]


# B8: incomplete results


def plain(systolic: int, diastolic: int, mean: int = 0, pulse: int | None = None) -> str:
    packet = struct.pack("<BHHH", 0 if pulse is None else 4, systolic, diastolic, mean)
    return (packet + (b"" if pulse is None else struct.pack("<H", pulse))).hex()


def test_the_pressure_while_a_cuff_inflates_is_no_result(cuff: Device) -> None:
    """A QardioArm, LibreArm #6: 140/0 while it inflates, 138/88 at the end, then given up."""
    cuff.send(plain(40, 0), plain(90, 0), "008c0000007800", plain(138, 88, 105, 72), every_s=0.4)
    cuff.pause(2.0)
    cuff.send(plain(60, 0), "00ff0702000000", "001f072b000000", every_s=0.4)
    cuff.end()
    assert cuff.results == [("blood_pressure", 138.0, "live")]
    assert cuff.intermediate == [40.0, 90.0, 140.0, 60.0, None, 1823.0]
    kinds = {timed.measurement.kind for timed in cuff.published if not timed.finished}
    assert kinds == {"intermediate_cuff_pressure"}


def test_the_last_whole_result_of_a_measurement_counts(cuff: Device) -> None:
    """LibreArm takes what nothing follows within 1.5 s."""
    cuff.send(plain(151, 92, 110, 70), plain(138, 88, 105, 72), every_s=0.5)
    cuff.pause(2.0)
    assert (cuff.live, cuff.intermediate) == ([138.0], [151.0])


@pytest.mark.parametrize(
    "packet",
    [
        "16ff07ff07ff07e80706170e230aff070000",  # an error (blood-pressure-monitor-fl #80)
        plain(138, 0x7FF, 105),
        plain(80, 120),
        plain(80, 80),
        plain(301, 80),
    ],
)
def test_an_incomplete_result_replaces_nothing(cuff: Device, packet: str) -> None:
    cuff.send(result(120, days(0)))
    cuff.pause(5.0)
    cuff.send(packet)
    cuff.end()
    assert cuff.live == [120.0]
    assert len(cuff.intermediate) == 1


def test_a_result_without_a_mean_pressure_is_whole(cuff: Device) -> None:
    """A cuff of stackoverflow 78168365 sends none."""
    cuff.send("def6f416f3ff07e4070114082b00b2f2018000")
    cuff.end()
    assert cuff.live == [127.0]


def test_what_is_left_of_an_incomplete_result_is_kept(cuff: Device) -> None:
    cuff.send(plain(138, 0x7FF, 105, 72))
    [timed] = cuff.published
    assert timed.measurement.fields() == {
        "cuff_pressure_mmhg": 138.0,
        "mean_arterial_pressure_mmhg": 105.0,
        "pulse_rate_bpm": 72.0,
    }
