"""Years of a shared scale, simulated: who is found, who is not, and that no one is mistaken."""

import random

import pytest

from healthd.people.attribution import People
from healthd.people.person import Person
from tests.unit.people.household import (
    DAY_S,
    START_S,
    Disturb,
    Resident,
    constant,
    guests_and_luggage,
    live,
    losing,
    nothing_else,
    people_of,
    weighing,
)

YEAR = 365


@pytest.mark.parametrize("every", [1.0, 3.5, 7.0])
def test_twenty_people_years_at_8_kg_apart_while_everyone_loses_300_g_a_week(
    every: float,
) -> None:
    for seed in range(10):
        rng = random.Random(seed)
        low = rng.uniform(58, 90)
        pair = [Resident("anna", losing(low), every), Resident("bert", losing(low + 8), every)]
        outcome = live(people_of(pair), pair, YEAR, rng)
        assert outcome.share_right >= 0.99, seed
        assert outcome.wrong == [], seed


def test_one_person_loses_300_g_a_week_from_8_kg_below_or_above_the_other() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        gains = [Resident("anna", constant(70)), Resident("bert", losing(78, -0.1))]
        loses = [Resident("anna", losing(70)), Resident("bert", constant(78))]
        for pair in (gains, loses):
            outcome = live(people_of(pair), pair, YEAR, rng)
            assert outcome.share_right >= 0.99, seed
            assert outcome.wrong == [], seed


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 2.9])
@pytest.mark.parametrize("every", [1.0, 3.5, 7.0])
@pytest.mark.parametrize("disturb", [nothing_else, guests_and_luggage])
def test_no_one_is_mistaken_at_less_than_the_tolerance(
    gap: float, every: float, disturb: Disturb
) -> None:
    for seed in range(5):
        rng = random.Random(seed)
        speed = rng.choice([0.0, 0.3, -0.3])
        pair = [
            Resident("anna", losing(70, speed), every),
            Resident("bert", losing(70 + gap, speed), every),
        ]
        outcome = live(people_of(pair), pair, YEAR, rng, disturb)
        assert outcome.wrong == [], (seed, speed)


def test_a_third_person_is_found_although_two_others_cannot_be_distinguished() -> None:
    for seed in range(5):
        rng = random.Random(seed)
        pair = [Resident("anna", constant(70)), Resident("bert", constant(71))]
        clara = Resident("clara", constant(79))
        everyone = [*pair, clara]
        outcome = live(people_of(everyone), everyone, YEAR, rng)
        found = [answer for _, person, answer in outcome.answers if person == "clara"]
        assert found.count("clara") / len(found) >= 0.99, seed
        assert outcome.wrong == [], seed


def test_guests_children_and_luggage_do_not_drag_an_estimate_along() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        pair = [Resident("anna", losing(66)), Resident("bert", constant(74))]
        people = people_of(pair)
        outcome = live(people, pair, YEAR, rng, guests_and_luggage)
        assert outcome.share_right >= 0.97, seed
        assert outcome.wrong == [], seed
        for one in pair:
            assert people.estimates[one.id].kg == pytest.approx(one.weight(YEAR), abs=3), seed


def test_a_long_absence() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        # Away for three months, and 3.9 kg lighter on return.
        anna = Resident("anna", losing(62), away=((100, 190),))
        pair = [anna, Resident("bert", constant(78))]
        outcome = live(people_of(pair), pair, YEAR, rng)
        assert outcome.wrong == [], seed
        assert outcome.right_between(100, 190) >= 0.99, seed  # Bert, meanwhile
        assert outcome.right_between(200, YEAR) >= 0.99, seed


@pytest.mark.parametrize("disturb", [nothing_else, guests_and_luggage])
def test_two_who_cross_are_never_mistaken_and_found_again_with_new_settings(
    disturb: Disturb,
) -> None:
    for seed in range(10):
        rng = random.Random(seed)
        # They meet after 20 weeks, and are 9.6 kg apart after a year.
        pair = [Resident("anna", losing(76)), Resident("bert", constant(70))]
        people = people_of(pair)
        outcome = live(people, pair, YEAR, rng, disturb)
        assert outcome.wrong == [], seed
        assert outcome.right_between(0, 50) >= 0.9, seed
        assert outcome.right_between(100, 200) == 0, seed
        # Only the weight of the one who has changed is corrected.
        set_ = [
            Person("anna", round(pair[0].weight(YEAR)), 3.0),
            Person("bert", 70.0, 3.0),
        ]
        people.use(set_, dict(people.estimates), START_S + YEAR * DAY_S)
        again = live(people, pair, 28, rng, since=YEAR)
        assert again.wrong == [], seed
        assert again.share_right >= 0.99, seed


def test_impedance_separates_two_people_of_one_weight() -> None:
    for seed in range(5):
        rng = random.Random(seed)
        pair = [Resident("anna", losing(70), ohm=480), Resident("bert", losing(70.5), ohm=620)]
        outcome = live(people_of(pair), pair, YEAR, rng)
        assert outcome.share_right >= 0.98, seed
        assert outcome.wrong == [], seed


def test_months_out_of_a_memory_in_any_order_do_not_move_the_present_estimate() -> None:
    rng = random.Random(1)
    pair = [Resident("anna", losing(76)), Resident("bert", constant(58))]
    people = people_of(pair)
    live(people, pair, 200, rng)
    before = {id_: estimate.model_copy(deep=True) for id_, estimate in people.estimates.items()}
    days = [float(day) for day in range(5, 200, 5)]
    rng.shuffle(days)
    for day in days:
        for one in pair:
            kg = rng.gauss(one.weight(day), 0.3)
            # On day 10 Anna weighs 75.6 kg, today 67.4.
            assert people.attribute(weighing(kg, day)).person == one.id, (day, one.id)
    assert people.estimates == before


def test_a_memory_of_ten_weeks_brings_the_estimate_to_the_present() -> None:
    anna = Resident("anna", losing(76))
    people = people_of([anna, Resident("bert", constant(60))])
    for day in range(0, 70, 3):
        assert people.attribute(weighing(anna.weight(day), day)).person == "anna"
    assert people.estimates["anna"].kg == pytest.approx(anna.weight(69), abs=0.5)


def test_nothing_is_learned_while_the_clock_is_not_known() -> None:
    people = People()
    people.use([Person("anna", 70.0, 3.0)], {}, None)
    result = weighing(72.0, 0.0)._replace(at_s=None)
    assert people.attribute(result).person == "anna"
    assert people.estimates["anna"].kg == 70.0
