"""A household with one scale, simulated day by day: who weighs what, and what healthd says."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from healthd.people.attribution import People
from healthd.people.person import Person, Weighing

DAY_S = 86400.0
START_S = 1_700_000_000.0

# Between consecutive days, +-0.5 kg is very common and +-1 kg is common (NHS Grampian, Weight
# Fluctuations, 2020). Robinson and Watson (1965, British Journal of Nutrition 19) found 0.5 kg or
# more in 32 % of all day-to-day changes: that is a standard deviation of about 0.36 kg a weighing.
DAILY_KG = 0.5

WeightOn = Callable[[float], float]
"""The true weight on a day, counted from 0."""


Disturb = Callable[[People, float, float, random.Random], None]
"""What happens on the scale after a result: its day and its weight."""


@dataclass
class Resident:
    """A person who uses the scale.

    Attributes:
        id: as in the settings.
        weight: the true weight by day.
        every: days between two weighings; 1.4 means five a week.
        away: days on which the person is away, from and until.
        ohm: impedance of the body; None for a scale that measures none.
    """

    id: str
    weight: WeightOn
    every: float = 1.0
    away: tuple[tuple[float, float], ...] = ()
    ohm: float | None = None

    def is_away(self, day: float) -> bool:
        return any(since <= day < until for since, until in self.away)


@dataclass
class Outcome:
    """How often results of residents were right, wrong, or attributed to no one."""

    right: int = 0
    wrong: list[tuple[float, str, float]] = field(default_factory=list[tuple[float, str, float]])
    open: int = 0
    answers: list[tuple[float, str, str | None]] = field(
        default_factory=list[tuple[float, str, str | None]]
    )

    @property
    def share_right(self) -> float:
        return self.right / (self.right + len(self.wrong) + self.open)

    def right_between(self, since: float, until: float) -> float:
        within = [person == answer for day, person, answer in self.answers if since <= day < until]
        return sum(within) / len(within)


def constant(kg: float) -> WeightOn:
    return lambda _day: kg


def losing(kg: float, kg_per_week: float = 0.3) -> WeightOn:
    return lambda day: kg - kg_per_week * day / 7


def people_of(residents: Iterable[Resident], tolerance_kg: float = 3.0) -> People:
    """Return the people as a user sets them on the first day."""
    people = People()
    set_ = [Person(one.id, round(one.weight(0.0), 1), tolerance_kg, one.ohm) for one in residents]
    people.use(set_, {}, START_S)
    return people


def weighing(kg: float, day: float, ohm: float | None = None) -> Weighing:
    return Weighing("scale", kg, ohm, None, START_S + day * DAY_S)


def nothing_else(_people: People, _day: float, _kg: float, _rng: random.Random) -> None:
    """Let the residents alone use the scale."""


def live(
    people: People,
    residents: Iterable[Resident],
    days: int,
    rng: random.Random,
    disturb: Disturb = nothing_else,
    since: int = 0,
) -> Outcome:
    """Let the residents use the scale for some days.

    Args:
        people: what healthd knows; changed by the results.
        residents: who uses the scale.
        days: how many days.
        rng: source of all variation.
        disturb: called after each result with its day and its weight; may weigh something else.
        since: the first day.
    """
    outcome = Outcome()
    residents = list(residents)
    for number in range(since, since + days):
        for one in rng.sample(residents, len(residents)):
            day = number + rng.uniform(0.25, 0.95)
            if one.is_away(day) or rng.random() > 1 / one.every:
                continue
            kg = round(rng.gauss(one.weight(day), DAILY_KG), 2)
            ohm = None if one.ohm is None else rng.gauss(one.ohm, 0.03 * one.ohm)
            answer = people.attribute(weighing(kg, day, ohm)).person
            outcome.answers.append((day, one.id, answer))
            if answer == one.id:
                outcome.right += 1
            elif answer is None:
                outcome.open += 1
            else:
                outcome.wrong.append((day, one.id, kg))
            disturb(people, day, kg, rng)
    return outcome


def guests_and_luggage(people: People, day: float, kg: float, rng: random.Random) -> None:
    """Let others use the scale now and then, or a resident with something in the hands."""
    day += 0.01
    if rng.random() < 0.05:  # a guest
        people.attribute(weighing(rng.uniform(45, 110), day))
    if rng.random() < 0.05:  # a suitcase or a child in the arms
        people.attribute(weighing(kg + rng.uniform(2, 23), day))
    if rng.random() < 0.05:  # a child
        people.attribute(weighing(rng.uniform(10, 45), day))
    if rng.random() < 0.02:  # one foot on the floor
        people.attribute(weighing(kg * rng.uniform(0.2, 0.95), day))
