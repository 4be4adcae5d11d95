"""Which peripheral gets what a device advertises: no link, no slot, only the scanner."""

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from healthd.central.faults import AdapterGone
from healthd.central.link import Advertisement
from healthd.central.match import By, Match

# Private addresses of one device that are remembered. Each is used for about 15 minutes (Core
# Specification, Vol 3, Part C, Appendix A), and a rival is heard again within seconds.
_EARLIER_ADDRESSES = 8


class Receiver(Protocol):
    """Receives what a peripheral advertises. Called in the event loop; must not block."""

    def on_broadcast(self, found: Advertisement) -> None:
        """Handle an advertisement of the peripheral's device.

        It holds data under a key of ``match.broadcasts``, and that data fits.
        """
        ...

    def on_rivals(self, addresses: tuple[str, str]) -> None:
        """Handle that two devices match; no advertisement follows until the block ends."""
        ...

    def on_lost(self, fault: AdapterGone) -> None:
        """Handle that the adapter went away; advertisements follow once there is one again."""
        ...


@dataclass(slots=True)
class _Known:
    """The device of one peripheral.

    Attributes:
        match: how the peripheral is recognised.
        device: what it advertised last; None before it is heard.
        earlier: its private addresses before the present one.
    """

    match: Match
    device: Advertisement | None = None
    earlier: deque[str] = field(default_factory=lambda: deque(maxlen=_EARLIER_ADDRESSES))


class _Reception:
    """One peripheral that is listened to, and its device.

    A description other than an address may fit the same device of a neighbour, whose measurements
    must not be taken for ours. So the first device that fits is the only one: if a second one is
    heard, it is not known which is ours, and both are refused.
    """

    def __init__(self, known: _Known, receiver: Receiver) -> None:
        self.match = known.match
        self._known = known
        self._receiver = receiver
        self._has_rivals = False

    def fits(self, found: Advertisement) -> bool:
        return self.match.fits(found) and self.match.is_advertised(found.data)

    def take(self, found: Advertisement) -> None:
        if self._has_rivals:
            return
        before = self._known.device
        if before is not None and before.address != found.address:
            if self._is_rival(before, found):
                self._has_rivals = True
                self._receiver.on_rivals((before.address, found.address))
                return
            self._known.earlier.append(before.address)
        self._known.device = found
        self._receiver.on_broadcast(found)

    def lose(self, fault: AdapterGone) -> None:
        self._receiver.on_lost(fault)

    def _is_rival(self, before: Advertisement, found: Advertisement) -> bool:
        """Whether this is another device, and not the same one with its next private address.

        A private address is never used again after the next one.
        """
        return not (before.is_private and found.is_private) or found.address in self._known.earlier


class Broadcasts:
    """The peripherals that are listened to."""

    def __init__(self) -> None:
        """Start without any."""
        self._receptions: list[_Reception] = []
        self._known: dict[str, _Known] = {}

    @property
    def matches(self) -> tuple[Match, ...]:
        """The peripherals that are listened to."""
        return tuple(reception.match for reception in self._receptions)

    @contextmanager
    def receiving(self, match: Match, receiver: Receiver) -> Generator[None]:
        """Pass what the peripheral advertises to ``receiver`` while the block runs.

        The device of an earlier block is remembered: after a loss of the adapter, the first one to
        be heard may belong to a neighbour.
        """
        known = self._known.get(match.peripheral)
        if known is None or known.match != match:
            known = self._known[match.peripheral] = _Known(match)
        reception = _Reception(known, receiver)
        self._receptions.append(reception)
        try:
            yield
        finally:
            self._receptions.remove(reception)

    def forget(self, peripheral: str) -> None:
        """Forget the device of a peripheral that is not in the settings any more."""
        self._known.pop(peripheral, None)

    def lose(self, fault: AdapterGone) -> None:
        """Report to all of them that the adapter went away."""
        for reception in self._receptions:
            reception.lose(fault)

    def hand_out(self, found: Advertisement, others: Iterable[Match], *, claimed: bool) -> None:
        """Pass an advertisement to the peripherals that describe its device best.

        A device that is described better elsewhere is no rival.

        Args:
            found: the advertisement.
            others: all peripherals, including those that are linked.
            claimed: whether a linked peripheral has this device.
        """
        fitting = [reception for reception in self._receptions if reception.fits(found)]
        if not fitting:
            return
        best = min(reception.match.by for reception in fitting)
        if claimed or any(other.by < best and other.fits(found) for other in others):
            # Only an address says that this very device is meant.
            best = By.ADDRESS
        for reception in fitting:
            if reception.match.by == best:
                reception.take(found)
