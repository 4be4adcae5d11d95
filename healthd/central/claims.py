"""Which device is whose: what each peripheral of the settings may take, and what it has."""

from collections.abc import Iterable

from healthd.central.link import Advertisement
from healthd.central.match import Match


class Claims:
    """The peripherals, and the devices that they have.

    A vague peripheral must not take a device that another one describes better: that one may only
    be away for a moment.
    """

    def __init__(self) -> None:
        """Begin with no peripherals."""
        self._matches: dict[str, Match] = {}
        self._devices: dict[Match, Advertisement] = {}
        self._contested: set[Match] = set()

    @property
    def matches(self) -> tuple[Match, ...]:
        """All peripherals of the settings."""
        return tuple(self._matches.values())

    def add(self, match: Match) -> list[Advertisement]:
        """A peripheral that is new, or is found otherwise than before.

        Returns:
            The devices of it that vaguer ones have, and have to give up.
        """
        before = self._matches.get(match.peripheral)
        self._matches[match.peripheral] = match
        if before is not None and (before.by, before.wanted) == (match.by, match.wanted):
            return []  # it has had its choice
        vaguer = {
            one: device
            for one, device in self._devices.items()
            if one.by > match.by and one.peripheral != match.peripheral and match.fits(device)
        }
        self._contested |= vaguer.keys()
        return list(vaguer.values())

    def remove(self, peripheral: str) -> None:
        """A peripheral is in the settings no more."""
        self._matches.pop(peripheral, None)

    def entitled(self, found: Advertisement, searching: Iterable[Match]) -> Match | None:
        """Which of those who search gets the device; None: nobody, or it is kept for another."""
        fitting = [one for one in searching if one.fits(found)]
        match = min(fitting, key=lambda one: one.by, default=None)
        return None if match is None or self._is_kept(found, match) else match

    def claim(self, match: Match, device: Advertisement) -> None:
        """From now on the device is this one's, until ``leave``."""
        self._devices[match] = device

    def release(self, match: Match) -> None:
        """It has no device any more."""
        self._devices.pop(match, None)
        self._contested.discard(match)

    def has(self, address: str) -> bool:
        """Whether anybody has the device with this address."""
        return any(one.address == address for one in self._devices.values())

    def holder(self, device: Advertisement) -> Match:
        """Who has it."""
        return next(one for one, has in self._devices.items() if has.address == device.address)

    def is_contested(self, match: Match) -> bool:
        """Whether it has a device that a better description has come for."""
        return match in self._contested

    def _is_kept(self, found: Advertisement, match: Match) -> bool:
        """True where a more specific peripheral, not linked now, will want this device."""
        return any(
            other.by < match.by and other not in self._devices and other.fits(found)
            for other in self._matches.values()
        )
