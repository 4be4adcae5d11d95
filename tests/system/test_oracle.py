"""The accounting of the system tests finds what it has to find."""

from tests.system.guest.oracle import Window, weigh
from tests.system.guest.straps import Arrival, Strap


def strap(sent: dict[int, float], arrived: dict[int, list[str]]) -> Strap:
    made = Strap("strap", "C4:00:00:00:00:01", sent)
    for number, ids in arrived.items():
        made.arrived[number] = [Arrival(0.0, id, True) for id in ids]
    return made


def test_all_arrived() -> None:
    counts = weigh([strap({1: 1.0, 2: 2.0}, {1: ["a-1"], 2: ["a-2"]})], [])
    assert (counts.sent, counts.arrived, counts.lost, counts.wrong) == (2, 2, 0, [])


def test_a_sample_that_did_not_arrive_is_lost() -> None:
    assert weigh([strap({1: 1.0, 2: 2.0}, {1: ["a-1"]})], []).lost == 1


def test_a_fault_excuses_its_own_strap_while_it_lasts() -> None:
    sent = strap({1: 1.0, 2: 2.0, 3: 3.0}, {})
    counts = weigh([sent], [Window({"strap"}, 2.0, 3.0), Window({"another"}, 0.0)])
    assert (counts.lost, counts.in_fault) == (2, 1)
    assert counts.losses == ["strap's 1, 1.00 s before a fault", "strap's 3, 0.00 s after a fault"]


def test_a_fault_excuses_samples_on_their_way_when_it_began() -> None:
    sent = strap({1: 1.0, 2: 1.9}, {})
    counts = weigh([sent], [Window({"strap"}, 2.0, 3.0)])
    assert (counts.lost, counts.in_fault) == (1, 1)


def test_a_sample_that_was_only_partly_sent_need_not_arrive() -> None:
    sent = strap({1: 1.0, 2: 2.0}, {})
    sent.unsure.add(2)
    counts = weigh([sent], [])
    assert (counts.lost, counts.in_fault) == (1, 1)


def test_a_repeated_delivery_is_not_a_second_sample() -> None:
    counts = weigh([strap({1: 1.0}, {1: ["a-1", "a-1"]})], [])
    assert (counts.repeated, counts.wrong) == (1, [])


def test_one_notification_with_two_ids_is_wrong() -> None:
    counts = weigh([strap({1: 1.0}, {1: ["a-1", "a-2"]})], [])
    assert counts.wrong == ["strap's 1 became 2 samples"]


def test_a_sample_that_was_never_sent_is_wrong() -> None:
    assert weigh([strap({}, {7: ["a-1"]})], []).wrong == ["strap never sent 7"]


def test_a_changed_value_is_wrong() -> None:
    changed = strap({1: 1.0}, {})
    changed.arrived[1] = [Arrival(0.0, "a-1", False)]
    assert weigh([changed], []).wrong == ["strap's 1 was changed"]
