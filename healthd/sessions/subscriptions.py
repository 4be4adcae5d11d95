"""What a session reads from one peripheral: subscribed, read once, and checked for silence."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from healthd.central.faults import LinkFault, LinkLost, Remedy
from healthd.central.link import Link
from healthd.log import get_logger
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.device_key import DeviceKey
from healthd.sessions.faults import NoKey, NothingToRead, NotificationStalled, Unanswered
from healthd.sessions.loading import load_profiles
from healthd.sessions.memory import DeviceMemory, Memories, Step
from healthd.sessions.plan import Plan, due, lack, plan_for, profiles_of
from healthd.sessions.steps import Steps
from healthd.sessions.values import Explain, Values
from healthd.supervision.deadline import timeout_at

# A subscription may wait until the device is paired, so only the link's own limit counts.
_SUBSCRIBE_S = 35.0

# A link that ends within this time may have been cost by one of the last steps (see ``steps``). For
# that to be judged, the reason is waited for.
_SETTLED_S = 6.0

# A deadline from this length on is judged at a whole second: all links are then looked at in one
# wake-up of the process. A short one would become much longer by that.
_LONG_S = 10.0

# How many links in a row the subscription of a measurement may cost, if there are others. Links
# end by chance, too, and a measurement that is left out is missed more than a serial number.
_TOLERATED = 1


class Subscriptions:
    """Reads one peripheral, on one link after the other.

    Attributes:
        heard: when each subscribed characteristic of this link sent its last value, by the
            monotonic clock; before the first value, when it was subscribed.
        received: how many values each characteristic of this link has sent.
        last_value_at: when any stream of this link sent its last value; None before the first one.
        flows: set once a measurement of this link has sent a value.
        facts: the static values that were read on this link, by UUID.
        key: the key of the device, read for this link.
    """

    def __init__(
        self,
        peripheral: str,
        registry: Registry,
        observer: Values,
        explain: Explain,
        listeners: Mapping[str, Callable[[bytes], None]] | None = None,
        service: str | None = None,
        key: DeviceKey | None = None,
    ) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            registry: what healthd reads.
            observer: receives links and values.
            explain: returns what a refusal means, taking the device's bond into account.
            listeners: by UUID, what is called with notified values in addition to the observer.
            service: UUID of the service that the settings ask for; None if they ask for none.
            key: the key of the device; None for a device that has none.
        """
        self.key = key or DeviceKey(peripheral, lambda: None)
        self.heard: dict[str, float] = {}
        self.received: Counter[str] = Counter()
        self.facts: dict[str, bytes] = {}
        self.last_value_at: float | None = None
        self.flows = asyncio.Event()
        self._peripheral = peripheral
        self._registry = registry
        self._observer = observer
        self._explain = explain
        self._listeners = listeners or {}
        self._service = service
        self._bond_fault_logged = False
        self._memories = Memories()
        self._memory: DeviceMemory
        self._plan: Plan
        self._steps: Steps | None = None
        self._measured: set[str] = set()
        self._asked: set[str] = set()
        self._log = get_logger(peripheral=peripheral)

    async def prepare(self, link: Link, *, refreshed: bool) -> list[Profile]:
        """Subscribe to the measurements of the device; return its profiles.

        Args:
            link: a new link.
            refreshed: whether its services were just discovered again, so that what is missing
                now is really missing.

        Raises:
            LinkFault: there is nothing to read or less than expected, or the link ended.
        """
        self.heard.clear()
        self.received.clear()
        self.facts.clear()
        self.last_value_at = None
        self.flows.clear()
        self._memory = memory = self._memories.of(link.found)
        self._steps = steps = Steps(link, memory, self._peripheral)
        await load_profiles(self._registry, link.services | link.characteristics)
        await self.key.load(profiles_of(self._registry, link))
        has_key = self.key.value is not None
        self._plan = plan = plan_for(self._registry, link, has_key=has_key)
        self._measured = {measurement.uuid for measurement in plan.measurements}
        self._asked = {control.uuid for control in plan.asked}
        names = [profile.name for profile in plan.profiles]
        self._observer.on_linked(self._peripheral, link.found.name, names)
        self._report_locked()
        self._check(link, refreshed)
        for fact in plan.first:
            await self._optional(link, steps, Step("read", fact.uuid), fact)
        # The only measurement is never left out.
        tolerated = _TOLERATED if len(plan.measurements) > 1 else None
        for measurement in due(plan, memory):
            step = Step("subscribe", measurement.uuid)
            subscribe = partial(self._subscribe, link, measurement)
            await steps.run(step, subscribe, tolerated=tolerated, limit_s=_SUBSCRIBE_S)
        return plan.profiles

    async def complete(self, link: Link) -> None:
        """Read and subscribe to what else the device has; measurements already flow.

        What the device refuses is skipped. If it does not answer at all, the rest is skipped, too.

        Raises:
            LinkLost: the link ended; the step that it ended in is left out on the next ones.
        """
        assert self._steps is not None, "prepare() must be called before complete()"
        try:
            for step, characteristic in self._plan.rest(link):
                await self._optional(link, self._steps, step, characteristic)
        except Unanswered as fault:
            self._log.debug("device does not answer", error=str(fault))
        if left_out := self._steps.left_out | (self._measured - self.heard.keys()):
            self._observer.on_left_out(self._peripheral, sorted(left_out))

    def may_write(self, uuid: str) -> bool:
        """Return whether an optional write is to be made: it has not cost an earlier link."""
        return self._steps is None or not self._steps.leaves_out(Step("write", uuid))

    def judge_writes(
        self, cost: tuple[str, LinkFault] | None, survived: Mapping[str, float], end: LinkFault
    ) -> None:
        """Judge the optional writes of a link that has ended.

        Args:
            cost: the one in which it ended, or that was not answered, and how; None if there is
                none.
            survived: when the others ended, by their control points.
            end: why the link ended.
        """
        assert self._steps is not None, "prepare() must be called before judge_writes()"
        if cost is not None:
            uuid, fault = cost
            self._steps.blame(Step("write", uuid), end if isinstance(fault, LinkLost) else fault)
        for uuid, at in survived.items():
            self._steps.note(Step("write", uuid), at)

    def end(self, fault: LinkFault) -> None:
        """Handle the end of a link, or of the attempt to make one."""
        if self._steps is not None:
            self._steps.end(fault, self.last_value_at)
            self._steps = None

    def _report_locked(self) -> None:
        """Report what cannot be read without a key.

        Raises:
            LinkFault: nothing else measures.
        """
        for profile in self._plan.locked:
            assert profile.pairing is not None, "only a profile with a key is locked"
            fault = NoKey(self._peripheral, profile.pairing.hint)
            if not self._plan.sources:
                raise fault
            self._log.warning(
                "profile setup failed", profile=profile.name, reason=fault.reason, error=str(fault)
            )

    def _check(self, link: Link, refreshed: bool) -> None:
        """Check that the discovered services are complete.

        Raises:
            LinkFault: they are not, and a fresh discovery may help.
        """
        memory = self._memory
        fault = lack(self._registry, link, self._plan, self._service, memory.streams)
        if isinstance(fault, NothingToRead):
            raise fault
        if fault is not None:
            if not refreshed and memory.may_refresh(str(fault)):
                raise fault
            if refreshed:
                memory.on_vain_refresh(str(fault))
        memory.streams = self._plan.sources

    async def _optional(
        self, link: Link, steps: Steps, step: Step, characteristic: Characteristic
    ) -> None:
        """Carry out a step, unless it cost an earlier link; skip what the device refuses."""
        plan = self._plan
        is_data = characteristic in plan.extras or characteristic in plan.first
        if steps.leaves_out(step, is_data=is_data):
            if (known := self._memory.facts.get(step.uuid)) is not None:
                self._take(characteristic, known)
            return
        work = self._read if step.verb == "read" else self._subscribe
        try:
            await steps.run(step, partial(work, link, characteristic))
        except (LinkLost, Unanswered):
            raise
        except LinkFault as fault:
            if fault.remedy is Remedy.BOND:
                await self._log_bond_fault(link, fault)
            # A value that cannot be read is no reason to give up the streams.
            self._log.debug(
                "characteristic not readable", characteristic=step.uuid, reason=fault.reason
            )

    @property
    def measures(self) -> bool:
        """Whether this link has anything that measures."""
        return bool(self._measured or self._asked)

    @property
    def only_answers(self) -> bool:
        """Whether this link has measurements, and each of them has to be requested."""
        return bool(self._asked) and not self._measured

    async def watch(self, link: Link, silence_s: float | None) -> NoReturn:
        """Wait until the link ends or a stream is silent past its deadline.

        Args:
            link: the link that was prepared.
            silence_s: replaces the deadline of every stream that has one.

        Raises:
            LinkFault: always; the end of the link, or ``NotificationStalled``.
        """
        deadlines = self.deadlines(silence_s)
        settled_at = time.monotonic() + _SETTLED_S
        while True:
            ends = [_look_at(self.heard[uuid], limit_s) for uuid, limit_s in deadlines.items()]
            try:
                async with timeout_at(min(ends, default=None)):
                    await link.lost(explained_until=settled_at)
            except TimeoutError:
                self._check_silence(deadlines)

    def deadlines(self, silence_s: float | None) -> dict[str, float]:
        """Return after how many seconds each stream of this link that has a deadline is silent."""
        return {
            uuid: silence_s or characteristic.silence_s
            for uuid in self.heard
            if (characteristic := self._registry.characteristics[uuid]).silence_s is not None
            # What only answers is silent between two requests; see ``polling``.
            and characteristic.use is not Use.CONTROL
        }

    def _check_silence(self, deadlines: Mapping[str, float]) -> None:
        now = time.monotonic()
        for uuid, silence_s in deadlines.items():
            silent_s = now - self.heard[uuid]
            if silent_s >= silence_s:
                raise NotificationStalled(uuid, silent_s)

    async def _subscribe(self, link: Link, characteristic: Characteristic) -> None:
        self.heard[characteristic.uuid] = time.monotonic()
        on_value = partial(self._on_value, characteristic)
        if listener := self._listeners.get(characteristic.uuid):
            on_value = partial(_both, on_value, listener)
        await link.subscribe(characteristic.uuid, on_value)

    async def _read(self, link: Link, characteristic: Characteristic) -> None:
        self._take(characteristic, await link.read(characteristic.uuid))

    def _take(self, characteristic: Characteristic, value: bytes) -> None:
        """Handle a value that was read: on this link, or on an earlier one if it is left out."""
        if characteristic.use is Use.STATIC:
            self.facts[characteristic.uuid] = self._memory.facts[characteristic.uuid] = value
        self._observer.on_value(self._peripheral, characteristic, value)

    async def _log_bond_fault(self, link: Link, fault: LinkFault) -> None:
        """Log, only once, how to get the values that require pairing."""
        if not self._bond_fault_logged:
            self._bond_fault_logged = True
            explained = await self._explain(link.found, fault)
            self._log.warning(
                "characteristic not readable", reason=explained.reason, error=str(explained)
            )

    def on_answer(self, control: Characteristic) -> None:
        """Note a message of a control point: what measures only on request sends such ones."""
        if control.uuid in self._asked:
            self.heard[control.uuid] = self.last_value_at = time.monotonic()
            self.received[control.uuid] += 1
            self.flows.set()

    def _on_value(self, characteristic: Characteristic, value: bytes) -> None:
        self.heard[characteristic.uuid] = now = time.monotonic()
        self.received[characteristic.uuid] += 1
        if characteristic.use is Use.STREAM:
            self.last_value_at = now
            if characteristic.uuid in self._measured:
                self.flows.set()
        self._observer.on_value(self._peripheral, characteristic, value)


def _both(first: Callable[[bytes], None], second: Callable[[bytes], None], value: bytes) -> None:
    first(value)
    second(value)


def _look_at(heard: float, silence_s: float) -> float:
    """Return when to look whether a stream is silent, on the monotonic clock."""
    end = heard + silence_s
    return math.ceil(end) if silence_s >= _LONG_S else end
