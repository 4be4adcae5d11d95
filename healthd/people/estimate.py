"""What one person weighs by now: follows the results that are certainly that person's.

A result that could belong to two people moves no estimate. It only notes how far away the person
may be by then, so that two people who come close and drift on together stay ambiguous.
"""

from bisect import bisect_right
from collections.abc import Collection
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

WEEK_S = 7 * 86400.0

FASTEST_KG_PER_WEEK = 1.0
"""How fast a weight may change: the upper end of what the NHS advises to lose, 0.5 to 1 kg."""

# What a person loses on a usual diet. A person who was not on the scale for some weeks is expected
# that much farther away, but at most half a tolerance: everyone else is still there.
_USUAL_KG_PER_WEEK, _USUAL_SHARE = 0.3, 0.5

IMPEDANCE_TOLERANCE = 0.1
"""Share by which the impedance of one person varies.

Three times a day on five days in a row, the coefficient of variation was 2.8 % (Bedogni and others,
2002, European Journal of Clinical Nutrition 56): this is more than three times that.
"""

# Results of one day are not independent: a person may step on the scale with the same bag twice.
_OTHER_DAY_S = 12 * 3600.0

# A luggage bag or a guest gives one or two results that fit no one; a person who is back stays.
_CONFIRMATIONS = 3

# Notes of unclear results that were not confirmed by then say nothing any more.
_FORGET_S = 60 * 86400.0

# One entry a week over two years; older results than that are not attributed by their time.
_TRACK_ENTRIES = 104

# A new result moves the estimate by half of the difference, and by more if the last one is old.
# With 300 g a week, the estimate then lags by 0.1 kg (weekly results) to 0.5 kg (monthly ones).
_GAIN, _GAIN_PER_WEEK = 0.5, 0.25


class Range(NamedTuple):
    """A range of weights, both ends included."""

    low: float
    high: float

    def holds(self, kg: float) -> bool:
        """Return whether the weight is within the range."""
        return self.low <= kg <= self.high


class Notes(BaseModel):
    """Results of different days that are not certain, since the last certain one.

    Attributes:
        low_kg: the lowest weight.
        high_kg: the highest weight.
        days: how many.
        last_s: Unix time of the newest one that counts as a day.
        with_: who else could be meant.
    """

    model_config = ConfigDict(defer_build=True)

    low_kg: float = 0
    high_kg: float = 0
    days: int = 0
    last_s: float = 0
    with_: set[str] = Field(default_factory=set[str])

    def spans(self, kg: float) -> float:
        """Return the difference between the lowest and the highest weight, ``kg`` included."""
        return max(self.high_kg, kg) - min(self.low_kg, kg) if self.days else 0.0

    @property
    def confirmed(self) -> bool:
        """Return whether there are enough to be more than an accident."""
        return self.days >= _CONFIRMATIONS

    def add(self, kg: float, at_s: float) -> None:
        """Note one more."""
        if at_s - self.last_s > _FORGET_S and not self.confirmed:
            self.days, self.with_ = 0, set()
        self.low_kg = min(self.low_kg, kg) if self.days else kg
        self.high_kg = max(self.high_kg, kg) if self.days else kg
        if not self.days or at_s - self.last_s >= _OTHER_DAY_S:
            self.days += 1
            self.last_s = at_s


