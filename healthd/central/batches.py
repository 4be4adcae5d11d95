"""Reads what BlueZ signals in batches while nothing of it is urgent."""

import asyncio
from typing import Any, Self

# Waking up costs more than reading a signal. In a house with 50 advertisements a second this makes
# one wake-up of ten, and what a device measures is dated at most this much later.
_REST_S = 0.2


class Batches:
    """Pauses the reading of a D-Bus connection for a moment; nothing is lost, only read later."""

    def __init__(self, bus: Any) -> None:
        """Prepare.

        Args:
            bus: the ``MessageBus`` of dbus-fast, connected in the running event loop.
        """
        self._bus = bus
        self._loop: Any = asyncio.get_running_loop()
        self._file: int = bus._fd
        # asyncio can pause what reads a transport, but not what was given to ``add_reader``.
        reader = self._loop._selector.get_key(self._file).data[0]
        self._callback, self._arguments = reader._callback, reader._args
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, bus: Any) -> Self | None:
        """Return the batches of a connection; None if its inside differs from what is known.

        Other versions of dbus-fast and other event loops may differ. Then each signal is read as it
        arrives, which only costs more.
        """
        try:
            return cls(bus)
        except (AttributeError, IndexError, KeyError, TypeError):
            return None

    def rest(self) -> None:
        """Read the next signals in a moment."""
        if self._timer is None and self._bus.connected:
            self._loop.remove_reader(self._file)
            self._timer = self._loop.call_later(_REST_S, self.resume)

    def resume(self) -> None:
        """Read at once again."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        if self._bus.connected:
            self._loop.add_reader(self._file, self._callback, *self._arguments)
