"""Follows BlueZ: who loses what when it goes, and what is mended when it is back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from healthd.central.adapters import Adapters
from healthd.central.bluez import BlueZ
from healthd.central.bonds import Bonds
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.central.link import discard_bluez, force_scan_stop
from healthd.central.power import Power
from healthd.central.radio import Radio
from healthd.central.recovery import Recovery, Step
from healthd.events import AdapterChange
from healthd.host.atomic import replace_file
from healthd.log import get_logger

# How soon a change of the adapters is acted upon that no signal tells of: time that has passed.
_TICK_S = 1.0

# How often, while somebody is searched for, BlueZ is asked for links that nobody here has.
_LOOK_EVERY_TICKS = 60

# An adapter needs a moment between off and on; USB dongles take part of a second.
_OFF_S = 1.0

# After a power cycle the adapter must come on again, come what may.
_ON_TRIES = 5

Tell = Callable[[AdapterChange, str, str], None]
"""Called with what happened to an adapter (see ``AdapterEvent``), its name, and details."""


class Watch:
    """Keeps what healthd believes of BlueZ true, and mends what it can."""

    def __init__(
        self,
        radio: Radio,
        adapters: Adapters,
        recovery: Recovery,
        bonds: Bonds,
        tell: Tell,
        *,
        power_on: bool = True,
        reset_file: Path | None = None,
    ) -> None:
        """Prepare.

        Args:
            radio: loses its links when what they go over is gone; knows whose links are ours.
            adapters: kept true.
            recovery: says which step is due.
            bonds: kept true.
            tell: is told of every change.
            power_on: whether an adapter that is off may be switched on.
            reset_file: where the privileged helper finds the name of an adapter to be reset.
        """
        self._radio = radio
        self._adapters = adapters
        self._recovery = recovery
        self._bonds = bonds
        self._tell = tell
        self._power_on = power_on
        self._reset_file = reset_file
        self._bluez: BlueZ | None = None
        self._power: dict[str, Power] = {}
        self._heard_of: set[str] = set()
        self._look = asyncio.Event()
        self._present = False
        self._log = get_logger(service="bluez")

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Follow BlueZ over one connection to D-Bus. Ends only by raising.

        Raises:
            LinkFault: D-Bus is gone, or not there.
        """
        async with BlueZ.connected(self) as bluez:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(bluez.lost(), name="bluez lost")
                    self._present = await bluez.is_there()
                    if not self._present:
                        self._tell("bluez_gone", "", "bluetoothd does not run")
                    self._bluez = bluez
                    self._bonds.use(bluez)
                    self._look.set()
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
            self._tell("bluez_back", "", "bluetoothd is here")
            self._look.set()

    def on_adapter(self, name: str, powered: bool | None) -> None:
        """See ``bluez.Listener``."""
        self._heard_of.add(name)
        before = self._adapters.powered.get(name)
        if powered is None:
            self._power.pop(name, None)
            self._recovery.start_over()
        else:
            self._power.setdefault(name, Power()).seen(powered)
        self._adapters.update(name, powered)
        if before != powered:
            used = "used" if self._adapters.current == name else "not used"
            self._tell("gone" if powered is None else "on" if powered else "off", name, used)

    async def forget(self, path: str) -> bool:
        """See ``radio.Cleaner``."""
        if (bluez := self._bluez) is None:
            return False
        try:
            _, devices = await bluez.state()
            device = next((one for one in devices if one.path == path), None)
            if device is None or device.bonded:
                return False
            await bluez.remove(path)
        except LinkFault as fault:
            self._log.warning("services not forgotten", reason=fault.reason, error=str(fault))
            return False
        return True

    def check_devices(self) -> None:
        """See ``radio.Cleaner``."""
        self._look.set()

    def _lose_all(self, reason: Literal["bluez_gone", "dbus_lost"], message: str) -> None:
        was_usable, self._present = self._adapters.usable, False
        self._power.clear()
        self._adapters.lose_all(reason, message)
        self._recovery.start_over()
        if was_usable:
            self._tell(reason, "", message)

    async def _follow(self, bluez: BlueZ) -> None:
        ticks = 0
        while True:
            if ticks == _LOOK_EVERY_TICKS and self._radio.scans:
                self._look.set()
            ticks = ticks % _LOOK_EVERY_TICKS + 1
            try:
                if self._look.is_set():
                    self._look.clear()
                    await self._look_round(bluez)
                await self._switch_on(bluez)
                await self._recover(bluez)
            except LinkFault as fault:
                self._log.warning("bluez", reason=fault.reason, error=str(fault))
                await asyncio.sleep(_TICK_S)
                self._look.set()
            await self._pause()

    async def _pause(self) -> None:
        """Until there is something to be looked at, or time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await self._look.wait()

    async def _look_round(self, bluez: BlueZ) -> None:
        if not self._present:
            return
        self._heard_of.clear()
        adapters, devices = await bluez.state()
        for name, powered in adapters.items():
            # What a signal has told meanwhile is newer than the answer.
            if name not in self._heard_of:
                self.on_adapter(name, powered)
        self._bonds.check_bonds(devices, self._radio.matches)
        for device in devices:
            await self._end_orphan(bluez, device)

    async def _end_orphan(self, bluez: BlueZ, device: Device) -> None:
        """End a link that an earlier run left: its peripheral never advertises (bluez#89)."""
        ours = [one.peripheral for one in self._radio.matches if one.fits(device)]
        if device.connected and ours and not self._radio.owns(device.address, device.path):
            self._tell("orphan", device.path.split("/")[3], f"a link to {ours[0]} that nobody has")
            await bluez.disconnect(device.path)

    async def _switch_on(self, bluez: BlueZ) -> None:
        for name in self._adapters.powered:
            power = self._power.get(name)
            if self._power_on and power is not None and power.due():
                self._tell("power_on", name, "it was off")
                await bluez.set_powered(name, True)

    async def _recover(self, bluez: BlueZ) -> None:
        if (name := self._adapters.current) is None:
            return
        match self._recovery.due(linked=self._radio.links > 0):
            case Step.RESCAN:
                self._tell("rescan", name, "it fails, or hears nothing")
                if not self._radio.scans:
                    # What fails is the start: BlueZ may believe that our scan still runs.
                    await force_scan_stop(name)
                self._radio.rescan()
            case Step.POWER_CYCLE:
                if other := self._adapters.avoid(name):
                    self._recovery.start_over()
                    self._tell("moved", name, f"it stays broken; {other} is used")
                self._tell("power_cycle", name, "a new scan did not help")
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
        """Ask the helper, which may do what this process may not."""
        if self._reset_file is None:
            self._tell("broken", name, "a power cycle did not help; no helper to reset it")
            return
        self._tell("reset", name, "a power cycle did not help")
        try:
            # Read by its group: the helper is root without the right to pass over file modes.
            replace_file(self._reset_file, f"{name}\n".encode("ascii"), mode=0o640)
        except OSError as error:
            self._log.error("reset not asked for", error=error.strerror)
