"""What is left out after it cost a link, and when it is tried again."""

import time

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement
from healthd.sessions.memory import DeviceMemory, Memories, Step

SERIAL = Step("read", "2a25")
HEART_RATE, POWER = Step("subscribe", "2a37"), Step("subscribe", "2a63")
HOUR_S, DAY_S = 3600.0, 86_400.0


class Clock:
    """The monotonic clock, which stands still unless a test moves it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        patch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_an_optional_step_is_left_out_after_one_link(clock: Clock) -> None:
    memory = DeviceMemory()
    assert not memory.leaves_out(SERIAL)
    assert memory.on_loss(SERIAL, tolerated=0), "worth a line in the log"
    assert memory.leaves_out(SERIAL)
    assert not memory.leaves_out(Step("read", "2a29"))


def test_it_is_tried_again_after_an_hour_and_then_once_a_day(clock: Clock) -> None:
    memory = DeviceMemory()
    for pause_s in (HOUR_S, DAY_S, DAY_S):
        memory.on_loss(SERIAL, tolerated=0)
        clock.now += pause_s - 1
        assert memory.leaves_out(SERIAL)
        clock.now += 1
        assert not memory.leaves_out(SERIAL)


def test_it_is_logged_once_for_each_characteristic(clock: Clock) -> None:
    memory = DeviceMemory()
    level = Step("read", "2a19"), Step("subscribe", "2a19")
    lines = [memory.on_loss(step, tolerated=0) for step in (*level, *level, SERIAL)]
    assert lines == [True, False, False, False, True]


def test_a_step_that_works_again_counts_as_new(clock: Clock) -> None:
    memory = DeviceMemory()
    memory.on_loss(SERIAL, tolerated=0)
    memory.on_success(SERIAL)
    assert not memory.leaves_out(SERIAL)
    memory.on_loss(SERIAL, tolerated=0)
    clock.now += HOUR_S
    assert not memory.leaves_out(SERIAL)


def test_a_measurement_is_left_out_only_after_two_links_in_a_row(clock: Clock) -> None:
    memory = DeviceMemory()
    assert not memory.on_loss(HEART_RATE, tolerated=1)
    memory.on_success(HEART_RATE)
    assert not memory.on_loss(HEART_RATE, tolerated=1)
    assert not memory.leaves_out(HEART_RATE)
    assert memory.on_loss(HEART_RATE, tolerated=1)
    assert memory.leaves_out(HEART_RATE)


def test_of_two_suspects_the_one_that_was_answered_is_the_likelier_one() -> None:
    memory = DeviceMemory()
    memory.on_loss(POWER, tolerated=1)  # the link ended in it
    memory.on_loss(HEART_RATE, tolerated=1)  # it was answered a moment before
    assert sorted((HEART_RATE, POWER), key=memory.suspicion) == [POWER, HEART_RATE]


def test_three_short_links_in_a_row_leave_out_everything_optional_for_a_while(
    clock: Clock,
) -> None:
    memory = DeviceMemory()
    ends = [memory.on_end(short=short) for short in (True, True, False, True, True, True)]
    assert ends == [False] * 5 + [True]
    assert memory.leaves_out_all()
    clock.now += 600
    assert not memory.leaves_out_all()


def test_a_fresh_discovery_that_does_not_help_twice_is_not_repeated() -> None:
    memory = DeviceMemory()
    for may in (True, True, False):
        assert memory.may_refresh("heart_rate") is may
        memory.on_vain_refresh("heart_rate")
    assert memory.may_refresh("battery")


def advertisement(address: str, name: str | None, kind: str = "public") -> Advertisement:
    details = {"path": f"/org/bluez/hci0/{address}", "props": {"AddressType": kind}}
    return Advertisement(address, name, frozenset(), -50, BLEDevice(address, name, details))


def test_devices_are_distinguished_by_address() -> None:
    memories = Memories()
    one, two = (memories.of(advertisement(f"00:00:00:00:00:0{n}", "Strap")) for n in (1, 2))
    assert one is not two
    assert memories.of(advertisement("00:00:00:00:00:01", "Other name")) is one


def test_a_device_that_changes_its_address_is_known_by_its_name() -> None:
    # The two highest bits of a resolvable private address are 0 and 1 (Core 4.2, 10.8).
    memories = Memories()
    first = memories.of(advertisement("40:00:00:00:00:01", "Strap", "random"))
    assert memories.of(advertisement("40:00:00:00:00:02", "Strap", "random")) is first


def test_a_gym_full_of_devices_does_not_fill_the_memory() -> None:
    memories = Memories()
    first = memories.of(advertisement("00:00:00:00:00:FF", None))
    for number in range(50):
        memories.of(advertisement(f"00:00:00:00:00:{number:02X}", None))
    assert memories.of(advertisement("00:00:00:00:00:FF", None)) is not first


def test_what_a_device_lacks_is_remembered_up_to_a_bound() -> None:
    memory = DeviceMemory()
    for number in range(1000):
        for _ in range(2):
            memory.on_vain_refresh(f"service {number}")
    known = [number for number in range(1000) if not memory.may_refresh(f"service {number}")]
    assert known == list(range(984, 1000))
