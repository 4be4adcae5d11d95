"""A person of the settings, a result to attribute, and the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Reason = Literal["ambiguous", "no_match", "no_weight", "unknown_user"]
"""Why a result belongs to no one: several people could be meant, no one weighs about that much,
the weight is missing, or the device gave the number of a user who is not in the settings."""


@dataclass(frozen=True, slots=True)
class Person:
    """What the settings say about one person.

    Attributes:
        id: names the person in payloads and topics.
        weight_kg: the weight when the settings were written; None: only ``users`` counts.
        tolerance_kg: how far a result may be from the weight that is expected by now.
        impedance_ohm: separates people of the same weight; None if it is not known.
        users: the number that a device gave to the person, by peripheral id.
    """

    id: str
    weight_kg: float | None
    tolerance_kg: float
    impedance_ohm: float | None = None
    users: Mapping[str, int] = field(default_factory=dict[str, int])


class Weighing(NamedTuple):
    """A finished result, as far as it shows whose it is.

    Attributes:
        peripheral: the device that it comes from.
        weight_kg: None if the result has none.
        impedance_ohm: None if the result has none.
        user: the number of the user by the device itself; None if it gave none or does not know.
        at_s: Unix time of the measurement; None if it is not known, because a clock is wrong.
    """

    peripheral: str
    weight_kg: float | None
    impedance_ohm: float | None
    user: int | None
    at_s: float | None


class Verdict(NamedTuple):
    """Whose result it is.

    Attributes:
        person: id of the person; None if it is not certain.
        reason: why there is none; None if there is one.
    """

    person: str | None
    reason: Reason | None = None
