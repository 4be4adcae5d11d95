"""How an advertisement is matched to a peripheral of the settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Protocol

from healthd.profiles.characteristic import Broadcast
from healthd.profiles.listing import Announced
from healthd.profiles.profile import is_named

# A wildcard, a backslash in front of one or of another backslash, or a bracket.
_SPECIAL = re.compile(r"\\([\\*?])|\[")


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

    @property
    def data(self) -> Mapping[str, bytes]:
        """Its advertised data, by the keys of ``Broadcast``."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """How one peripheral is recognised.

    Attributes:
        peripheral: its id.
        by: what ``wanted`` is.
        wanted: an address, a name pattern (see ``exactly``), or the canonical UUID of a service.
        periodic: whether it is linked only now and then, for a moment.
        broadcasts: what is wanted of its advertisements; empty for one that is linked. With
            ``By.SERVICE``, a device that advertises any of them is recognised, too.
        names: see ``Profile.names``. With ``By.SERVICE``, a device that advertises such a name is
            recognised, too, unless it advertises one of ``others``.
        others: UUIDs of the services of other devices with such names.
    """

    peripheral: str
    by: By
    wanted: str
    periodic: bool = False
    # Without them, the hash of a match takes a tenth of the time.
    broadcasts: tuple[Broadcast | Announced, ...] = field(default=(), hash=False)
    names: tuple[str, ...] = field(default=(), hash=False)
    others: frozenset[str] = field(default=frozenset(), hash=False)

    def fits(self, found: Seen) -> bool:
        """Whether this may be the peripheral."""
        match self.by:
            case By.ADDRESS:
                return found.address == self.wanted
            case By.NAME:
                return found.name is not None and fnmatchcase(found.name, _shell(self.wanted))
            case By.SERVICE:
                is_other = not self.others.isdisjoint(found.services)
                return (
                    self.wanted in found.services
                    or (is_named(found.name, self.names) and not is_other)
                    or self.is_advertised(found.data)
                )

    def is_advertised(self, data: Mapping[str, bytes]) -> bool:
        """Whether advertised data holds something that is wanted of the peripheral."""
        return any(
            key in data and broadcast.fits(data[key])
            for broadcast in self.broadcasts
            for key in broadcast.keys
        )


def exactly(name: str) -> str:
    """Return the pattern that matches this name and no other.

    In a pattern, ``*`` matches any characters and ``?`` one character; after a backslash these two
    and the backslash mean themselves.
    """
    return re.sub(r"([\\*?])", r"\\\1", name)


def _shell(pattern: str) -> str:
    """Return a pattern as ``fnmatch`` reads it: what means itself is in brackets.

    Brackets are part of many names, so in the settings they do not mean a set of characters.
    """
    return _SPECIAL.sub(lambda found: f"[{found[1] or found[0]}]", pattern)
