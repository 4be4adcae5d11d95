"""Captures of the radio's traffic: on request of a command, and those that the settings ask for.

What makes them is loaded when the first one begins.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from healthd.central.adapters import Adapters
from healthd.central.radio import Radio
from healthd.settings.model import CaptureSettings, PeripheralSettings

if TYPE_CHECKING:
    from healthd.gateway.capturing.service import Capturing

FOLDER = "capture"
"""Of the captures that the settings ask for; below the state folder."""


class Captures:
    """Begins captures, and ends them."""

    def __init__(
        self,
        radio: Radio,
        adapters: Adapters,
        entry_of: Callable[[str], PeripheralSettings | None],
        state: Path,
        run: str,
        *,
        has_bluez: bool,
    ) -> None:
        """Prepare.

        Args:
            radio: what is captured.
            adapters: its adapters.
            entry_of: returns the settings of a peripheral; None if there is no such peripheral.
            state: the state folder.
            run: the id of this run.
            has_bluez: whether the radio is BlueZ's.
        """
        self._radio = radio
        self._adapters = adapters
        self._entry_of = entry_of
        self._folder = state / FOLDER
        self._run = run
        self._has_bluez = has_bluez
        self._wanted = CaptureSettings()
        self._changed = asyncio.Event()
        self._loaded: Capturing | None = None

    def use(self, settings: CaptureSettings) -> None:
        """Keep captures on disk as these settings say, from now on."""
        if settings != self._wanted:
            self._wanted = settings
            self._changed.set()

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Keep captures on disk. Ends only when it is cancelled."""
        mark_healthy()
        while True:
            if self._wanted.peripherals:
                await self._capturing.keep(self._wanted, self._folder, self._changed)
            else:
                await self._changed.wait()
            self._changed.clear()

    def stream(
        self, fields: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[AsyncGenerator[bytes]]:
        """Capture a peripheral for a command; see ``Streamer``."""
        return self._capturing.stream(fields)

    def on_adapter(self, change: str, adapter: str, detail: str) -> None:
        """Handle a change of an adapter, or of BlueZ."""
        if self._loaded is not None:
            self._loaded.on_adapter(change, adapter, detail)

    @property
    def _capturing(self) -> "Capturing":
        if self._loaded is None:
            # Imported for the first capture: most gateways never make one.
            from healthd.gateway.capturing.service import Capturing

            self._loaded = Capturing(
                self._radio, self._adapters, self._entry_of, self._run, has_bluez=self._has_bluez
            )
        return self._loaded
