"""Which advertisement belongs to which peripheral of the settings."""

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Protocol


class By(IntEnum):
    """How a peripheral is recognised; the smaller, the more specific."""

    ADDRESS = 0
    NAME = 1
    SERVICE = 2


class Seen(Protocol):
    """What can be recognised: an advertisement, or a device that BlueZ knows."""

    @property
    def address(self) -> str:
        """Bluetooth address, upper case."""
        ...

    @property
    def name(self) -> str | None:
        """Its name, where it has one."""
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
        wanted: an address, a name pattern with ``*`` and ``?``, or a service's canonical UUID.
        periodic: it is linked now and then, for a moment.
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
                # Names hold brackets more often than anybody wants a set of characters.
                pattern = self.wanted.replace("[", "[[]")
                return found.name is not None and fnmatchcase(found.name, pattern)
            case By.SERVICE:
                return self.wanted in found.services
