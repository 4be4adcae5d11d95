"""Who gets the next free slot."""

import pytest

from healthd.central.slots import CALL_S, Slots


class Time:
    """A clock that stands still until it is told otherwise."""

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


def test_who_was_heard_first_is_served_first(time: Time) -> None:
    slots = Slots(1, time)
    assert slots.request("streaming")
    for one in ("first", "second"):
        assert not slots.request(one)
    slots.release("streaming")
    assert not slots.request("second")
    assert not slots.request("streaming"), "who had a slot goes to the end"
    assert slots.request("first")
    slots.release("first")
    assert slots.request("second")


def test_one_that_waits_need_not_be_heard_until_it_is_called(time: Time) -> None:
    slots = Slots(1, time)
    slots.request("streaming")
    assert not slots.must_wait("waiting"), "it was never heard yet"
    slots.request("waiting")
    assert slots.must_wait("waiting")
    slots.release("streaming")
    assert not slots.must_wait("waiting")


def test_one_that_is_called_and_not_there_keeps_nobody_waiting(time: Time) -> None:
    slots = Slots(1, time)
    for one in ("streaming", "gone", "here"):
        slots.request(one)
    slots.release("streaming")
    assert not slots.request("here"), "the other one is called first"
    time.now += CALL_S
    assert slots.request("here")
    assert not slots.request("gone"), "it comes back to the end of the queue"
    slots.release("here")
    assert slots.request("gone")


def test_one_that_gives_up_loses_its_place(time: Time) -> None:
    slots = Slots(1, time)
    for one in ("streaming", "first", "second"):
        slots.request(one)
    slots.release("first")
    slots.release("streaming")
    assert slots.request("second")


def test_everybody_has_a_turn(time: Time) -> None:
    """Eight that leave after a while share five slots: nobody is served twice before another."""
    slots = Slots(5, time)
    peripherals = [f"p{number}" for number in range(8)]
    served: list[str] = []
    linked: list[str] = []
    for _ in range(40):
        for one in peripherals:
            if one not in linked and slots.request(one):
                linked.append(one)
                served.append(one)
        slots.release(linked.pop(0))
        time.now += 1
    turns = [served.count(one) for one in peripherals]
    assert max(turns) - min(turns) <= 1


def test_who_is_urgent_stands_before_those_who_are_not(time: Time) -> None:
    slots = Slots(1, time)
    for one, urgent in (("streaming", False), ("waiting", False), ("one", True), ("two", True)):
        slots.request(one, urgent=urgent)
    assert slots.urgent_waiting() == 2
    slots.release("streaming")
    assert slots.urgent_waiting() == 1, "the first of them is called"
    assert not slots.request("waiting")
    assert not slots.request("two", urgent=True)
    assert slots.request("one", urgent=True)
    assert slots.is_queued("two")
    slots.release("one")
    assert slots.request("two", urgent=True)
    assert slots.urgent_waiting() == 0
    slots.release("two")
    assert slots.request("waiting")


def test_one_that_was_called_in_vain_is_urgent_again(time: Time) -> None:
    slots = Slots(1, time)
    for one, urgent in (("streaming", False), ("waiting", False), ("urgent", True)):
        slots.request(one, urgent=urgent)
    slots.release("streaming")
    assert not slots.must_wait("urgent")
    time.now += CALL_S
    assert slots.request("waiting"), "it was not there"
    assert not slots.request("urgent", urgent=True)
    assert slots.urgent_waiting() == 1
