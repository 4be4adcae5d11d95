"""Compares every sample that each strap sent with every one that arrived."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tests.system.guest.straps import Strap


@dataclass
class Window:
    """While a fault goes on, samples of some straps may be lost."""

    straps: set[str]
    begin: float
    end: float = float("inf")

    def excuses(self, strap: Strap, sent_at: float) -> bool:
        return strap.id in self.straps and self.begin <= sent_at < self.end


@dataclass
class Counts:
    """Every sample of a case, weighed.

    Attributes:
        sent: handed to a link.
        arrived: of those, seen by the subscriber.
        lost: not seen, though no fault was going on that may take samples.
        in_fault: not seen, sent while the link was being cut.
        repeated: second deliveries of the same sample, with the same id.
        wrong: of any other kind; each would be a bug.
    """

    sent: int = 0
    arrived: int = 0
    lost: int = 0
    in_fault: int = 0
    repeated: int = 0
    wrong: list[str] = field(default_factory=list[str])


def weigh(straps: Iterable[Strap], windows: Collection[Window]) -> Counts:
    """Account for each sample.

    Args:
        straps: what they sent, and what came of it.
        windows: the faults of the case that may take samples.
    """
    counts = Counts()
    for strap in straps:
        counts.sent += len(strap.sent)
        for number, sent_at in strap.sent.items():
            if strap.arrived.get(number):
                counts.arrived += 1
            elif any(window.excuses(strap, sent_at) for window in windows):
                counts.in_fault += 1
            else:
                counts.lost += 1
        for number, arrivals in strap.arrived.items():
            ids = {one.id for one in arrivals}
            counts.repeated += len(arrivals) - len(ids)
            if number not in strap.sent:
                counts.wrong.append(f"{strap.id} never sent {number}")
            if len(ids) > 1:
                counts.wrong.append(f"{strap.id}'s {number} became {len(ids)} samples")
            if not all(one.intact for one in arrivals):
                counts.wrong.append(f"{strap.id}'s {number} was changed")
    return counts
