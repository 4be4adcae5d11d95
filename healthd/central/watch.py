"""Follows BlueZ: ends links when it goes away, and repairs its state when it is back."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from healthd.central.adapters import Adapters
from healthd.central.bluez import BlueZ
from healthd.central.bonds import Bonds
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.central.power import Power
from healthd.central.radio import Radio
from healthd.central.recovery import Recovery, Step
from healthd.central.scanner import discard_bluez, force_scan_stop
from healthd.events import AdapterChange
from healthd.host.atomic import replace_file
from healthd.log import get_logger
from healthd.supervision.deadline import timeout_at

# How long to wait before BlueZ is asked again after it refused something.
_RETRY_S = 1.0

# How often, during a search, to ask BlueZ for links that healthd does not own.
_CHECK_S = 60.0

# An adapter needs a moment between off and on; USB dongles take less than a second.
_OFF_S = 1.0

# The adapter must not stay off after a power cycle, so switching it on is tried several times.
_ON_TRIES = 5

Report = Callable[[AdapterChange, str, str], None]
"""Called with what happened to an adapter (see ``AdapterEvent``), its name, and details."""


class Watch:
    """Keeps healthd's view of BlueZ up to date, and repairs what it can."""

    def __init__(
        self,
        radio: Radio,
        adapters: Adapters,
        recovery: Recovery,
        bonds: Bonds,
        report: Report,
        *,
        power_on: bool = True,
        reset_file: Path | None = None,
    ) -> None:
        """Prepare.

        Args:
            radio: its links end when BlueZ or the adapter is gone; it knows which links are ours.
            adapters: kept up to date.
            recovery: decides which step is due.
            bonds: kept up to date.
            report: called with every change.
            power_on: whether to switch on an adapter that is off.
            reset_file: where the privileged helper reads the name of the adapter to reset.
        """
        self._radio = radio
        self._adapters = adapters
        self._recovery = recovery
        self._bonds = bonds
        self._report = report
        self._power_on = power_on
        self._reset_file = reset_file
        self._bluez: BlueZ | None = None
        self._power: dict[str, Power] = {}
        self._heard_of: set[str] = set()
        self._wake = asyncio.Event()
        self._must_check = False
        self._checked_at = time.monotonic()
        self._present = False
        self._log = get_logger(service="bluez")
        recovery.attach(self._wake.set)

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Follow BlueZ over one connection to D-Bus. Ends only by raising.

        Raises:
            LinkFault: D-Bus is gone, or was never there.
        """
        async with BlueZ.connected(self) as bluez:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(bluez.lost(), name="dbus connection")
                    self._present = await bluez.is_there()
                    if not self._present:
                        self._report("bluez_gone", "", "bluetoothd is not running")
                    self._bluez = bluez
                    self._bonds.use(bluez)
                    self.check_devices()
                    mark_healthy()
                    await self._follow(bluez)
            finally:
                self._bluez = None
                self._bonds.use(None)
                self._lose_all("dbus_lost", "D-Bus is gone")

    def on_owner(self, *, present: bool) -> None:
        """See ``bluez.Listener``."""
        if self._present:
            self._lose_all("bluez_gone", "bluetoothd is gone")
        discard_bluez()
        self._present = present
        if present:
            self._report("bluez_back", "", "bluetoothd is running")
            self.check_devices()

    def on_adapter(self, name: str, powered: bool | None) -> None:
        """See ``bluez.Listener``."""
        self._heard_of.add(name)
        self._wake.set()
        before = self._adapters.powered.get(name)
        if powered is None:
            self._power.pop(name, None)
            self._recovery.start_over()
        else:
            self._power.setdefault(name, Power()).update(powered)
        self._adapters.update(name, powered)
        if before != powered:
            used = "in use" if self._adapters.current == name else "not in use"
            self._report("gone" if powered is None else "on" if powered else "off", name, used)

    def on_forgotten(self, path: str) -> None:
        """See ``bluez.Listener``."""
        self._radio.on_forgotten(path)

    async def forget(self, path: str) -> bool:
        """See ``radio.Cleaner``."""
        if (bluez := self._bluez) is None:
            return False
        try:
            _, devices = await bluez.state()
            device = next((device for device in devices if device.path == path), None)
            if device is None or device.bonded:
                return False
            await bluez.remove(path)
        except LinkFault as fault:
            self._log.warning("services not forgotten", reason=fault.reason, error=str(fault))
            return False
        return True

    def check_devices(self) -> None:
        """See ``radio.Cleaner``."""
        self._must_check = True
        self._wake.set()

    def _lose_all(self, reason: Literal["bluez_gone", "dbus_lost"], message: str) -> None:
        was_usable, self._present = self._adapters.usable, False
        self._power.clear()
        self._adapters.lose_all(reason, message)
        self._recovery.start_over()
        if was_usable:
            self._report(reason, "", message)

    async def _follow(self, bluez: BlueZ) -> None:
        while True:
            self._wake.clear()
            try:
                if self._must_check or self._check_due():
                    self._must_check, self._checked_at = False, time.monotonic()
                    await self._check_state(bluez)
                await self._switch_on(bluez)
                await self._recover(bluez)
            except LinkFault as fault:
                self._log.warning("bluez", reason=fault.reason, error=str(fault))
                await asyncio.sleep(_RETRY_S)
                self.check_devices()
            await self._pause()

    def _check_due(self) -> bool:
        return self._radio.is_scanning and time.monotonic() >= self._checked_at + _CHECK_S

    async def _pause(self) -> None:
        """Wait for a change, or until something is due that no signal announces.

        After a stall of the process, what the scanner had heard is taken first: otherwise the
        adapter would seem to have heard nothing.
        """
        with suppress(TimeoutError):
            async with timeout_at(min(self._due_times(), default=None)):
                await self._wake.wait()

    def _due_times(self) -> list[float]:
        times: list[float | None] = []
        if self._radio.is_scanning:
            times.append(self._checked_at + _CHECK_S)
        if self._adapters.current is not None:
            times.append(self._recovery.due_at)
        if self._power_on:
            allowed = self._adapters.powered
            times += [power.due_at for name, power in self._power.items() if name in allowed]
        return [at for at in times if at is not None]

    async def _check_state(self, bluez: BlueZ) -> None:
        if not self._present:
            return
        self._heard_of.clear()
        adapters, devices = await bluez.state()
        for name, powered in adapters.items():
            # A signal that arrived meanwhile is newer than the answer.
            if name not in self._heard_of:
                self.on_adapter(name, powered)
        self._bonds.check_bonds(devices, self._radio.matches)
        for device in devices:
            await self._end_orphan(bluez, device)

    async def _end_orphan(self, bluez: BlueZ, device: Device) -> None:
        """End a link that an earlier run left: its peripheral does not advertise (bluez#89)."""
        ours = [match.peripheral for match in self._radio.matches if match.fits(device)]
        if device.connected and ours and not self._radio.has_device(device.address, device.path):
            self._report(
                "orphan", device.path.split("/")[3], f"a link to {ours[0]} from an earlier run"
            )
            await bluez.disconnect(device.path)

    async def _switch_on(self, bluez: BlueZ) -> None:
        for name in self._adapters.powered:
            power = self._power.get(name)
            if self._power_on and power is not None and power.due():
                self._report("power_on", name, "it was off")
                await bluez.set_powered(name, True)

    async def _recover(self, bluez: BlueZ) -> None:
        if (name := self._adapters.current) is None:
            return
        match self._recovery.due(linked=self._radio.link_count > 0):
            case Step.RESCAN:
                self._report("rescan", name, "scans fail or hear nothing")
                if not self._radio.is_scanning:
                    # The start fails: BlueZ may still have our last scan running.
                    await force_scan_stop(name)
                self._radio.rescan()
            case Step.POWER_CYCLE:
                if other := self._adapters.avoid(name):
                    self._recovery.start_over()
                    self._report("moved", name, f"it does not recover; {other} is in use now")
                self._report("power_cycle", name, "restarting the scan did not help")
                await self._cycle(bluez, name)
            case Step.RESET:
                self._reset(name)
            case None:
                pass

    async def _cycle(self, bluez: BlueZ, name: str) -> None:
        await bluez.set_powered(name, False)
        for tries_left in reversed(range(_ON_TRIES)):
            await asyncio.sleep(_OFF_S)
            try:
                await bluez.set_powered(name, True)
            except LinkFault:
                if not tries_left:
                    raise
            else:
                break

    def _reset(self, name: str) -> None:
        """Ask the privileged helper to reset the adapter; this process is not allowed to."""
        if self._reset_file is None:
            self._report(
                "broken", name, "a power cycle did not help, and there is no helper to reset it"
            )
            return
        self._report("reset", name, "a power cycle did not help")
        try:
            # Readable by the group: the helper is root without the capability to bypass file modes.
            replace_file(self._reset_file, f"{name}\n".encode("ascii"), mode=0o640)
        except OSError as error:
            self._log.error("reset not asked for", error=error.strerror)
