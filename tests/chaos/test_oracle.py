"""Tests of the oracle: it must find losses and faults, and accept correct runs."""

from tests.chaos.observations import Accepted, Crash, Delivery, Gap, Key, Observations
from tests.chaos.oracle import check

S = 10**9
RUN, NEXT = "0000aaaa", "0000bbbb"


def key(seq: int, run: str = RUN, peripheral: str = "strap") -> Key:
    return Key(peripheral, "heart_rate", run, seq)


def accepted(*seqs: int, run: str = RUN) -> list[Accepted]:
    """Return one sample per second; the wall clock is 1000 s ahead of the monotonic clock."""
    return [Accepted(key(seq, run), seq * S, (1000 + seq) * S) for seq in seqs]


def received(*seqs: int, history: bool = False, run: str = RUN) -> list[Delivery]:
    return [Delivery(key(seq, run), history, seq * S) for seq in seqs]


def gap(reason: str, first_seq: int | None = None, last_seq: int | None = None, **kwargs: int):
    return Gap(
        ("strap", "heart_rate", RUN),
        reason,
        (1000 + kwargs.get("first", 0)) * S,
        (1000 + kwargs.get("last", 9999)) * S,
        first_seq,
        last_seq,
        kwargs.get("count"),
    )


def test_all_received() -> None:
    verdict = check(Observations(accepted(1, 2, 3), received(1, 2, 3)))
    assert verdict.good, str(verdict)
    assert (verdict.accepted, verdict.delivered, verdict.duplicates) == (3, 3, 0)


def test_missing_id_is_lost() -> None:
    verdict = check(Observations(accepted(1, 2, 3), received(1, 3)))
    assert [sample.key for sample, _ in verdict.lost] == [key(2)]
    assert not verdict.good
    assert "LOST" in str(verdict)


def test_same_id_of_another_stream_is_not_a_delivery() -> None:
    other = [Delivery(key(1, peripheral="other"), False, 0)]
    verdict = check(Observations(accepted(1), other))
    assert [sample.key for sample, _ in verdict.lost] == [key(1)]
    assert verdict.faults  # the other sample was never accepted


def test_duplicates_are_counted_and_accepted() -> None:
    again = [*received(1, 2, 3), *received(2, 3, 4), *received(1, history=True)]
    verdict = check(Observations(accepted(1, 2, 3, 4), again))
    assert verdict.good, str(verdict)
    assert verdict.duplicates == 3


def test_order_within_each_topic() -> None:
    late = [*received(1, 3), *received(2)]
    assert check(Observations(accepted(1, 2, 3), late)).faults
    late = [*received(3, 4), *received(1, history=True), *received(2, history=True)]
    assert check(Observations(accepted(1, 2, 3, 4), late)).good
    late = [*received(2, history=True), *received(1, history=True)]
    assert check(Observations(accepted(1, 2), late)).faults


def test_live_sample_may_be_repeated_anywhere_in_history() -> None:
    late = [*received(1), *received(2, history=True), *received(1, history=True)]
    assert check(Observations(accepted(1, 2), late)).good
    late = [*received(2, history=True), *received(1, history=True), *received(1)]
    assert check(Observations(accepted(1, 2), late)).faults


def test_order_of_runs() -> None:
    two_runs = [*accepted(8, 9), *accepted(1, run=NEXT)]
    right = [*received(8, 9, history=True), *received(1, history=True, run=NEXT)]
    wrong = [
        *received(8, history=True),
        *received(1, history=True, run=NEXT),
        *received(9, history=True),
    ]
    assert check(Observations(two_runs, right)).good
    assert check(Observations(two_runs, wrong)).faults


def test_events_have_no_order() -> None:
    events = [Accepted(Key("", "event/gap", RUN, seq), seq, seq) for seq in (1, 2)]
    backwards = [Delivery(events[1].key, False, 0), Delivery(events[0].key, False, 0)]
    assert check(Observations(events, backwards)).good


def test_gap_excuses_only_the_samples_it_covers() -> None:
    named = [gap("evicted", 2, 3, count=2)]
    verdict = check(Observations(accepted(1, 2, 3, 4), received(1, 4), named))
    assert verdict.good, str(verdict)
    assert (verdict.named, verdict.overclaimed) == (2, 0)
    verdict = check(Observations(accepted(1, 2, 3, 4), received(1), named))
    assert [sample.key for sample, _ in verdict.lost] == [key(4)]