class Estimate(BaseModel):
    """The weight of one person over time, and what is uncertain about it.

    Attributes:
        set_kg: the weight in the settings when it began; another one there starts a new one.
        set_ohm: the impedance in the settings when it began.
        kg: the weight by the newest certain result.
        ohm: the impedance by it; None if the settings have none.
        since_s: Unix time of that result, or of the beginning; None: the clock was not known yet.
        track: earlier values, one a week: Unix times and weights.
        unclear: results that could also belong to another person.
        returning: results that fit no one's weight, but are near enough for a person who was away.
    """

    model_config = ConfigDict(defer_build=True)

    set_kg: float
    set_ohm: float | None = None
    kg: float
    ohm: float | None = None
    since_s: float | None = None
    track: list[tuple[float, float]] = Field(default_factory=list[tuple[float, float]])
    unclear: Notes = Field(default_factory=Notes)
    returning: Notes = Field(default_factory=Notes)

    def is_news(self, at_s: float | None) -> bool:
        """Return whether a result of this time is newer than what the estimate knows."""
        return at_s is not None and (self.since_s is None or at_s >= self.since_s)

    def expected(self, tolerance_kg: float, at_s: float | None) -> Range:
        """Return the weights at which the person is expected at a time."""
        kg, weeks = self._at(at_s), self._weeks_since(at_s)
        wide = tolerance_kg + min(_USUAL_SHARE * tolerance_kg, _USUAL_KG_PER_WEEK * weeks)
        return Range(kg - wide, kg + wide)

    def near(self, tolerance_kg: float, at_s: float | None) -> Range:
        """Return the weights at which the person cannot be ruled out at a time.

        If people could not be distinguished for some days, the person may have moved on since the
        last certain result: as fast as a weight changes, but not beyond the unclear results.
        """
        plain = self.expected(tolerance_kg, at_s)
        if not self.unclear.confirmed or not self.is_news(at_s):
            return plain
        possible, unclear = self.possible(tolerance_kg, at_s), self.unclear
        return Range(
            min(plain.low, max(possible.low, unclear.low_kg - tolerance_kg)),
            max(plain.high, min(possible.high, unclear.high_kg + tolerance_kg)),
        )

    def possible(self, tolerance_kg: float, at_s: float | None) -> Range:
        """Return the weights that the person can have by then, as fast as a weight changes."""
        grown = tolerance_kg + FASTEST_KG_PER_WEEK * self._weeks_since(at_s)
        return Range(self.kg - grown, self.kg + grown)

    def note_unclear(
        self, kg: float, at_s: float, others: Collection[str], tolerance_kg: float
    ) -> None:
        """Note a result that could also belong to these others; it confirms no other result."""
        self.unclear.add(kg, at_s)
        self.unclear.with_ |= set(others)
        if self.returning.spans(kg) <= 2 * tolerance_kg:
            self.returning = Notes()

    def far(self, tolerance_kg: float, at_s: float) -> Range:
        """Return the weights that are possible after an absence until then: at most twice as far.

        Anything wider would take in the guests of a house.
        """
        grown = tolerance_kg + min(tolerance_kg, FASTEST_KG_PER_WEEK * self._weeks_since(at_s))
        return Range(self.kg - grown, self.kg + grown)

    def fits(self, ohm: float | None) -> bool:
        """Return whether an impedance can be this person's; an unknown one always can."""
        if ohm is None or self.ohm is None:
            return True
        return abs(ohm - self.ohm) <= IMPEDANCE_TOLERANCE * self.ohm

    def learn(self, kg: float, ohm: float | None, at_s: float, tolerance_kg: float) -> None:
        """Follow a result that is certainly this person's."""
        gain = _GAIN + _GAIN_PER_WEEK * min(1.0, self._weeks_since(at_s))
        # A person who is found again after a long time is where the result says.
        step = kg - self.kg
        self.kg += gain * step if abs(step) <= tolerance_kg else step
        if ohm is not None and self.ohm is not None:
            self.ohm += gain * (ohm - self.ohm)
        self.since_s = at_s
        self.unclear, self.returning = Notes(), Notes()
        if not self.track or at_s - self.track[-1][0] >= WEEK_S:
            self.track = [*self.track, (at_s, self.kg)][-_TRACK_ENTRIES:]

    def is_back(self, kg: float, at_s: float, tolerance_kg: float) -> bool:
        """Note a result after an absence; return whether it is confirmed by enough others.

        They count together only if they are as close as results of one person are.
        """
        if self.returning.spans(kg) > tolerance_kg:
            self.returning = Notes()
        self.returning.add(kg, at_s)
        return self.returning.confirmed

    def _weeks_since(self, at_s: float | None) -> float:
        if at_s is None or self.since_s is None:
            return 0.0
        return max(0.0, at_s - self.since_s) / WEEK_S

    def _at(self, at_s: float | None) -> float:
        """Return the weight at a time: for an earlier one, between the entries around it."""
        if at_s is None or self.is_news(at_s) or not self.track:
            return self.kg
        index = bisect_right(self.track, at_s, key=lambda entry: entry[0])
        if index == 0:
            return self.track[0][1]
        since_s, kg = self.track[index - 1]
        until_s, next_kg = (
            self.track[index] if index < len(self.track) else (self.since_s or since_s, self.kg)
        )
        share = (at_s - since_s) / (until_s - since_s) if until_s > since_s else 1.0
        return kg + share * (next_kg - kg)
