"""One result for each weighing on a scale that only advertises, whatever is heard of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import effort
from tests.unit.profiles.vendor.air import (
    FLAGGED,
    PROFILES,
    Advertised,
    Listener,
    Send,
    mi_body_scale,
    mi_scale,
    okok,
    okok_20ca,
    okok_f0ff,
    reports,
)

each_scale = pytest.mark.parametrize("send", PROFILES, ids=lambda send: send.__name__)
each_flagged = pytest.mark.parametrize("send", FLAGGED, ids=lambda send: send.__name__)


def settling(send: Send, at_s: float, kg: float, count: int) -> Iterator[Advertised]:
    """Step on: the weight rises, then swings."""
    for step in range(count):
        share = min(1.05, 0.2 + 1.2 * step / count)
        yield send(at_s + step / 5, round(kg * share, 1), False, False, 0)


def stable(
    send: Send, at_s: float, kg: float, count: int, ohm: float = 0, taken_s: float | None = None
) -> Iterator[Advertised]:
    """Stand still; the device's time is that of the result."""
    for step in range(count):
        advertised = send(at_s if taken_s is None else taken_s, kg, True, False, ohm)
        yield advertised._replace(at_s=at_s + step / 5)


def removed(send: Send, at_s: float, kg: float, count: int) -> Iterator[Advertised]:
    """Step off: the weight falls, then the scale is empty."""
    for step in range(count):
        share = max(0.0, 0.7 - step / count)
        yield send(at_s + step / 5, round(kg * share, 1), False, True, 0)


def weighing(send: Send, at_s: float, kg: float) -> Iterator[Advertised]:
    """Weigh in 40 advertisements."""
    yield from settling(send, at_s, kg, 20)
    # One that does not say that the weight is stable has to show it for longer.
    still = 10 if send is not okok_f0ff else 25
    yield from stable(send, at_s + 4, kg, still)
    yield from removed(send, at_s + 4 + still / 5, kg, 10)


@each_scale
@pytest.mark.parametrize("kind", ["N", "D"])
def test_a_weighing_of_40_advertisements_has_one_result(send: Send, kind: str) -> None:
    scale = Listener(PROFILES[send])
    scale.hear(reports(weighing(send, 0.0, 82.3), kind))
    scale.wait(30.0)
    assert scale.results == [82.3]
    assert 0.0 in scale.intermediate


@each_flagged
def test_nothing_is_a_result_if_the_stable_weight_is_never_reported(send: Send) -> None:
    """As by a controller that reports each address once in a window: the first packet only."""
    scale = Listener(PROFILES[send])
    scale.hear(reports(weighing(send, 0.0, 82.3), "A"))
    scale.wait(30.0)
    assert scale.results == []


@each_flagged
def test_a_stable_weight_may_arrive_exactly_once(send: Send) -> None:
    scale = Listener(PROFILES[send])
    scale.hear([send(3.0, 82.3, True, False, 0)])
    scale.wait(30.0)
    assert scale.results == [82.3]


@each_flagged
def test_a_second_person_a_minute_later_has_a_result(send: Send) -> None:
    scale = Listener(PROFILES[send])
    scale.hear(weighing(send, 0.0, 82.3))
    scale.hear(weighing(send, 60.0, 55.1))
    scale.wait(30.0)
    assert scale.results == [82.3, 55.1]


@each_scale
def test_the_same_weight_again_is_a_second_result(send: Send) -> None:
    scale = Listener(PROFILES[send])
    for at_s in (0.0, 30.0, 600.0):
        scale.hear(weighing(send, at_s, 82.3))
    scale.wait(30.0)
    assert scale.results == [82.3, 82.3, 82.3]


@each_flagged
def test_the_same_weight_minutes_later_is_a_second_result_if_nothing_else_was_heard(
    send: Send,
) -> None:
    scale = Listener(PROFILES[send])
    for at_s in (0.0, 65.0, 3_600.0):
        scale.hear([send(at_s, 82.3, True, False, 0)])
    scale.wait(30.0)
    assert scale.results == [82.3, 82.3, 82.3]


