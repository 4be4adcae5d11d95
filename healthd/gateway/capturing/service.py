"""Makes captures: taps the radio, and passes the lines on to a command or to the disk."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from healthd import __version__
from healthd.central.adapters import Adapters
from healthd.central.radio import Radio
from healthd.gateway.capturing import system
from healthd.gateway.capturing.peripheral import CapturedPeripheral
from healthd.gateway.capturing.recording import Recording, Sink
from healthd.gateway.capturing.ring import Numbers, RingFolder, RingSink
from healthd.gateway.capturing.stream import Stream
from healthd.host import build
from healthd.host.in_thread import run_in_thread
from healthd.log import get_logger
from healthd.settings.model import CaptureSettings, PeripheralSettings
from healthd.verbs import RequestRefused, short_json

MOST_STREAMS = 4
"""Each costs some CPU for every value, and a command that stands still a buffer."""

WRITE_EVERY_S = 5.0
"""How long lines wait in memory. Each write wears an SD card, and a kill -9 loses what waits."""

# At the end; a disk may hang.
_LAST_WRITE_S = 5.0

_TRY_AGAIN_S = 60.0

# Of these keys only the fact that they are set is of use to a reader; a path may contain a name.
_LEFT_OUT = "left out"
_FILES = frozenset(("passkey_file", "consent_file", "bind_key_file"))


class Capturing:
    """The captures of one gateway."""

    def __init__(
        self,
        radio: Radio,
        adapters: Adapters,
        entry_of: Callable[[str], PeripheralSettings | None],
        run: str,
        *,
        has_bluez: bool,
    ) -> None:
        """See ``Captures``."""
        self._radio = radio
        self._adapters = adapters
        self._entry_of = entry_of
        self._run = run
        self._has_bluez = has_bluez
        self._captured: dict[str, CapturedPeripheral] = {}
        self._streams = 0
        self._log = get_logger(service="capture")

    def on_adapter(self, change: str, adapter: str, detail: str) -> None:
        """See ``Captures``."""
        for captured in self._captured.values():
            captured.on_adapter(change, adapter, detail)

    @asynccontextmanager
    async def stream(self, fields: Mapping[str, Any]) -> AsyncGenerator[AsyncGenerator[bytes]]:
        """Capture a peripheral while the block runs; it gets the lines.

        Raises:
            RequestRefused: there is no such peripheral, or there are too many captures.
        """
        peripheral = fields.get("peripheral")
        if not isinstance(peripheral, str) or self._entry_of(peripheral) is None:
            raise RequestRefused(
                f"peripheral: found {short_json(peripheral)}, expected one of the running healthd"
            )
        if self._streams >= MOST_STREAMS:
            raise RequestRefused(f"there are {MOST_STREAMS} captures already: end one of them")
        self._streams += 1
        try:
            stream, facts = Stream(), await self._describe()
            with self._recording(peripheral, stream, facts):
                yield stream.pieces()
        finally:
            self._streams -= 1

    async def keep(self, settings: CaptureSettings, folder: Path, changed: asyncio.Event) -> None:
        """Keep captures on disk until ``changed`` is set.

        Args:
            settings: of which peripherals, and how much.
            folder: where.
            changed: ends it.
        """
        ring, numbers = RingFolder(folder, settings.max_size), Numbers()
        if not await self._open(ring, changed):
            return
        share = settings.max_size // len(settings.peripherals)
        sinks = {name: RingSink(name, share, numbers) for name in settings.peripherals}
        facts = await self._describe()
        with ExitStack() as captures:
            recordings = {
                name: captures.enter_context(self._recording(name, sink, facts))
                for name, sink in sinks.items()
            }
            writer = _Writer(ring, sinks, recordings)
            try:
                while not changed.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(WRITE_EVERY_S):
                            await changed.wait()
                    await writer.write(math.inf)
            finally:
                captures.close()
                await writer.write(_LAST_WRITE_S)

    async def _open(self, ring: RingFolder, changed: asyncio.Event) -> bool:
        """Open the folder, and try again if that fails; return False if ``changed`` is set."""
        while not changed.is_set():
            try:
                await run_in_thread(ring.open, _LAST_WRITE_S)
            except (OSError, TimeoutError) as error:
                self._log.warning("capture not written", error=str(error) or "the disk hangs")
            else:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(_TRY_AGAIN_S):
                    await changed.wait()
        return False

    @contextmanager
    def _recording(
        self, peripheral: str, sink: Sink, facts: Mapping[str, Any]
    ) -> Generator[Recording]:
        """Capture a peripheral while the block runs."""

        def header() -> dict[str, Any]:
            return {**facts, "peripheral": self._settings_of(peripheral)}

        recording = Recording(sink, header)
        captured = self._captured.get(peripheral)
        is_first = captured is None
        if captured is None:
            captured = self._captured[peripheral] = CapturedPeripheral()
        captured.add(recording)
        if is_first:
            self._radio.tap(peripheral, captured)
        try:
            yield recording
        finally:
            captured.recordings.remove(recording)
            if not captured.recordings:
                self._radio.tap(peripheral, None)
                del self._captured[peripheral]

    async def _describe(self) -> dict[str, Any]:
        healthd = {"version": __version__, "run": self._run, **build.fields()}
        machine = await system.describe(self._adapters.current, has_bluez=self._has_bluez)
        return {"healthd": healthd, "system": machine}

    def _settings_of(self, peripheral: str) -> dict[str, Any]:
        """Return what the settings say about a peripheral, without files of secrets."""
        if (entry := self._entry_of(peripheral)) is None:
            return {"id": peripheral}
        given = entry.model_dump(mode="json", exclude_unset=True)
        return {key: _LEFT_OUT if key in _FILES else value for key, value in given.items()}


class _Writer:
    """Writes what the sinks have collected."""

    def __init__(
        self,
        ring: RingFolder,
        sinks: Mapping[str, RingSink],
        recordings: Mapping[str, Recording],
    ) -> None:
        self._ring = ring
        self._sinks = sinks
        self._recordings = recordings
        self._fails = False
        self._log = get_logger(service="capture")

    async def write(self, timeout_s: float) -> None:
        """Write it in a thread; lines that cannot be written are counted as missing."""
        for name, sink in self._sinks.items():
            if not (lines := sink.collected()):
                continue
            try:
                await run_in_thread(partial(sink.write, self._ring, lines), timeout_s)
            except (OSError, TimeoutError) as error:
                self._recordings[name].missing += len(lines)
                # Its start may be among them.
                sink.wants_start = True
                if not self._fails:
                    self._log.warning("capture not written", error=str(error) or "the disk hangs")
                self._fails = True
            else:
                self._fails = False
