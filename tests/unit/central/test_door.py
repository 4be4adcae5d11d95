"""The share of a link: real sensors always fit in, and a flood is left out and ends the link."""

import time

import pytest

from healthd.central.door import RECORDS, SHARE, Door


class Link:
    """A link whose time a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.door = Door()
        self.admitted = self.left_out = 0

    def send(self, per_s: float, seconds: float, size: int = 20) -> None:
        """Send notifications of this size, evenly, or all at once for 0 seconds."""
        begin = self.now
        for number in range(round(per_s * seconds)):
            self.now = begin + number / per_s
            self.at_once(1, size)
        self.now = begin + seconds

    def at_once(self, count: int, size: int = 20) -> None:
        for _ in range(count):
            if self.door.admits(size):
                self.admitted += 1
            else:
                self.left_out += 1


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Link:
    return Link(monkeypatch)


@pytest.mark.parametrize(
    ("per_s", "size"),
    [
        # Polar Verity Sense: PPG 176 Hz, ACC and GYRO 416 Hz, MAG 100 Hz, heart rate
        (35, 229),
        (9, 229),  # Polar H10: ECG 130 Hz, ACC 200 Hz, heart rate
        (40, 20),  # a fitness machine with ten characteristics at 4 Hz
    ],
)
def test_nothing_of_the_busiest_sensors_is_left_out(link: Link, per_s: int, size: int) -> None:
    link.send(per_s, 600, size)
    # The process stood still for a minute, and then takes all that has come.
    link.now += 60
    link.at_once(60 * per_s, size)
    link.send(per_s, 600, size)
    assert link.left_out == 0


def test_a_transfer_of_all_records_of_a_glucose_sensor_is_not_limited(link: Link) -> None:
    """15 days with a record a minute, as fast as the radio allows."""
    link.door.expect_records()
    link.send(1400, 21_600 / 1400)
    assert (link.admitted, link.left_out) == (21_600, 0)


def test_a_device_that_sends_records_for_ever_is_ended_as_well(link: Link) -> None:
    link.door.expect_records()
    link.send(1400, 25)
    assert link.admitted < RECORDS.notifications + 25 * RECORDS.notifications_per_s + 1
    assert link.door.floods


@pytest.mark.parametrize("per_s", [300, 1400])
def test_a_flood_gets_its_share_and_is_ended(link: Link, per_s: int) -> None:
    link.send(per_s, 60)
    most = SHARE.notifications + 60 * SHARE.notifications_per_s
    assert 60 * SHARE.notifications_per_s <= link.admitted <= most
    assert link.admitted + link.left_out == 60 * per_s
    assert link.door.floods


def test_a_little_too_much_is_left_out_without_an_end(link: Link) -> None:
    link.send(150, 600)
    expected = 50 * 600 - SHARE.notifications
    assert link.left_out == pytest.approx(expected, abs=SHARE.notifications)
    assert not link.door.floods


def test_bytes_are_limited_like_notifications(link: Link) -> None:
    """A frame of 500 bytes costs more to decode than one of 20."""
    link.send(90, 600, 500)
    assert link.admitted * 500 <= SHARE.bytes + 600 * SHARE.bytes_per_s
    assert link.left_out > 0


def test_a_link_that_stays_within_its_share_again_is_forgiven(link: Link) -> None:
    for _ in range(10):
        link.at_once(2000)
        link.send(30, 120)
    assert link.left_out > 0
    assert not link.door.floods


def test_after_a_stall_of_two_minutes_a_busy_link_stays(link: Link) -> None:
    link.send(34, 600, 229)
    link.now += 120
    link.at_once(120 * 34, 229)
    assert not link.door.floods
