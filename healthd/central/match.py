"""How an advertisement is matched to a peripheral of the settings."""

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Protocol


class By(IntEnum):
    """By what a peripheral is recognised; a smaller value is more specific."""

    ADDRESS = 0
    NAME = 1
    SERVICE = 2


class Seen(Protocol):
    """Something that can be matched: an advertisement, or a device that BlueZ knows."""

    @property
    def address(self) -> str:
        """Bluetooth address, upper case."""
        ...

    @property
    def name(self) -> str | None:
        """Its name; None if it has none."""
        ...

    @property
    def services(self) -> frozenset[str]:
        """Canonical UUIDs of its services, as far as they are known."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """How one peripheral is recognised.

    Attributes:
        peripheral: its id.
        by: what ``wanted`` is.
        wanted: an address, a name pattern with ``*`` and ``?``, or the canonical UUID of a service.
        periodic: whether it is linked only now and then, for a moment.
    """

    peripheral: str
    by: By
    wanted: str
    periodic: bool = False

    def fits(self, found: Seen) -> bool:
        """Whether this may be the peripheral."""
        match self.by:
            case By.ADDRESS:
                return found.address == self.wanted
            case By.NAME:
                # Brackets are part of many names, so they do not mean a set of characters here.
                pattern = self.wanted.replace("[", "[[]")
                return found.name is not None and fnmatchcase(found.name, pattern)
            case By.SERVICE:
                return self.wanted in found.services
