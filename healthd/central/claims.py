"""Which device belongs to which peripheral of the settings."""

from collections.abc import Iterable

from healthd.central.link import Advertisement
from healthd.central.match import Match


class Claims:
    """The peripherals, and the devices that they have claimed.

    A peripheral with a vague description must not take a device that another one describes better:
    the other one may only be disconnected for a moment.
    """

    def __init__(self) -> None:
        """Start without peripherals."""
        self._matches: dict[str, Match] = {}
        self._devices: dict[Match, Advertisement] = {}
        self._contested: set[Match] = set()

    @property
    def matches(self) -> tuple[Match, ...]:
        """All peripherals of the settings."""
        return tuple(self._matches.values())

    def add(self, match: Match) -> list[Advertisement]:
        """Add a peripheral, or change how it is recognised.

        Returns:
            The devices that match it better than the peripherals that have them, which now have
            to release them.
        """
        before = self._matches.get(match.peripheral)
        self._matches[match.peripheral] = match
        if before is not None and (before.by, before.wanted) == (match.by, match.wanted):
            return []  # same selection as before, so no other peripheral has to release a device
        vaguer = {
            other: device
            for other, device in self._devices.items()
            if other.by > match.by and other.peripheral != match.peripheral and match.fits(device)
        }
        self._contested |= vaguer.keys()
        return list(vaguer.values())

    def remove(self, peripheral: str) -> None:
        """Remove a peripheral that is not in the settings any more."""
        self._matches.pop(peripheral, None)

    def claimant(self, found: Advertisement, searching: Iterable[Match]) -> Match | None:
        """Return which searching peripheral may have the device.

        None if no search matches, or if the device is reserved.
        """
        fitting = [match for match in searching if match.fits(found)]
        match = min(fitting, key=lambda match: match.by, default=None)
        return None if match is None or self._is_reserved(found, match) else match

    def claim(self, match: Match, device: Advertisement) -> None:
        """Give the device to this peripheral, until ``release``."""
        self._devices[match] = device

    def release(self, match: Match) -> None:
        """Free the device of this peripheral, if it has one."""
        self._devices.pop(match, None)
        self._contested.discard(match)

    def is_claimed(self, address: str) -> bool:
        """Whether a peripheral has the device with this address."""
        return any(device.address == address for device in self._devices.values())

    def holder(self, device: Advertisement) -> Match:
        """Return the peripheral that has the device."""
        return next(
            match for match, held in self._devices.items() if held.address == device.address
        )

    def peripheral_of(self, device: Advertisement) -> str | None:
        """Return the id of the peripheral that has the device; None if none has it."""
        return next(
            (
                match.peripheral
                for match, held in self._devices.items()
                if held.address == device.address
            ),
            None,
        )

    def is_contested(self, match: Match) -> bool:
        """Whether a better description has been added for the device of this peripheral."""
        return match in self._contested

    def _is_reserved(self, found: Advertisement, match: Match) -> bool:
        """Whether a more specific peripheral, which has no device now, will want this one."""
        return any(
            other.by < match.by and other not in self._devices and other.fits(found)
            for other in self._matches.values()
        )
