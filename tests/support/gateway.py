"""The radio side of healthd with the real bleak, on the system bus of the environment."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from healthd.central.adapters import Adapters
from healthd.central.bonds import Bonds, BondSettings
from healthd.central.link import Backends
from healthd.central.radio import Radio
from healthd.central.recovery import Recovery
from healthd.central.scanner import discard_bluez
from healthd.central.slots import Slots
from healthd.central.watch import Watch
from healthd.events import AdapterChange, ControlEvent
from healthd.gateway.entry import match_for
from healthd.host.clock import Clock
from healthd.log import get_logger
from healthd.profiles import registry
from healthd.profiles.characteristic import Characteristic
from healthd.runs import Run
from healthd.schedule import Every, Last, Schedule
from healthd.sessions.periodic import Fetched, Periodic, Plan
from healthd.sessions.schedule_file import ScheduleFile
from healthd.sessions.session import Session, State
from healthd.settings.model import PeripheralSettings
from healthd.supervision.supervisor import Supervisor

BOUND_S = 30.0

# Time for bleak's own pending tasks to end.
_SETTLE_S = 0.1


class Gateway:
    """Watch, radio and sessions under a supervisor; an async context manager that runs them.

    Attributes:
        adapter_events: what happened to adapters: change, name, detail.
        states: the states of the sessions: peripheral, state, reason.
        values: how many values of each peripheral have arrived.
        bonds: changes of bonds: peripheral, whether there is one.
        fetched: the results of the runs of periodic peripherals.
    """

    def __init__(
        self,
        *entries: PeripheralSettings,
        slots: int = 5,
        adapter: str | None = None,
        power_on: bool = True,
        reset_file: Path | None = None,
        bond_settings: Mapping[str, BondSettings] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Prepare; ``folder`` is for the schedule file of periodic peripherals."""
        known = registry.load()
        self.adapter_events: list[tuple[AdapterChange, str, str]] = []
        self.states: list[tuple[str, State, str | None]] = []
        self.values: Counter[str] = Counter()
        self.bonds: list[tuple[str, bool]] = []
        self.fetched: list[Fetched] = []
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()
        matches = [match_for(entry, known) for entry in entries]
        adapters, recovery = Adapters(adapter, followed=True), Recovery()
        bonds = Bonds(self._on_bond)
        self.radio = Radio(Backends(), Slots(slots), adapters, recovery, bonds)
        for match in matches:
            self.radio.add(match)
        self.recovery = recovery
        for peripheral, settings in (bond_settings or {}).items():
            bonds.add(peripheral, settings)
        watch = Watch(
            self.radio,
            adapters,
            recovery,
            bonds,
            self._on_adapter,
            power_on=power_on,
            reset_file=reset_file,
        )
        self.radio.attach(watch)
        sessions = {one.peripheral: Session(one, self.radio, known, self) for one in matches}
        self._services = {"bluez": watch.run, "radio": self.radio.run}
        self._services |= {peripheral: session.run for peripheral, session in sessions.items()}
        for entry in entries:
            if entry.periodic:
                assert folder is not None
                self._services[entry.id] = self._periodic(entry, sessions[entry.id], folder).run
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start everything."""
        supervisor = Supervisor(random.Random(1))
        self._tasks = [
            asyncio.create_task(supervisor.keep(service, get_logger(service=name)))
            for name, service in self._services.items()
        ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything; sessions first, as the daemon does."""
        for task in reversed(self._tasks):
            task.cancel()
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait(self._tasks)
        discard_bluez()
        await asyncio.sleep(_SETTLE_S)
        assert all(task.cancelled() for task in self._tasks)

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """See ``sessions.session.Observer``."""
        self.states.append((peripheral, state, reason))
        self._wake()

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """See ``sessions.session.Observer``."""

    def on_heard(
        self, peripheral: str, name: str | None, profiles: list[str], address: str
    ) -> None:
        """See ``sessions.session.Observer``."""

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """See ``sessions.session.Observer``."""
        self.values[peripheral] += 1
        self._wake()

    def on_too_fast(self, peripheral: str, uuid: str) -> None:
        """See ``sessions.session.Observer``."""

    def on_left_out(self, peripheral: str, uuids: list[str]) -> None:
        """See ``sessions.session.Observer``."""

    def on_no_data(self, peripheral: str, reason: str | None) -> None:
        """See ``sessions.session.Observer``."""

    def on_control(self, event: ControlEvent) -> None:
        """See ``sessions.session.Observer``."""

    def sample_count(self, peripheral: str) -> int:
        """See ``sessions.periodic.FetchObserver``."""
        return self.values[peripheral]

    def on_fetched(self, peripheral: str, fetched: Fetched) -> None:
        """See ``sessions.periodic.FetchObserver``."""
        self.fetched.append(fetched)
        self._wake()

    def on_due(self, peripheral: str, wall_ns: int) -> None:
        """See ``sessions.periodic.FetchObserver``."""

    def reasons(self, peripheral: str = "strap") -> list[str | None]:
        """Return the reason of each state ``waiting`` of a peripheral's session."""
        return [
            reason
            for name, state, reason in self.states
            if name == peripheral and state is State.WAITING
        ]

    def changes(self) -> list[AdapterChange]:
        """Return the changes of adapters, without details."""
        return [change for change, _, _ in self.adapter_events]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until the condition holds; it is checked after each event."""
        try:
            async with asyncio.timeout(BOUND_S), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(
                (self.states[-20:], self.adapter_events[-20:], self.values)
            ) from None

    async def streams(self, *peripherals: str) -> None:
        """Wait until each peripheral has sent new values."""
        names = peripherals or ("strap",)
        before = self.values.copy()
        await self.until(lambda: all(self.values[name] >= before[name] + 3 for name in names))

    async def lost(self, *reasons: str, peripheral: str = "strap") -> None:
        """Wait until the session has waited for one of these reasons."""
        await self.until(lambda: any(reason in reasons for reason in self.reasons(peripheral)))

    def _periodic(self, entry: PeripheralSettings, session: Session, folder: Path) -> Periodic:
        run = Run(Clock(), {"BOOT_ID": "boot"})
        every_s = entry.every
        assert isinstance(every_s, float)

        def make(last: Last | None) -> Schedule:
            return Every(every_s, last, run.boot, run.clock.now())

        plan = Plan(make, entry.fetch_window_s, False, random.Random(1))
        return Periodic(entry.id, session, plan, run, ScheduleFile(folder), self)

    def _on_adapter(self, change: AdapterChange, adapter: str, detail: str) -> None:
        self.adapter_events.append((change, adapter, detail))
        self._wake()

    def _on_bond(self, peripheral: str, bonded: bool) -> None:
        self.bonds.append((peripheral, bonded))
        self._wake()

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.create_task(wake())
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)


def by_address(number: int = 1, peripheral: str = "strap") -> PeripheralSettings:
    """Return settings for the peripheral with this address."""
    return PeripheralSettings(id=peripheral, address=f"C0:00:00:00:00:{number:02X}")
