"""When an adapter that is off is switched on, and when it is not."""

import pytest

from healthd.central.power import Power


class Time:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def tries(self, power: Power, seconds: int) -> list[int]:
        """Return in which of the next seconds it is switched on, without success."""
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


def test_an_adapter_that_was_never_on_is_tried_soon_and_repeatedly(time: Time) -> None:
    power = Power(time)
    power.update(False)
    assert time.tries(power, 10_000) == [3, 13, 43, 163, 763]


def test_an_adapter_that_was_switched_off_stays_off_after_three_tries(time: Time) -> None:
    power = Power(time)
    power.update(True)
    power.update(False)
    assert time.tries(power, 10_000) == [30, 150, 750]


def test_an_adapter_that_is_on_is_not_switched_on(time: Time) -> None:
    power = Power(time)
    power.update(True)
    assert time.tries(power, 10_000) == []


def test_an_adapter_that_is_switched_off_each_time_stays_off(time: Time) -> None:
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


def test_after_a_long_time_on_the_tries_start_again(time: Time) -> None:
    power = Power(time)
    power.update(True)
    power.update(False)
    assert time.tries(power, 1000) == [30, 150, 750]
    power.update(True)
    time.now += 600
    power.update(False)
    assert time.tries(power, 1000) == [30, 150, 750]


def test_the_tries_come_when_they_were_announced(time: Time) -> None:
    power = Power(time)
    power.update(True)
    assert power.due_at is None
    power.update(False)
    begin, made = time.now, list[float]()
    while (due_at := power.due_at) is not None:
        time.now = due_at - 0.001
        assert not power.due()
        time.now = due_at
        assert power.due()
        made.append(due_at - begin)
    assert made == [30, 150, 750]
