"""A person who was away, and results that look like it."""

import pytest

from healthd.people.attribution import People
from healthd.people.person import Person, Verdict
from tests.unit.people.household import START_S, weighing

NO_MATCH = Verdict(None, "no_match")


@pytest.fixture
def people() -> People:
    """Return Anna, who weighed 62 kg on day 0, and no one else."""
    people = People()
    people.use([Person("anna", 62.0, 3.0)], {}, START_S)
    return people


def test_a_person_who_is_back_is_found_on_the_third_day(people: People) -> None:
    # After 60 days 57.5 to 66.5 kg are expected: the tolerance, and half of it for the absence.
    results = [(60, 57.2), (61, 56.9), (62, 57.4), (63, 57.0)]
    found = [people.attribute(weighing(kg, day)) for day, kg in results]
    assert found == [NO_MATCH, NO_MATCH, Verdict("anna"), Verdict("anna")]


def test_several_results_of_one_day_confirm_nothing(people: People) -> None:
    results = [(60.0, 57.2), (60.01, 57.2), (60.02, 57.2), (60.2, 57.3)]
    assert {people.attribute(weighing(kg, day)) for day, kg in results} == {NO_MATCH}
    assert people.estimates["anna"].kg == 62.0


def test_a_weekend_with_a_guest_changes_nothing(people: People) -> None:
    people.attribute(weighing(62.0, 59))
    results = [(60, 66.5), (61, 66.7), (61.5, 66.4)]
    assert {people.attribute(weighing(kg, day)) for day, kg in results} == {NO_MATCH}
    assert people.attribute(weighing(62.1, 62)) == Verdict("anna")
    assert people.estimates["anna"].kg == pytest.approx(62.05, abs=0.1)


def test_results_that_differ_confirm_nothing(people: People) -> None:
    results = [(60, 57.0), (61, 66.9), (62, 57.3), (63, 67.0)]
    assert {people.attribute(weighing(kg, day)) for day, kg in results} == {NO_MATCH}


def test_beyond_twice_the_tolerance_no_absence_is_long_enough(people: People) -> None:
    results = [(700, 55.5), (701, 55.6), (702, 55.4), (703, 55.5)]
    assert {people.attribute(weighing(kg, day)) for day, kg in results} == {NO_MATCH}


def test_two_who_may_be_back_are_ambiguous(people: People) -> None:
    people.use([Person("anna", 62.0, 3.0), Person("bert", 72.0, 3.0)], {}, START_S)
    ambiguous = Verdict(None, "ambiguous")
    assert people.attribute(weighing(67.0, 60)) == ambiguous


def test_the_devices_own_number_teaches_only_what_is_confirmed(people: People) -> None:
    anna = Person("anna", 62.0, 3.0, users={"scale": 1})
    people.use([anna], {}, START_S)
    for day in range(60, 62):
        assert people.attribute(weighing(81.0, day)._replace(user=1)) == Verdict("anna")
        assert people.estimates["anna"].kg == 62.0
    assert people.attribute(weighing(81.0, 62)._replace(user=1)) == Verdict("anna")
    assert people.estimates["anna"].kg == 81.0
