"""What a case works with: straps around an adapter, the service, a broker, and the results."""

import asyncio
import json
import re
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap
from tests.system.guest import vm
from tests.system.guest.broadcasters import Broadcaster
from tests.system.guest.listened import Listened
from tests.system.guest.oracle import Counts, Window, weigh
from tests.system.guest.radio import Radio
from tests.system.guest.straps import Arrival, Numbered, NumberedHeart, Strap, interval_of, rate_of
from tests.system.guest.subscriber import GATEWAY, Subscriber
from tests.system.guest.vm import Failed, until

SERVICE = "healthd.service"
_SETTINGS = Path("/etc/healthd/healthd.toml")
BLUETOOTH = "bluetooth.service"
ADAPTER_RESET = "healthd-adapter-reset.service"
_UNITS = Path("/run/systemd/system")
# Emulated, the daemon takes 10 s to start, and eight straps in a row twice as long; if the machine
# has other work too, a link alone takes 20 s.
START_S = 120.0
# How long recovery may take after the worst fault, including the longest pause (60 s).
RECOVERY_S = 90.0
# From the strap's link to the subscriber; PUBACK and commit may take seconds.
_SETTLE_S = 20.0
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:_-]){5}[0-9A-Fa-f]{2}")
# Names of measured values, and the simulated strap's serial number: not allowed at INFO.
_VALUES = re.compile(r"heart_rate_bpm|rr_intervals|energy_expended|SIM-0001")


