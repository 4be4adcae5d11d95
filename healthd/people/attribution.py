"""Attributes results to people: by the device's own user number, else by weight and recency."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from healthd.people.estimate import Estimate, Notes
from healthd.people.person import Person, Verdict, Weighing


class _Candidate(NamedTuple):
    person: Person
    estimate: Estimate


class People:
    """The people of the settings, and what each of them weighs by now.

    A result belongs to a person if it is within the tolerance of that person's weight, and of no
    one else's. If it is within no one's, it may belong to a person who was away: that takes
    several results on different days. Only results that are certain move a person's estimate.

    Attributes:
        estimates: by person; what must outlive a restart.
    """

    def __init__(self) -> None:
        """Start without people."""
        self._people: dict[str, Person] = {}
        self.estimates: dict[str, Estimate] = {}

    def __bool__(self) -> bool:
        """Return whether there are people to attribute results to."""
        return bool(self._people)

    def use(
        self, people: Iterable[Person], known: Mapping[str, Estimate], now_s: float | None
    ) -> None:
        """Use these people from now on.

        A person whose weight or impedance in the settings has changed starts from there. After any
        change of a person, those who could not be distinguished are taken to be where they were
        last certain: otherwise the new weight of one would not help.

        Args:
            people: as in the settings.
            known: the estimates so far, by person.
            now_s: Unix time; None if the clock is not synchronised.
        """
        self._people = {person.id: person for person in people}
        weighed = [person for person in self._people.values() if person.weight_kg is not None]
        self.estimates = {
            person.id: _continued(person, known.get(person.id), now_s) for person in weighed
        }
        if any(estimate is not known.get(id_) for id_, estimate in self.estimates.items()) or (
            known.keys() != self.estimates.keys()
        ):
            for estimate in self.estimates.values():
                estimate.unclear = Notes()

    def by_user(self, peripheral: str, user: int | None) -> Verdict | None:
        """Return whose result it is by the device's own number; None if no one has one there."""
        numbers = {
            person.users[peripheral]: person.id
            for person in self._people.values()
            if peripheral in person.users
        }
        if not numbers:
            return None
        person = None if user is None else numbers.get(user)
        return Verdict(None, "unknown_user") if person is None else Verdict(person)

    def attribute(self, weighing: Weighing) -> Verdict:
        """Return whose result it is, and learn from it if that is certain.

        The device's own number of its user comes first. A number that no one has in the settings
        belongs to a person without a number on this device.
        """
        possible = list(self._people.values())
        if weighing.user is not None and (
            verdict := self.by_user(weighing.peripheral, weighing.user)
        ):
            if verdict.person is not None:
                self._follow(self._people[verdict.person], weighing)
                return verdict
            possible = [person for person in possible if weighing.peripheral not in person.users]
        candidates = [
            _Candidate(person, self.estimates[person.id])
            for person in possible
            if person.id in self.estimates
        ]
        if weighing.weight_kg is None:
            return Verdict(None, "no_weight")
        return self._by_weight(candidates, weighing, weighing.weight_kg)

    def _by_weight(self, candidates: list[_Candidate], weighing: Weighing, kg: float) -> Verdict:
        at_s, ohm = weighing.at_s, weighing.impedance_ohm
        near = [
            candidate
            for candidate in candidates
            if candidate.estimate.near(candidate.person.tolerance_kg, at_s).holds(kg)
            and candidate.estimate.fits(ohm)
        ]
        if len(near) == 1:
            near += _confusable(near[0], candidates, weighing, kg)
        match near:
            case []:
                return _after_an_absence(candidates, weighing, kg)
            case [only]:
                # At an earlier time there was no doubt yet.
                doubtful = at_s is None or only.estimate.is_news(at_s)
                sure = not (only.estimate.unclear.confirmed and doubtful)
                return _only(only, weighing, kg, sure=sure)
            case _:
                _note_unclear(near, kg, at_s)
                return Verdict(None, "ambiguous")

    def _follow(self, person: Person, weighing: Weighing) -> None:
        """Learn from a result that the device itself attributed.

        A weight far off moves the estimate only once it is confirmed: another person may
        have stepped on the scale while it was set to this user.
        """
        kg, at_s = weighing.weight_kg, weighing.at_s
        estimate = self.estimates.get(person.id)
        if estimate is None or kg is None or at_s is None or not estimate.is_news(at_s):
            return
        sure = estimate.expected(person.tolerance_kg, at_s).holds(kg)
        _only(_Candidate(person, estimate), weighing, kg, sure=sure)


def _confusable(
    only: _Candidate, candidates: Iterable[_Candidate], weighing: Weighing, kg: float
) -> list[_Candidate]:
    """Return who may be meant instead of the only person that a result seems to fit.

    These are the people who could not be distinguished from that person before: by now they may
    be anywhere that a weight can change to since they were last certain.
    """
    return [
        candidate
        for candidate in candidates
        if candidate is not only
        and candidate.person.id in only.estimate.unclear.with_
        and candidate.estimate.possible(candidate.person.tolerance_kg, weighing.at_s).holds(kg)
        and candidate.estimate.fits(weighing.impedance_ohm)
    ]


def _after_an_absence(candidates: Iterable[_Candidate], weighing: Weighing, kg: float) -> Verdict:
    """Return the verdict on a result that fits no one, unless a person was away for a while."""
    at_s = weighing.at_s
    far = [
        candidate
        for candidate in candidates
        if at_s is not None
        and candidate.estimate.is_news(at_s)
        and not candidate.estimate.unclear.confirmed
        and candidate.estimate.far(candidate.person.tolerance_kg, at_s).holds(kg)
        and candidate.estimate.fits(weighing.impedance_ohm)
    ]
    match far:
        case []:
            return Verdict(None, "no_match")
        case [only]:
            return _only(only, weighing, kg, sure=False)
        case _:
            return Verdict(None, "ambiguous")


def _note_unclear(near: Collection[_Candidate], kg: float, at_s: float | None) -> None:
    ids = {candidate.person.id for candidate in near}
    for person, estimate in near:
        if at_s is not None and estimate.is_news(at_s):
            estimate.note_unclear(kg, at_s, ids - {person.id}, person.tolerance_kg)


def _only(candidate: _Candidate, weighing: Weighing, kg: float, *, sure: bool) -> Verdict:
    """Return the verdict on a result that can belong to one person only, and learn from it.

    If it is not ``sure``, it must be confirmed by others first: it may come from a guest.
    """
    (person, estimate), at_s = candidate, weighing.at_s
    if sure or (
        at_s is not None
        and estimate.is_news(at_s)
        and estimate.is_back(kg, at_s, person.tolerance_kg)
    ):
        _learn(candidate, weighing, kg)
        return Verdict(person.id)
    return Verdict(None, "no_match")


def _learn(candidate: _Candidate, weighing: Weighing, kg: float) -> None:
    """Follow a certain result, unless it is older than what is known or its time is not."""
    person, estimate = candidate
    if weighing.at_s is not None and estimate.is_news(weighing.at_s):
        estimate.learn(kg, weighing.impedance_ohm, weighing.at_s, person.tolerance_kg)


def _continued(person: Person, known: Estimate | None, now_s: float | None) -> Estimate:
    """Return the estimate so far, or a new one if the settings have another value."""
    weight_kg = person.weight_kg or 0.0
    if known is not None and (known.set_kg, known.set_ohm) == (weight_kg, person.impedance_ohm):
        return known
    return Estimate(
        set_kg=weight_kg,
        set_ohm=person.impedance_ohm,
        kg=weight_kg,
        ohm=person.impedance_ohm,
        since_s=now_s,
    )
