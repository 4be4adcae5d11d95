"""The verdict sees what is lost, silent, late and repeated."""

import json

from tests.clusters.verdict import PROBE, Key, Kill, Verdict, judge, made
from tests.support.subscriber import Received

A, B = 1, 2  # MQTT ports of two nodes
KEYS = [Key("strap", "heart_rate", f"run-{seq}") for seq in range(1, 6)]
SAMPLES = {key: float(number) for number, key in enumerate(KEYS)}


def message(key: Key, at: float, *, history: bool = False, retained: bool = False) -> Received:
    topic = f"healthd/gateway/device/{key.peripheral}/{key.stream}" + "/history" * history
    return Received(topic, json.dumps({"id": key.id}).encode(), retained, 1, at)


def probe(at: float) -> Received:
    return Received(PROBE, b"", False, 1, at)


def verdict(
    at_a: list[Received],
    at_b: list[Received],
    held: set[Key] | None = None,
    kills: list[Kill] | None = None,
    recorded: list[Received] | None = None,
) -> Verdict:
    probes = [probe(0.0), probe(2.0), probe(9.0), probe(30.0)]
    heard = {A: at_a, B: [*at_b, *probes]}
    return judge(SAMPLES, held or set(), heard, recorded or [], kills or [], 20.0, 0)


def all_at(start: float, keys: list[Key] = KEYS) -> list[Received]:
    return [message(key, start + number) for number, key in enumerate(keys)]


def test_everything_arrived_once() -> None:
    found = verdict(all_at(0.0), all_at(0.5))
    assert (found.acknowledged, found.lost, found.late, found.duplicates) == (5, [], 0, 0)
    # From the last sample at B to the end, and between two probes before the end.
    assert found.longest_hole_s == 20.0 - 4.5
    assert found.cluster_s == 7.0


def test_a_sample_that_no_subscriber_received_is_lost_unless_the_gateway_has_it() -> None:
    arrived = all_at(0.0, KEYS[:3])
    assert verdict(arrived, arrived).lost == KEYS[3:]
    found = verdict(arrived, arrived, held={KEYS[3]})
    assert (found.lost, found.acknowledged, found.held) == ([KEYS[4]], 4, 1)
    recorded = [message(KEYS[4], 30.0)]
    assert verdict(arrived, arrived, recorded=recorded).lost == [KEYS[3]]


def test_what_only_the_dying_node_has_delivered_is_lost() -> None:
    kills = [Kill(A, 3.5)]
    assert verdict(all_at(0.0), all_at(0.0, KEYS[:2]), kills=kills).lost == KEYS[2:4]
    assert verdict(all_at(0.0, KEYS[:2]), all_at(0.0), kills=kills).lost == []


def test_history_is_late_and_ends_no_hole() -> None:
    arrived = [message(KEYS[0], 0.0), *(message(key, 5.0, history=True) for key in KEYS[1:])]
    found = verdict(arrived, arrived)
    assert (found.late, found.lost, found.longest_hole_s) == (4, [], 20.0)


def test_repeated_messages_are_counted_and_retained_ones_are_not() -> None:
    again = [message(KEYS[0], 6.0), message(KEYS[0], 7.0, retained=True)]
    assert verdict([*all_at(0.0), *again], all_at(0.0)).duplicates == 1


def test_the_lines_of_the_tap_are_samples_of_peripherals() -> None:
    lines = ["2500000000 1 strap heart_rate run 7", "3000000000 1 - event/gap run 1"]
    assert made(lines) == {Key("strap", "heart_rate", "run-7"): 2.5}
