"""Compares the samples that each peripheral sent with those that arrived."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tests.system.guest.straps import Numbered

# How long a sample may be on its way when a link is cut: from the strap through an emulated
# controller, kernel and bluetoothd to healthd. A quarter of the time between two samples.
IN_THE_AIR_S = 0.25


@dataclass
class Window:
    """The time of a fault, during which samples of some peripherals may be lost."""

    ids: set[str]
    begin: float
    end: float = float("inf")

    def excuses(self, sender: Numbered, sent_at: float) -> bool:
        began_at = self.begin - IN_THE_AIR_S
        return sender.id in self.ids and began_at <= sent_at < self.end


@dataclass
class Counts:
    """The accounting of every sample of a case.

    Attributes:
        sent: samples that were handed to a link, or reported by the adapter.
        arrived: those of them that the subscriber received.
        lost: those that did not arrive although no fault excuses it.
        losses: each lost sample, with when it was sent.
        in_fault: those that did not arrive and were sent during a fault, or only partly.
        repeated: repeated deliveries of the same sample with the same id.
        wrong: all other findings; each would be a bug.
    """

    sent: int = 0
    arrived: int = 0
    lost: int = 0
    losses: list[str] = field(default_factory=list[str])
    in_fault: int = 0
    repeated: int = 0
    wrong: list[str] = field(default_factory=list[str])


def weigh(senders: Iterable[Numbered], windows: Collection[Window]) -> Counts:
    """Account for each sample.

    Args:
        senders: the peripherals, with what was sent and what arrived.
        windows: the faults of the case that excuse lost samples.
    """
    counts = Counts()
    for sender in senders:
        counts.sent += len(sender.sent)
        for number, sent_at in sender.sent.items():
            if sender.arrived.get(number):
                counts.arrived += 1
            elif number in sender.unsure or _is_excused(sender, sent_at, windows):
                counts.in_fault += 1
            else:
                counts.lost += 1
                counts.losses.append(_loss(sender, number, windows))
        for number, arrivals in sender.arrived.items():
            ids = {arrival.id for arrival in arrivals}
            counts.repeated += len(arrivals) - len(ids)
            if number not in sender.sent:
                counts.wrong.append(f"{sender.id} never sent {number}")
            if len(ids) > 1:
                counts.wrong.append(f"{sender.id}'s {number} became {len(ids)} samples")
            if not all(arrival.intact for arrival in arrivals):
                counts.wrong.append(f"{sender.id}'s {number} was changed")
    return counts


def _is_excused(sender: Numbered, sent_at: float, windows: Collection[Window]) -> bool:
    return any(window.excuses(sender, sent_at) for window in windows)


def _loss(sender: Numbered, number: int, windows: Collection[Window]) -> str:
    sent_at = sender.sent[number]
    own = [window for window in windows if sender.id in window.ids]
    after = [
        f"{sent_at - window.end:.2f} s after a fault" for window in own if window.end <= sent_at
    ]
    before = [
        f"{window.begin - sent_at:.2f} s before a fault" for window in own if sent_at < window.begin
    ]
    return ", ".join([f"{sender.id}'s {number}", *after[-1:], *before[:1]])
