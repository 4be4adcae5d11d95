"""Takes notified values from D-Bus before bleak does.

For each value, bleak copies what has changed, notes it, looks up the watchers of the device, and
calls three callbacks in turn. At the pace of straps, each value meets cold caches, and that is a
fifth of its cost from the socket to ``Link``: 142 µs, and 115 without. Of all that a sample costs,
up to its acknowledgement, it is 2 to 4 %.

``AcquireNotify`` would save a little more, but it loses values: BlueZ drops what comes before its
answer and what does not fit into the socket (278 small values) while this process stands still, and
no other program could subscribe to the same characteristic.
"""

from collections.abc import Callable
from typing import Any, Protocol

from bleak_retry_connector.bleak_manager import get_global_bluez_manager_sync

Take = Callable[[bytes], None]
"""Called in the event loop with each value."""


class Signal(Protocol):
    """A message of D-Bus, as far as it is looked at."""

    path: str | None
    member: str | None
    body: list[Any]


class Values:
    """Passes on the values of subscribed characteristics, by their objects in BlueZ."""

    def __init__(self) -> None:
        """Start without any."""
        self._takers: dict[str | None, Take] = {}
        self._bus: Any = None

    def add(self, path: str, take: Take) -> None:
        """Pass values of an object to ``take``, if bleak is connected to BlueZ in the known way.

        Otherwise they come through bleak, to whom they are passed as well if their signal has more
        than a value. So they must be subscribed there, too.
        """
        self._takers[path] = take
        manager: Any = get_global_bluez_manager_sync()
        bus = getattr(manager, "_bus", None)
        inner = getattr(manager, "_parse_msg", None)
        if bus is None or inner is None or bus is self._bus:
            return
        # Before bleak's own handler: what a handler returns True for goes no further.
        bus.remove_message_handler(inner)
        bus.add_message_handler(self.on_signal)
        bus.add_message_handler(inner)
        self._bus = bus

    def remove(self, path: str, take: Take) -> None:
        """Stop passing values of an object to ``take``."""
        if self._takers.get(path) is take:
            del self._takers[path]

    def on_signal(self, signal: Signal) -> bool:
        """Return True if the signal had nothing but a value, which was passed on."""
        if (take := self._takers.get(signal.path)) is None or signal.member != "PropertiesChanged":
            return False
        _, changed, invalidated = signal.body
        if len(changed) != 1 or invalidated or (value := changed.get("Value")) is None:
            return False
        take(bytes(value.value))
        return True