def test_gap_of_another_run_covers_nothing() -> None:
    named = [gap("evicted", 1, 9, count=9)]
    verdict = check(Observations(accepted(2, run=NEXT), [], named))
    assert [sample.key for sample, _ in verdict.lost] == [key(2, NEXT)]


def test_gap_without_numbers_covers_by_time() -> None:
    named = [gap("corrupt", first=2, last=3)]
    assert check(Observations(accepted(1, 2, 3, 4), received(1, 4), named)).good
    assert check(Observations(accepted(1, 2, 3, 4), received(1), named)).lost


def test_gap_that_counts_too_little_is_a_fault_and_too_much_is_reported() -> None:
    assert check(
        Observations(accepted(1, 2, 3), received(1), [gap("evicted", 2, 3, count=1)])
    ).faults
    verdict = check(Observations(accepted(1, 2), received(1, 2), [gap("evicted", 1, 2, count=2)]))
    assert verdict.good
    assert verdict.overclaimed == 2


def test_gaps_without_samples_excuse_nothing() -> None:
    for reason in ("link_lost", "stalled", "stopped", "unclean_stop"):
        assert check(Observations(accepted(1, 2), received(1), [gap(reason)])).lost


def test_crash_excuses_young_samples_that_a_gap_names() -> None:
    killed = [Crash(RUN, 10 * S, 2 * S)]
    unclean = [gap("unclean_stop", 8)]
    verdict = check(Observations(accepted(7, 8, 9), received(7), unclean, killed))
    assert verdict.good, str(verdict)
    assert verdict.allowed == 2
    # Too old, although a gap names it.
    unclean = [gap("unclean_stop", 7)]
    verdict = check(Observations(accepted(7, 8, 9), received(8, 9), unclean, killed))
    assert [sample.key for sample, _ in verdict.lost] == [key(7)]
    # Young enough, but the gap of the next run starts at 9.
    verdict = check(
        Observations(accepted(7, 8, 9), received(7, 9), [gap("unclean_stop", 9)], killed)
    )
    assert [sample.key for sample, _ in verdict.lost] == [key(8)]
    # Young enough, but no gap names it.
    assert check(Observations(accepted(7, 8, 9), received(7), [], killed)).lost


def test_crash_excuses_no_other_run() -> None:
    killed = [Crash(NEXT, 10 * S, 2 * S)]
    assert check(Observations(accepted(9), [], [gap("unclean_stop")], killed)).lost


def test_acknowledged_sample_is_excused_only_if_the_broker_was_killed() -> None:
    assert check(Observations(accepted(1, 2), received(1))).lost
    verdict = check(Observations(accepted(1, 2), received(1), acknowledged={key(2)}))
    assert verdict.good
    assert verdict.by_broker == 1


def test_sample_in_a_damaged_database_is_excused_and_counted() -> None:
    verdict = check(Observations(accepted(1, 2, 3), received(1), destroyed={key(2)}))
    assert [sample.key for sample, _ in verdict.lost] == [key(3)]
    assert verdict.destroyed == 1


def test_sample_in_transit_is_not_missing() -> None:
    assert check(Observations(accepted(1, 2), received(1), until_ns=2 * S)).good
    assert check(Observations(accepted(1, 2), received(1), until_ns=2 * S + 1)).lost


def test_invalid_messages_repeated_ids_and_unknown_samples_are_faults() -> None:
    assert check(Observations(accepted(1), received(1), unknown=["topic: invalid"])).faults
    assert check(Observations(accepted(1, 1), received(1))).faults
    assert check(Observations(accepted(1), received(1, 2))).faults


def test_gap_event_is_parsed() -> None:
    fields = {
        "peripheral": "strap",
        "stream": "heart_rate",
        "reason": "evicted",
        "first": "1970-01-01T00:16:42.000001Z",
        "last": "1970-01-01T00:16:43.000000Z",
        "run": RUN,
        "first_seq": 2,
        "last_seq": 3,
        "count": 2,
    }
    assert Gap.parse(fields) == Gap(
        ("strap", "heart_rate", RUN), "evicted", 1002 * S + 1000, 1003 * S, 2, 3, 2
    )
