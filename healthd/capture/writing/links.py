"""The links of a capture while they are written: connection handles, addresses, MTU, services."""

import re
from collections.abc import Sequence

from healthd.capture.writing.att import DEFAULT_MTU
from healthd.capture.writing.unsaid import CannotSay
from healthd.traffic.lines import Service

# Core Specification, Vol 4, Part E, 5.3.1; controllers usually begin with this one.
_FIRST_HANDLE, _LAST_HANDLE = 0x0040, 0x0EFF

_CCCD = "2902"
_SENDS = frozenset(("notify", "indicate"))
_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")


class Link:
    """A link that is open.

    Attributes:
        handle: of the connection.
        mtu: agreed so far, in bytes.
    """

    def __init__(self, handle: int) -> None:
        """Begin without services, and with the MTU that all links begin with."""
        self.handle = handle
        self.mtu = DEFAULT_MTU
        self._cccds: dict[int, int] = {}

    def found(self, services: Sequence[Service]) -> None:
        """Remember where subscriptions are written to.

        If a characteristic sends values and shows no descriptor for it, the descriptor is taken to
        follow the value, unless something else does: the central that made the capture may not
        have asked for descriptors.
        """
        known = [each for service in services for each in service.characteristics]
        used = {service.handle for service in services}
        used |= {handle for each in known for handle in (each.handle - 1, each.handle)}
        used |= {descriptor.handle for each in known for descriptor in each.descriptors}
        self._cccds = {
            each.handle: each.handle + 1
            for each in known
            if not _SENDS.isdisjoint(each.properties) and each.handle + 1 not in used
        }
        self._cccds |= {
            each.handle: descriptor.handle
            for each in known
            for descriptor in each.descriptors
            if descriptor.uuid == _CCCD
        }

    def cccd(self, handle: int) -> int:
        """Return the handle of the descriptor that subscribes to the value with this handle.

        Raises:
            CannotSay: the capture does not have it.
        """
        if (found := self._cccds.get(handle)) is None:
            raise CannotSay("subscriptions to characteristics without a known descriptor")
        return found


class Links:
    """All links of a capture, by their numbers."""

    def __init__(self) -> None:
        """Start without links."""
        self._open: dict[int, Link] = {}
        self._used: set[int] = set()
        self._last_ended = 0
        self._next = _FIRST_HANDLE

    def get(self, number: int) -> Link | None:
        """Return an open link; None if there is no open link with this number.

        Raises:
            CannotSay: it has ended.
        """
        if number not in self._open and number <= self._last_ended:
            raise CannotSay("lines about a link that has ended")
        return self._open.get(number)

    def open(self, number: int) -> Link:
        """Add a link.

        Raises:
            CannotSay: it exists, or all connection handles are in use.
        """
        if self.get(number) is not None:
            raise CannotSay("links that begin twice")
        if len(self._used) > _LAST_HANDLE - _FIRST_HANDLE:
            raise CannotSay("more links at one time than there are connection handles")
        while self._next in self._used:
            self._next = self._after(self._next)
        link = self._open[number] = Link(self._next)
        self._used.add(link.handle)
        self._next = self._after(self._next)
        return link

    def end(self, number: int) -> None:
        """Remove a link."""
        self._used.remove(self._open.pop(number).handle)
        self._last_ended = max(self._last_ended, number)

    def _after(self, handle: int) -> int:
        return _FIRST_HANDLE if handle == _LAST_HANDLE else handle + 1


def address_bytes(device: str) -> bytes:
    """Return the six bytes of an address, in the order in which it is written.

    Raises:
        CannotSay: it is not an address.
    """
    if not _ADDRESS.fullmatch(device):
        raise CannotSay("devices whose address is not known")
    return bytes.fromhex(device.replace(":", ""))