class World:
    """The environment of a case; each case gets a new one.

    Attributes:
        radio: the adapter and the peripherals.
        broker: the subscriber at the broker.
        straps: the straps of this case, by id.
        listened: the devices of this case that only advertise and have numbered values, by id.
        journal: what healthd has written since the case began.
        bluez_journal: what bluetoothd has written.
        recovery_s: from the end of the fault to the next new sample at the subscriber.
        notes: remarks for the report.
        results: received samples that are not numbered, by peripheral and stream.
    """

    def __init__(self) -> None:
        """Prepare; nothing runs yet."""
        self.radio = Radio()
        self.broker = Subscriber(self._on_sample)
        self.straps: dict[str, Strap] = {}
        self.listened: dict[str, Listened] = {}
        self._advertising: dict[str, asyncio.Task[None]] = {}
        self.journal = vm.Journal(SERVICE)
        self.bluez_journal = vm.Journal(BLUETOOTH)
        self.recovery_s: float | None = None
        self.notes: list[str] = []
        self.results: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._windows: list[Window] = []
        self._fault_ended_at = 0.0

    async def reset(self) -> None:
        """Reset the machine: no stored state, the adapter plugged in, healthd stopped."""
        await vm.run("systemctl", "stop", SERVICE, "bluetooth", "mosquitto")
        changed = [unit for unit in (SERVICE, BLUETOOTH, ADAPTER_RESET) if _remove(_drop_ins(unit))]
        if changed:
            await vm.run("systemctl", "daemon-reload")
        await vm.run("systemctl", "reset-failed", SERVICE, "bluetooth", may_fail=True)
        for folder in ("bluetooth", "mosquitto", "healthd"):
            _empty(Path("/var/lib") / folder)
        _empty(Path("/run/healthd"))
        self.journal.mark()
        self.bluez_journal.mark()
        # Side by side: each takes an emulated machine seconds, and none needs another.
        await asyncio.gather(self._start_broker(), self.plug())

    async def plug(self) -> None:
        """Plug the adapter in, and wait until BlueZ has it."""
        await self.radio.plug()
        await until(vm.adapter_is_powered, "BlueZ powers the adapter")

    async def _start_broker(self) -> None:
        await vm.run("systemctl", "start", "mosquitto")
        await self.broker.start()

    async def close(self) -> None:
        """Stop healthd, the straps and the subscriber."""
        # After an uninstallation there is nothing to stop.
        if (await vm.unit(SERVICE, "LoadState"))["LoadState"] == "loaded":
            await vm.run("systemctl", "stop", SERVICE)
        await self.broker.stop()
        await self.radio.close()

    async def strap(
        self,
        id: str = "strap",
        *,
        name: str | None = None,
        in_range: bool = True,
        period: float = 1.0,
        build: Callable[..., VirtualPeripheral] = chest_strap,
    ) -> Strap:
        """Make a strap.

        Args:
            id: its id in the settings; its address depends on the number of straps so far.
            name: the name that it advertises; None for its id.
            in_range: whether it advertises at once.
            period: seconds between two samples.
            build: makes the device; the simulator's chest strap by default.
        """
        strap = Strap(id, f"C4:00:00:00:00:{len(self.straps) + 1:02X}")
        record: Callable[[Sent], None] = strap.record
        strap.built(build(name or id, strap.address, NumberedHeart(), period=period, record=record))
        self.straps[id] = strap
        await self.radio.add(strap.peripheral)
        if in_range:
            await strap.peripheral.appear()
        return strap

    def listen(self, device: Listened, broadcaster: Broadcaster) -> None:
        """Let a device that only advertises begin to do so; it is listened to from then on."""
        self.listened[device.id] = device
        self._advertising[device.id] = asyncio.create_task(device.run(broadcaster), name=device.id)

    def configure(
        self,
        straps: Iterable[Strap] | None = None,
        *,
        silence: str | None = None,
        more: str = "",
        own: Mapping[str, str] | None = None,
    ) -> None:
        """Write healthd's settings.

        Args:
            straps: the straps in the settings; None for all straps of the case.
            silence: how long a stream may be silent.
            more: further TOML, before the peripherals.
            own: further TOML for a strap, by its id.
        """
        lines = [f'[gateway]\nid = "{GATEWAY}"', '[outbox]\nmax_size = "4MB"', more]
        for strap in self.straps.values() if straps is None else straps:
            lines.append(f'[[peripherals]]\nid = "{strap.id}"\naddress = "{strap.address}"')
            if silence:
                lines.append(f'silence = "{silence}"')
            lines.append((own or {}).get(strap.id, ""))
        for device in self.listened.values():
            lines.append(f'[[peripherals]]\nid = "{device.id}"\naddress = "{device.address}"')
            lines.append(device.settings)
        _SETTINGS.write_text("\n".join(lines) + "\n")

    async def start(self) -> None:
        """Start the service."""
        # Without waiting for READY=1: each case waits for what it needs.
        await vm.run("systemctl", "start", "--no-block", SERVICE)

    async def start_streaming(self, *, silence: str | None = None, more: str = "") -> None:
        """Write the settings, start the service, and wait until every strap streams."""
        self.configure(silence=silence, more=more)
        await self.start()
        await self.streaming(*self.straps.values())

    async def streaming(
        self, *straps: Numbered, since: float | None = None, timeout_s: float = START_S
    ) -> None:
        """Wait until a sample of each strap has arrived that was sent after ``since`` (or now)."""
        moment = time.monotonic() if since is None else since
        waiting = list(straps)

        def all_stream() -> bool:
            waiting[:] = [strap for strap in waiting if not strap.streams_since(moment)]
            return not waiting

        try:
            await until(all_stream, "samples of all straps", timeout_s)
        except Failed:
            silent = {strap.id: self.broker.state(strap.id) for strap in waiting}
            raise Failed(f"no samples within {timeout_s:.0f} s: {silent}") from None

    @asynccontextmanager
    async def fault(self, *straps: Numbered, takes_samples: bool = True) -> AsyncGenerator[None]:
        """Mark the block as a fault; recovery is timed from its end.

        Args:
            straps: the straps whose links it affects; all straps of the case if none is given.
            takes_samples: whether samples that are sent before the link is back may be lost. They
                may not if the link itself remains.
        """
        began_at = time.monotonic()
        affected = {strap.id for strap in straps or self._numbered}
        yield
        self._fault_ended_at = time.monotonic()
        if takes_samples:
            # `recovered` sets the end, when the link is back.
            self._windows.append(Window(affected, began_at))

    async def recovered(self, *straps: Numbered, timeout_s: float = RECOVERY_S) -> None:
        """Wait until samples of each strap arrive again; note how long the slowest took."""
        ended_at = self._fault_ended_at
        await self.streaming(*straps, since=ended_at, timeout_s=timeout_s)
        firsts = [first for strap in straps if (first := strap.first_after(ended_at))]
        self.recovery_s = round(max(at for _, at in firsts) - ended_at, 2)
        back_at = max(strap.sent[number] for strap, (number, _) in zip(straps, firsts, strict=True))
        for window in self._windows:
            window.end = min(window.end, back_at)
        # One more sample of each: duplicates appear only from the second one on.
        await self.streaming(*straps)

    def excuse_last_of_links(self) -> None:
        """Excuse the samples that were on their way when healthd ended a link."""
        for strap in self.straps.values():
            for at in self.radio.end_times(strap.address):
                self._windows.append(Window({strap.id}, at, at))

    async def service_state(self) -> dict[str, str]:
        """Return what systemd reports about the service."""
        names = ("ActiveState", "MainPID", "NRestarts", "Result", "ExecMainStatus", "WatchdogUSec")
        return await vm.unit(SERVICE, *names)

    async def settled(self) -> Counts:
        """End the streams, wait for samples on their way, and account for every sample."""
        for strap in self.straps.values():
            strap.peripheral.go_silent()
        for task in self._advertising.values():
            task.cancel()
        with suppress(Failed):  # the counts contain the lost samples
            await until(lambda: not self._weigh().lost, "every sample arrives", _SETTLE_S)
        return self._weigh()

    async def journal_faults(self, *, allow_stack: bool = False) -> list[str]:
        """Return what healthd's journal must not contain, but does.

        Args:
            allow_stack: allow lines that are not JSON, as after a crash below Python.
        """
        faults: list[str] = []
        for line in await self.journal.lines():
            try:
                entry: object = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict) and not allow_stack:
                faults.append(f"not JSON: {line}")
            if _ADDRESS.search(line) or _VALUES.search(line):
                faults.append(f"an address or a value: {line}")
        return faults

    def _weigh(self) -> Counts:
        return weigh(self._numbered, self._windows)

    @property
    def _numbered(self) -> tuple[Numbered, ...]:
        return *self.straps.values(), *self.listened.values()

    def _on_sample(self, peripheral: str, stream: str, payload: dict[str, Any], at: float) -> None:
        device = self.listened.get(peripheral)
        if device is not None and stream == device.stream:
            number, intact = device.number_of(payload)
            device.arrived[number].append(Arrival(at, payload["id"], intact))
            return
        strap = self.straps.get(peripheral)
        if stream != "heart_rate" or strap is None:
            self.results[peripheral, stream].append(payload)
            return
        number = payload["energy_expended_kj"]
        # A published interval has so many decimals that it converts back to what was sent.
        intervals = [round(ms * 1024 / 1000) for ms in payload["rr_intervals_ms"]]
        intact = payload["heart_rate_bpm"] == rate_of(number) and intervals == [interval_of(number)]
        strap.arrived[number].append(Arrival(at, payload["id"], intact))


def drop_in(name: str, text: str, unit: str = SERVICE) -> None:
    """Change a unit for this case; call `systemctl daemon-reload` afterwards."""
    folder = _drop_ins(unit)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.conf").write_text(text)


def _drop_ins(unit: str) -> Path:
    return _UNITS / f"{unit}.d"


def _remove(folder: Path) -> bool:
    """Remove a folder; return whether it existed."""
    existed = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return existed


def _empty(folder: Path) -> None:
    if folder.exists():
        for inner in folder.iterdir():
            shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