@each_flagged
@pytest.mark.parametrize("pause_s", [0.5, 10.2, 40.0, 59.0])
def test_the_same_packet_after_a_pause_of_the_scan_is_not_a_second_result(
    send: Send, pause_s: float
) -> None:
    scale = Listener(PROFILES[send])
    heard = [*weighing(send, 0.0, 82.3)]
    scale.hear(heard)
    again = heard[25]
    scale.hear([again._replace(at_s=heard[-1].at_s + pause_s)])
    scale.wait(30.0)
    assert scale.results == [82.3]


@each_flagged
def test_a_person_who_moves_has_one_result(send: Send) -> None:
    scale = Listener(PROFILES[send])
    scale.hear(settling(send, 0.0, 82.3, 20))
    scale.hear(stable(send, 4.0, 82.3, 10))
    if send not in (mi_scale, mi_body_scale):  # their weight is locked until the load is removed
        scale.hear([send(6.0, 81.9, False, False, 0), send(6.5, 82.4, False, False, 0)])
        scale.hear(stable(send, 7.0, 82.3, 5))
    scale.hear(removed(send, 9.0, 82.3, 10))
    scale.wait(30.0)
    assert scale.results == [82.3]


@pytest.mark.parametrize("send", [okok, okok_20ca, mi_body_scale], ids=lambda send: send.__name__)
@pytest.mark.parametrize("late_s", [0.2, 3.0, 10.0])
def test_the_impedance_that_follows_is_in_the_result(send: Send, late_s: float) -> None:
    scale = Listener(PROFILES[send])
    scale.hear(stable(send, 4.0, 82.3, 1))
    scale.hear(stable(send, 4.0 + late_s, 82.3, 5, ohm=489, taken_s=4.0))
    scale.hear(removed(send, 6.0 + late_s, 82.3, 10))
    scale.wait(30.0)
    [result] = scale.finished
    assert result.measurement.fields()["weight_kg"] == 82.3
    assert result.measurement.fields()["impedance_ohm"] == 489.0


def test_the_next_person_has_a_result_even_if_the_empty_scale_is_not_reported() -> None:
    scale = Listener("okok")
    scale.hear([okok(0.0, 82.3, True, False, 500), okok(3.0, 20.0, False, False, 0)])
    scale.hear([okok(4.0, 50.0, False, False, 0), okok(6.0, 55.1, True, False, 500)])
    scale.wait(30.0)
    assert scale.results == [82.3, 55.1]


@pytest.mark.parametrize("kg", [0.0, 30.0])
def test_a_result_does_not_wait_for_the_impedance_of_a_person_who_has_left(kg: float) -> None:
    scale = Listener("okok")
    scale.hear([okok(0.0, 82.3, True, False, 0)])
    scale.wait(1.9)
    assert scale.results == []
    scale.hear([okok(2.0, kg, False, False, 0)])
    scale.wait(1.6)
    assert scale.results == [82.3]


def test_a_weight_that_never_settles_is_a_result_after_a_minute() -> None:
    scale = Listener("okok")
    scale.hear(okok(at_s, 80 + at_s % 2, True, False, 500) for at_s in range(65))
    assert len(scale.results) == 1


def test_what_looks_stable_on_an_empty_scale_is_not_a_result() -> None:
    """An ADV ends weighings with 0.2 to 1.3 kg (homeassistant-okokscale pull request 12)."""
    scale = Listener("okok")
    scale.hear(weighing(okok_20ca, 0.0, 82.3))
    scale.hear([okok_20ca(9.0, 1.3, True, False, 0), okok_20ca(10.0, 0.2, True, False, 0)])
    scale.wait(30.0)
    assert scale.results == [82.3]
    assert scale.intermediate[-2:] == [1.3, 0.2]


def test_two_stable_weights_of_one_weighing_have_one_result_the_later_one() -> None:
    """As seen in homeassistant-okokscale pull request 14."""
    scale = Listener("okok")
    scale.hear([okok(1.0, 82.3, True, False, 500), okok(1.5, 82.4, True, False, 500)])
    scale.hear([okok(8.0, 82.5, True, False, 500)])
    scale.wait(30.0)
    assert scale.results == [82.4]
    assert scale.intermediate == [82.3, 82.5]


