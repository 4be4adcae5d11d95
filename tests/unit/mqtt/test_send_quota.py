"""Which waiting publishes are written, when and in which order."""

import asyncio

import pytest

from healthd.mqtt.send_quota import HISTORY, LIVE, RETAINED, WINDOW, SendQuota, Waiting


class Desk:
    """A quota whose publishes are written down."""

    def __init__(self, receive_maximum: int) -> None:
        self.quota = SendQuota()
        self.quota.limit(receive_maximum)
        self.written: list[str] = []

    def send(self, topic: str, priority: int = LIVE) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        waiting = Waiting(topic, b"", False, None, future)
        if self.quota.free:
            self.write(waiting)
        else:
            self.quota.add(priority, waiting)
        return future

    def acknowledge(self, count: int = 1) -> None:
        """Acknowledge publishes that arrive together."""
        calls = [self.quota.give_back() for _ in range(count)]
        # One call is enough, however many are acknowledged.
        assert sum(calls) <= 1
        if any(calls):
            self.quota.write_waiting(self.write)

    def write(self, waiting: Waiting) -> None:
        self.written.append(waiting.topic)
        self.quota.free -= 1


@pytest.mark.parametrize(("receive_maximum", "size"), [(1, 1), (10, 10), (65_535, WINDOW)])
async def test_the_smaller_of_the_own_window_and_the_brokers_limit_counts(
    receive_maximum: int, size: int
) -> None:
    desk = Desk(receive_maximum)
    for number in range(50):
        desk.send(str(number))
    assert len(desk.written) == desk.quota.size == size
    desk.acknowledge()
    assert len(desk.written) == size + 1


async def test_live_goes_before_retained_and_that_before_history() -> None:
    desk = Desk(1)
    desk.send("first")
    for topic, priority in (("h1", HISTORY), ("r1", RETAINED), ("l1", LIVE), ("l2", LIVE)):
        desk.send(topic, priority)
    for _ in range(4):
        desk.acknowledge()
    assert desk.written == ["first", "l1", "l2", "r1", "h1"]
    # Nothing waits: the next one is written at once.
    desk.acknowledge()
    desk.send("next")
    assert desk.written[-1] == "next"


async def test_one_turn_in_eight_belongs_to_what_is_not_live() -> None:
    desk = Desk(1)
    desk.send("first")
    for number in range(40):
        desk.send(f"l{number}")
    desk.send("r", RETAINED)
    desk.send("h", HISTORY)
    for _ in range(16):
        desk.acknowledge()
    places = [desk.written.index(topic) for topic in ("r", "h")]
    assert places[0] <= 8 and places[1] - places[0] == 8


async def test_what_is_sent_between_a_puback_and_the_writing_does_not_overtake() -> None:
    desk = Desk(1)
    desk.send("first")
    desk.send("second")
    assert desk.quota.give_back()
    desk.send("third")
    assert desk.written == ["first"]
    desk.quota.write_waiting(desk.write)
    desk.acknowledge()
    assert desk.written == ["first", "second", "third"]


async def test_several_acknowledged_together_write_as_many() -> None:
    desk = Desk(3)
    for number in range(5):
        desk.send(str(number))
    desk.acknowledge(3)
    assert desk.written == ["0", "1", "2", "3", "4"]
    assert desk.quota.free == 1


async def test_a_withdrawn_publish_is_not_written_and_takes_no_turn() -> None:
    desk = Desk(1)
    desk.send("first")
    withdrawn = desk.send("old", RETAINED)
    desk.send("new", RETAINED)
    withdrawn.cancel()
    desk.acknowledge()
    assert desk.written == ["first", "new"]


async def test_the_end_of_the_connection_cancels_what_waits() -> None:
    desk = Desk(1)
    desk.send("first")
    waiting = [desk.send(str(priority), priority) for priority in (LIVE, RETAINED, HISTORY)]
    desk.quota.cancel()
    assert all(future.cancelled() for future in waiting)
    desk.acknowledge()
    assert desk.written == ["first"]
