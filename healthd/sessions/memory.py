"""What a session remembers about its devices from link to link, until it ends."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from healthd.central.link import Advertisement

# A link may also end by chance during a step, so a step is tried again on a later link: one that
# begins after an hour, and after that not more than once a day. No link is ended for it.
_FIRST_PAUSE_S = 3600.0
_PAUSE_S = 86_400.0

# This many links in a row that did not survive the optional steps or ended soon after them: all of
# them are left out for a while. Fewer are often chance, at the edge of the range.
_SHORT_LINKS = 3
_ALL_PAUSE_S = 600.0

# A link that lacks something may be made once more, with a fresh discovery of the services. If that
# has not helped twice, the device really does not have it.
_REFRESHES = 2

# A device lacks one or two different things, but a hostile one could lack other ones on each link.
_MOST_LACKS = 16

# An entry that selects by service may find many devices in a gym; a home has a few.
_MOST_DEVICES = 50


class Step(NamedTuple):
    """A step of preparing a link that the device may not survive."""

    verb: Literal["read", "subscribe", "write"]
    uuid: str

    def __str__(self) -> str:
        """Return it as in ``read 2a25``."""
        return f"{self.verb} {self.uuid}"


@dataclass(slots=True)
class _Cost:
    """What a step has cost so far: links in a row, and how often it was left out since.

    ``order`` is greater than that of every step that was blamed before.
    """

    links: int = 0
    order: int = 0
    times: int = 0
    until: float = 0.0


class DeviceMemory:
    """What is known about one device.

    Attributes:
        streams: UUIDs of the streams that it had on its last link.
        facts: its static values that were read, by UUID.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.streams: frozenset[str] = frozenset()
        self.facts: dict[str, bytes] = {}
        self._costs: dict[Step, _Cost] = {}
        self._blamed = 0
        self._short_links = 0
        self._all_until = 0.0
        self._vain: Counter[str] = Counter()

    def leaves_out(self, step: Step) -> bool:
        """Return whether the step has to be left out on a link that begins now."""
        cost = self._costs.get(step)
        return cost is not None and time.monotonic() < cost.until

    def leaves_out_all(self) -> bool:
        """Return whether all optional steps have to be left out on a link that begins now."""
        return time.monotonic() < self._all_until

    def suspicion(self, step: Step) -> tuple[int, int]:
        """Return a value that is greater for a step that more likely ends the next link.

        If a device hangs up after an answer, the next step is blamed first, then the answered one.
        """
        cost = self._costs.get(step)
        return (0, 0) if cost is None else (cost.links, cost.order)

    def on_success(self, step: Step) -> None:
        """Note that the device has survived the step: an earlier loss was chance."""
        self._costs.pop(step, None)

    def on_loss(self, step: Step, tolerated: int) -> bool:
        """Note that a link ended in this step.

        Args:
            step: the step.
            tolerated: how many losses in a row do not count.

        Returns:
            Whether the characteristic is left out from now on, and was not before.
        """
        before = {each.uuid for each, cost in self._costs.items() if cost.times}
        cost = self._costs.setdefault(step, _Cost())
        cost.links += 1
        self._blamed += 1
        cost.order = self._blamed
        if cost.links <= tolerated:
            return False
        cost.times += 1
        cost.until = time.monotonic() + (_FIRST_PAUSE_S if cost.times == 1 else _PAUSE_S)
        return step.uuid not in before

    def on_end(self, *, short: bool) -> bool:
        """Note the end of a link; return whether all optional steps are left out because of it.

        Args:
            short: whether it was lost in its optional steps or soon after, or the device did not
                answer one of them.
        """
        self._short_links = self._short_links + 1 if short else 0
        if self._short_links < _SHORT_LINKS:
            return False
        self._short_links = 0
        self._all_until = time.monotonic() + _ALL_PAUSE_S
        return True

    def may_refresh(self, lack: str) -> bool:
        """Return whether a fresh discovery may still bring what a link lacks."""
        return self._vain[lack] < _REFRESHES

    def on_vain_refresh(self, lack: str) -> None:
        """Note that a fresh discovery has not brought it."""
        self._vain[lack] += 1
        if len(self._vain) > _MOST_LACKS:
            del self._vain[next(iter(self._vain))]


class Memories:
    """The devices of one session."""

    def __init__(self) -> None:
        """Start without any."""
        self._devices: dict[str, DeviceMemory] = {}

    def of(self, found: Advertisement) -> DeviceMemory:
        """Return what is known about this device.

        It is known by its address; if that changes every few minutes, by its name.
        """
        identity = (found.is_private and found.name) or found.address
        memory = self._devices.pop(identity, None) or DeviceMemory()
        self._devices[identity] = memory  # the newest is the last one
        if len(self._devices) > _MOST_DEVICES:
            del self._devices[next(iter(self._devices))]
        return memory