def test_a_weight_of_a_scale_without_flags_is_a_result_when_it_no_longer_changes() -> None:
    scale = Listener("okok")
    scale.hear(settling(okok_f0ff, 0.0, 82.3, 20))
    scale.hear(stable(okok_f0ff, 4.0, 82.3, 1))
    scale.wait(2.9)
    assert scale.results == []
    scale.wait(3.1)
    assert scale.results == [82.3]


@pytest.mark.parametrize("heard", [1, 12])
def test_a_weight_of_a_scale_without_flags_is_no_result_if_healthd_ends_before_it_settles(
    heard: int,
) -> None:
    """A result that is wrong is worse than none, and the scale is still heard after a restart."""
    packets = list(weighing(okok_f0ff, 0.0, 82.3))
    scale = Listener("okok")
    scale.hear(packets[:heard])
    assert not scale.held, "it would be published after a crash"
    scale.restart()
    assert scale.results == []
    scale.hear(packets[heard:])
    scale.wait(30.0)
    assert scale.results == [82.3]


def test_stepping_off_a_scale_without_flags_is_not_a_result() -> None:
    scale = Listener("okok")
    scale.hear(weighing(okok_f0ff, 0.0, 82.3))
    scale.hear([okok_f0ff(20.0, 7.0, True, True, 0), okok_f0ff(20.5, 0.0, True, True, 0)])
    scale.wait(30.0)
    assert scale.results == [82.3]


@pytest.mark.parametrize("send", [mi_scale, mi_body_scale], ids=lambda send: send.__name__)
def test_the_last_result_that_is_advertised_for_hours_is_no_other_one(send: Send) -> None:
    """Xiaomi's scales do that once a minute, with the flag that the load was removed."""
    scale = Listener(PROFILES[send])
    scale.hear(weighing(send, 0.0, 82.3))
    last = send(5.0, 82.3, True, True, 0)
    for at_s in range(60, 3_600, 60):
        scale.hear([last._replace(at_s=float(at_s))])
    # Someone touches it, and after a restart of healthd it is still advertised.
    scale.hear([send(3_600.0, 12.0, False, False, 0), send(3_601.0, 0.0, False, True, 0)])
    scale.hear([last._replace(at_s=3_660.0)])
    scale.restart()
    scale.hear([last._replace(at_s=3_720.0)])
    scale.wait(30.0)
    assert scale.results == [82.3]


def test_a_result_without_a_time_is_not_repeated_when_the_load_is_removed() -> None:
    """A scale whose clock was never set may send zeros; the packet itself says what it repeats."""
    scale = Listener("mi_scale")
    for at_s, stable_, removed_ in ((0.0, False, False), (1.0, True, False), (9.0, True, True)):
        packet = mi_scale(at_s, 82.3, stable_, removed_, 0)
        scale.hear([packet._replace(data=packet.data[:3] + bytes(7))])
    scale.wait(30.0)
    assert scale.results == [82.3]


@pytest.mark.parametrize("send", [mi_scale, mi_body_scale], ids=lambda send: send.__name__)
def test_each_result_is_live_even_if_the_clock_of_the_scale_is_set_back(send: Send) -> None:
    scale = Listener(PROFILES[send])
    for at_s, clock_s, kg in ((0.0, 90_000.0, 82.3), (60.0, 500.0, 55.1), (120.0, -9e8, 71.0)):
        scale.hear([send(clock_s, kg, True, False, 0)._replace(at_s=at_s)])
    scale.wait(30.0)
    assert scale.results == [82.3, 55.1, 71.0]


@each_flagged
def test_a_restart_during_a_weighing_brings_no_second_result(send: Send) -> None:
    scale = Listener(PROFILES[send])
    heard = [*weighing(send, 0.0, 82.3)]
    scale.hear(heard[:25])
    scale.restart()
    scale.hear(heard[25:])
    scale.hear(weighing(send, 20.0, 82.3))
    scale.restart()
    scale.hear([heard[27]._replace(at_s=50.0)])
    scale.wait(30.0)
    assert scale.results == [82.3, 82.3]


