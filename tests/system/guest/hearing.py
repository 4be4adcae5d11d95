"""What the adapter's controller reports to the kernel of the advertisements in the air."""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

# A device across the room, on a moving person.
_RSSI_DBM = range(-75, -45)
# An event; LE Meta; LE Advertising Report (Core 5.4, volume 4, part E, 7.7.65.2).
_EVENT, _LE_META, _ADVERTISING_REPORT = 0x04, 0x3E, 0x02
_SCAN_RESPONSE = 0x04
# BlueZ gives a scan 10.24 s and then starts the next one by itself.
_WHOLE_SCAN_S = 10.0


class Kind(IntEnum):
    """Kinds of advertisements, as in an advertising report."""

    CONNECTABLE = 0x00
    SCANNABLE = 0x02
    NOT_CONNECTABLE = 0x03


class Duplicates(StrEnum):
    """What a controller does if the kernel asks it to leave out duplicates; each kind exists."""

    REPORTED = "reported"
    """It ignores the request."""
    SAME_DATA = "same_data"
    """It reports each address again only with other data."""
    SAME_ADDRESS = "same_address"
    """It reports each address once in each scan, whatever it advertises later."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One advertisement in the air.

    Attributes:
        address: of its sender, upper case.
        data: its AD structures, at most 31 bytes.
        response: the AD structures of the scan response; None if there is none.
        kind: what the sender accepts.
        is_random: whether the address is a random one.
    """

    address: str
    data: bytes
    response: bytes | None = None
    kind: Kind = Kind.NOT_CONNECTABLE
    is_random: bool = True


class Hearing:
    """A controller's scan: which advertisements it reports, and how often.

    Attributes:
        duplicates: how it treats duplicates, if it is asked to leave them out.
        reports: how many reports it has sent.
        muted: how many advertisements it did not report while it was deaf.
    """

    def __init__(self) -> None:
        """Start with a controller that reports everything."""
        self.duplicates = Duplicates.REPORTED
        self.reports = self.muted = 0
        self._is_on = self._leaves_out = self._is_active = False
        self._known: set[object] = set()
        self._deaf = False
        self._began_at = 0.0

    @property
    def is_deaf(self) -> bool:
        """Whether it acknowledges scans, but reports nothing."""
        return self._deaf

    @property
    def is_passive(self) -> bool:
        """Whether it scans without asking for scan responses."""
        return self._is_on and not self._is_active

    def fall_deaf(self) -> None:
        """Report nothing until the host ends a scan early, as it does if it wants a new one.

        The scans that BlueZ repeats by itself run to their ends and do not help.
        """
        self._deaf = True

    def scan(self, at: float, *, on: bool, active: bool, leave_out: bool) -> None:
        """Start or stop a scan; duplicates of an earlier scan are none of the next."""
        if self._is_on and not on and at - self._began_at < _WHOLE_SCAN_S:
            self._deaf = False
        self._is_on, self._is_active, self._leaves_out = on, active, leave_out
        self._began_at = at
        self._known.clear()

    def reports_of(self, heard: Heard) -> Iterator[bytes]:
        """Yield the events for an advertisement; none if it is not reported."""
        if not self._is_on:
            return
        if self._deaf:
            self.muted += 1
            return
        parts = [(int(heard.kind), heard.data)]
        if self._is_active and heard.response is not None and heard.kind < Kind.NOT_CONNECTABLE:
            parts.append((_SCAN_RESPONSE, heard.response))
        for kind, data in parts:
            if self._admits(heard.address, kind, data):
                self.reports += 1
                yield _report(kind, heard, data)

    def _admits(self, address: str, kind: int, data: bytes) -> bool:
        if not self._leaves_out or self.duplicates is Duplicates.REPORTED:
            return True
        is_by_data = self.duplicates is Duplicates.SAME_DATA
        known = (address, kind, data) if is_by_data else (address, kind)
        if known in self._known:
            return False
        self._known.add(known)
        return True


def _report(kind: int, heard: Heard, data: bytes) -> bytes:
    address = bytes.fromhex(heard.address.replace(":", ""))[::-1]
    rssi = struct.pack("b", random.choice(_RSSI_DBM))
    event = struct.pack("BBBB", _ADVERTISING_REPORT, 1, kind, heard.is_random)
    event += address + bytes([len(data)]) + data + rssi
    return bytes([_EVENT, _LE_META, len(event)]) + event
