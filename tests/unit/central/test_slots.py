"""Which peripheral gets the next free slot."""

import pytest

from healthd.central.slots import CALL_S, Slots


class Time:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def test_slots_are_given_until_none_is_left(time: Time) -> None:
    slots = Slots(2, time)
    assert [slots.request(one) for one in ("a", "b", "c")] == [True, True, False]


def test_the_first_peripheral_heard_gets_the_first_slot(time: Time) -> None:
    slots = Slots(1, time)
    assert slots.request("streaming")
    for peripheral in ("first", "second"):
        assert not slots.request(peripheral)
    slots.release("streaming")
    assert not slots.request("second")
    assert not slots.request("streaming"), "a peripheral that had a slot goes to the end"
    assert slots.request("first")
    slots.release("first")
    assert slots.request("second")


def test_a_waiting_peripheral_need_not_be_heard_until_it_is_called(time: Time) -> None:
    slots = Slots(1, time)
    slots.request("streaming")
    assert not slots.must_wait("waiting"), "it has not been heard yet"
    slots.request("waiting")
    assert slots.must_wait("waiting")
    slots.release("streaming")
    assert not slots.must_wait("waiting")


def test_a_called_peripheral_that_is_not_there_loses_its_turn(time: Time) -> None:
    slots = Slots(1, time)
    for peripheral in ("streaming", "gone", "here"):
        slots.request(peripheral)
    slots.release("streaming")
    assert not slots.request("here"), "the other one was called first"
    time.now += CALL_S
    assert slots.request("here")
    assert not slots.request("gone"), "it comes back to the end of the queue"
    slots.release("here")
    assert slots.request("gone")


def test_a_peripheral_that_gives_up_loses_its_place(time: Time) -> None:
    slots = Slots(1, time)
    for peripheral in ("streaming", "first", "second"):
        slots.request(peripheral)
    slots.release("first")
    slots.release("streaming")
    assert slots.request("second")


def test_all_peripherals_take_turns(time: Time) -> None:
    """Eight peripherals share five slots: none gets a second turn before the others."""
    slots = Slots(5, time)
    peripherals = [f"p{number}" for number in range(8)]
    served: list[str] = []
    linked: list[str] = []
    for _ in range(40):
        for peripheral in peripherals:
            if peripheral not in linked and slots.request(peripheral):
                linked.append(peripheral)
                served.append(peripheral)
        slots.release(linked.pop(0))
        time.now += 1
    turns = [served.count(peripheral) for peripheral in peripherals]
    assert max(turns) - min(turns) <= 1


def test_urgent_peripherals_go_first(time: Time) -> None:
    slots = Slots(1, time)
    for peripheral, urgent in (
        ("streaming", False),
        ("waiting", False),
        ("one", True),
        ("two", True),
    ):
        slots.request(peripheral, urgent=urgent)
    assert slots.urgent_waiting() == 2
    slots.release("streaming")
    assert slots.urgent_waiting() == 1, "the first urgent one is called"
    assert not slots.request("waiting")
    assert not slots.request("two", urgent=True)
    assert slots.request("one", urgent=True)
    assert slots.is_queued("two")
    slots.release("one")
    assert slots.request("two", urgent=True)
    assert slots.urgent_waiting() == 0
    slots.release("two")
    assert slots.request("waiting")


def test_a_peripheral_that_missed_its_call_can_be_urgent_again(time: Time) -> None:
    slots = Slots(1, time)
    for peripheral, urgent in (("streaming", False), ("waiting", False), ("urgent", True)):
        slots.request(peripheral, urgent=urgent)
    slots.release("streaming")
    assert not slots.must_wait("urgent")
    time.now += CALL_S
    assert slots.request("waiting"), "it was not there"
    assert not slots.request("urgent", urgent=True)
    assert slots.urgent_waiting() == 1