@pytest.mark.parametrize("pause_s", [70.0, 86_400.0])
def test_an_equal_weight_after_a_restart_is_another_result_unless_it_follows_at_once(
    pause_s: float,
) -> None:
    scale = Listener("okok")
    scale.hear([okok(0.0, 82.3, True, False, 500)])
    scale.restart()
    scale.hear([okok(pause_s, 82.3, True, False, 500)])
    scale.wait(30.0)
    assert scale.results == [82.3, 82.3]


# The service data of a Mi Smart Scale 2 in one weighing (ble_monitor issue 292), and how long after
# its beginning. The clock was never set.
_CAPTURED = (
    (0.0, "00000000000000000000"),
    (0.3, "020000b20701010a1a0a"),
    (1.0, "021644b20701010a1a0a"),
    (14.0, "a22044b20701010a1a15"),
    (14.4, "a22044b20701010a1a15"),
    (15.0, "a22044b20701010a1a15"),
    (29.0, "022044b20701010a1a26"),
    (30.0, "022044b20701010a1a27"),
    (30.3, "028444b20701010a1a27"),
    (31.0, "022044b20701010a1a28"),
)


def test_a_captured_weighing_has_one_result() -> None:
    scale = Listener("mi_scale")
    for at_s, data in _CAPTURED:
        scale.hear([Advertised(at_s, "service_data_181d", bytes.fromhex(data))])
    scale.wait(30.0)
    assert scale.results == [87.2]
    assert scale.intermediate == [0.0, 87.15, 87.2, 87.2, 87.7, 87.2]


@dataclass(frozen=True)
class Plan:
    """One weighing of a random day.

    Attributes:
        kg: the weight, in steps of 0.1 kg.
        moves: packets while it settles.
        still: packets with the stable weight.
        ohm: the impedance; 0 if it is not measured.
        late: packets of the stable weight before the impedance.
        off: packets while the person steps off, and of the empty scale.
        pause_s: until the next weighing.
    """

    kg: float
    moves: int
    still: int
    ohm: int
    late: int
    off: int
    pause_s: float

    def sent(self, send: Send, at_s: float) -> Iterator[Advertised]:
        yield from settling(send, at_s, self.kg, self.moves)
        at_s += self.moves / 5
        taken_s = at_s
        yield from stable(send, at_s, self.kg, self.late, taken_s=taken_s)
        at_s += self.late / 5
        yield from stable(send, at_s, self.kg, self.still, self.ohm, taken_s=taken_s)
        at_s += self.still / 5
        yield from removed(send, at_s, self.kg, self.off)


PLANS = st.lists(
    st.builds(
        Plan,
        kg=st.integers(40, 45).map(float),
        moves=st.integers(0, 25),
        still=st.integers(1, 30),
        ohm=st.sampled_from([0, 500]),
        late=st.integers(0, 40),
        off=st.integers(0, 15),
        pause_s=st.sampled_from([61.0, 90.0, 3_000.0]),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.untraced
@each_flagged
@pytest.mark.timeout(effort(60, 600))
@given(
    plans=PLANS,
    kind=st.sampled_from(["N", "D", "A"]),
    start_s=st.floats(-10, 0),
    loss=st.sampled_from([0.0, 0.3, 0.9]),
    restarts=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=effort(50, 3_000))
def test_each_random_weighing_has_one_result_if_its_stable_weight_was_reported(
    send: Send,
    plans: list[Plan],
    kind: str,
    start_s: float,
    loss: float,
    restarts: float,
    seed: int,
) -> None:
    scale, random, at_s, expected = Listener(PROFILES[send]), Random(seed), 0.0, list[float]()
    for plan in plans:
        sent = [*plan.sent(send, at_s)]
        at_s = sent[-1].at_s + plan.pause_s
        heard = [*reports(sent, kind, start_s, lambda: random.random() < loss)]
        steady = {each.data for each in sent[plan.moves : plan.moves + plan.late + plan.still]}
        if any(each.data in steady for each in heard):
            expected.append(plan.kg)
        for each in heard:
            if random.random() < restarts:
                scale.restart()
            scale.hear([each])
    scale.wait(60.0)
    assert scale.results == expected
