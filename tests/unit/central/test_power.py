"""When an adapter that is off is switched on, and when it is left alone."""

import pytest

from healthd.central.power import Power


class Time:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def tries(self, power: Power, seconds: int) -> list[int]:
        """In which of the next seconds it is switched on, in vain."""
        begin = self.now
        made: list[int] = []
        for second in range(1, seconds + 1):
            self.now = begin + second
            if power.due():
                made.append(second)
        return made


@pytest.fixture
def time() -> Time:
    return Time()


def test_one_that_was_never_on_is_tried_soon_and_patiently(time: Time) -> None:
    power = Power(time)
    power.update(False)
    assert time.tries(power, 10_000) == [3, 13, 43, 163, 763]


def test_one_that_was_switched_off_is_left_alone_after_three_tries(time: Time) -> None:
    power = Power(time)
    power.update(True)
    power.update(False)
    assert time.tries(power, 10_000) == [30, 150, 750]


def test_one_that_is_on_is_not_switched_on(time: Time) -> None:
    power = Power(time)
    power.update(True)
    assert time.tries(power, 10_000) == []


def test_who_switches_it_off_each_time_wins(time: Time) -> None:
    power = Power(time)
    power.update(True)
    switched_on = 0
    for _ in range(20):
        power.update(False)
        for _ in range(700):
            time.now += 1
            if power.due():
                switched_on += 1
                break
        power.update(True)
        time.now += 5
    assert switched_on == 3


def test_once_it_was_on_for_long_there_are_tries_again(time: Time) -> None:
    power = Power(time)
    power.update(True)
    power.update(False)
    assert time.tries(power, 1000) == [30, 150, 750]
    power.update(True)
    time.now += 600
    power.update(False)
    assert time.tries(power, 1000) == [30, 150, 750]
