"""Requests to stop: over two connections, and many at a time."""

from healthd.mqtt.arrivals import Message
from healthd.mqtt.replies import Reply
from healthd.mqtt.responses import Responses
from healthd.mqtt.stops import Stops, Waiting
from healthd.verbs import Release, Stop, uptime_s

STOP = Message("healthd/gw/request/stop", b'{"peripheral":"belt"}', retained=False)
OTHER = Message("healthd/gw/request/stop", b'{"peripheral":"bike"}', retained=False)


def publish(topic: str, payload: bytes, schema: str, correlation: bytes | None) -> None:
    """There is no connection."""


def waiting() -> Waiting:
    return Waiting(Responses(publish), Reply("t"))


def test_a_message_that_arrives_over_both_connections_counts_once() -> None:
    stops = Stops()
    arrivals = [
        (STOP, True, False),
        (STOP, False, True),
        # The same request again, first over the other connection.
        (STOP, False, False),
        (OTHER, True, False),
        (STOP, True, True),
        # Two over the line, whose copies come later, and a third.
        (STOP, True, False),
        (STOP, True, False),
        (STOP, False, True),
        (STOP, False, True),
        (STOP, False, False),
    ]
    for message, over_line, is_second in arrivals:
        assert stops.is_second(message, over_line=over_line) is is_second


def test_after_a_change_of_the_connections_each_message_is_new() -> None:
    stops = Stops()
    assert not stops.is_second(STOP, over_line=True)
    stops.forget_arrivals()
    assert not stops.is_second(STOP, over_line=False)


def test_only_the_newest_messages_are_remembered() -> None:
    stops = Stops()
    for number in range(300):
        message = Message("t", b"%d" % number, retained=False)
        assert not stops.is_second(message, over_line=True)
    assert not stops.is_second(Message("t", b"0", retained=False), over_line=False)
    assert stops.is_second(Message("t", b"299", retained=False), over_line=False)


def test_the_same_stop_is_joined_while_it_is_in_progress() -> None:
    stops, stop = Stops(), Stop(peripheral="belt")
    joined = stops.join(stop, first := waiting())
    assert joined == [first]
    assert stops.join(stop, second := waiting()) is None
    assert joined == [first, second]
    assert stops.join(Release(peripheral="belt"), waiting()) is not None
    assert stops.join(Stop(peripheral="bike"), waiting()) is not None
    assert joined is not None
    stops.done(stop, joined)
    assert stops.join(stop, waiting()) is not None


def test_a_stop_after_a_start_is_carried_out_again() -> None:
    """Or the start would come after it."""
    stops, stop = Stops(), Stop(peripheral="belt")
    before = stops.join(stop, waiting())
    assert before is not None
    stops.moves("bike")
    assert stops.join(stop, waiting()) is None
    stops.moves("belt")
    after = stops.join(stop, waiting())
    assert after is not None
    stops.done(stop, before)
    assert stops.join(stop, waiting()) is None


def test_not_all_of_very_many_wait_for_a_response() -> None:
    stops, stop = Stops(), Stop(peripheral="belt")
    joined = stops.join(stop, waiting())
    for _ in range(1000):
        stops.join(stop, waiting())
    assert joined is not None
    assert len(joined) == 64


def start(sent_after_s: float | None = None) -> Message:
    where = "healthd/gw/request/start"
    return Message(where, b'{"peripheral":"belt"}', False, sent_after_s=sent_after_s)


def test_a_start_that_was_sent_before_a_stop_is_overtaken_by_it() -> None:
    """The stop came over the line, while the start waited in the queue of the other connection."""
    stops = Stops()
    assert not stops.is_overtaken(start(), "belt")
    assert not stops.is_second(STOP, over_line=True)
    stops.note_overtaking(STOP, "belt")
    assert stops.is_overtaken(start(uptime_s() - 1), "belt")
    assert not stops.is_overtaken(start(), "bike")
    # The other copy of the stop shows that what follows was sent after it.
    assert stops.is_second(STOP, over_line=False)
    assert not stops.is_overtaken(start(uptime_s() - 1), "belt")


def test_a_start_after_a_stop_that_the_other_connection_has_lost() -> None:
    stops = Stops()
    assert not stops.is_second(STOP, over_line=True)
    stops.note_overtaking(STOP, "belt")
    assert stops.is_overtaken(start(), "belt")
    assert not stops.is_overtaken(start(uptime_s() + 0.1), "belt")
    assert not stops.is_overtaken(start(), "belt")
    stops.note_overtaking(STOP, "belt")
    stops.forget_arrivals()
    assert not stops.is_overtaken(start(), "belt")


def test_a_stop_that_came_over_the_other_connection_first_overtakes_nothing() -> None:
    stops = Stops()
    assert not stops.is_second(STOP, over_line=False)
    assert stops.is_second(STOP, over_line=True)
    assert not stops.is_overtaken(start(), "belt")
