"""What sessions need from the rest of healthd while they read a device."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

from healthd.central.faults import LinkFault
from healthd.central.link import Advertisement
from healthd.profiles.characteristic import Characteristic

Explain = Callable[[Advertisement, LinkFault], Awaitable[LinkFault]]
"""Returns what a refusal means, taking the device's bond into account."""


class Heard(Protocol):
    """What the subscribed characteristics of a link have sent.

    Attributes:
        heard: when each of them sent its last value, by the monotonic clock.
        received: how many values each of them has sent.
    """

    heard: dict[str, float]
    received: Counter[str]


class Values(Protocol):
    """Receives links and values. Called in the event loop; must not block."""

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """Handle a new link to a device with this name and these profiles."""
        ...

    def on_heard(
        self, peripheral: str, name: str | None, profiles: list[str], address: str
    ) -> None:
        """Handle that a device that is only listened to was found, or that more is known of it."""
        ...

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Handle a value: notified, read or advertised, or a message to or from a control point."""
        ...

    def on_left_out(self, peripheral: str, uuids: list[str]) -> None:
        """Handle that these characteristics are left out, because they cost a link."""
        ...

    def on_no_data(self, peripheral: str, reason: str | None) -> None:
        """Handle that a link yields nothing, and why; None: from now on it does."""
        ...
