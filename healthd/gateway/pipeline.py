"""Notification -> measurement -> sample -> outbox: all data takes this path."""

from collections import Counter
from collections.abc import Iterable
from functools import partial

from healthd.errors import DecodeError, Sealed
from healthd.events import ControlEvent
from healthd.gateway.facts import facts_of, fetch_event
from healthd.gateway.gaps import Gaps
from healthd.gateway.held_results import HeldResult
from healthd.gateway.hooks import Hooks
from healthd.gateway.link_events import LinkEvents
from healthd.gateway.personal import copy_for_person
from healthd.gateway.seals import Seals
from healthd.gateway.settling import Settling
from healthd.gateway.too_fast import TooFast
from healthd.log import get_logger
from healthd.mqtt.devices import Devices
from healthd.outbox.outbox import Outbox
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.packet.text import clean
from healthd.profiles.reader import Reader, Undecoded
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.profiles.results.episodes import restore
from healthd.runs import Run
from healthd.samples import LONGEST_DELAY_NS, MOST_RECORDS, Sample, Stamp, utc_text
from healthd.sessions.listening import AMBIGUOUS
from healthd.sessions.periodic import Fetched
from healthd.sessions.session import State

# Uses whose streams are continuous. Not STATUS (sent only on change) or STATIC (no stream).
# CONTROL, because its response can release held-back samples of a stream.
_CONTINUOUS = (Use.STREAM, Use.CONTROL)

# By change of a control event: whether healthd controls the machine afterwards.
_CONTROLLED = {"granted": True, "released": False, "release_failed": False, "lost": False}

# Reason given when a peripheral was stopped on purpose.
_STOPPED = "stopped"


class Pipeline:
    """Observes the sessions: turns what they read into samples and into facts about devices."""

    def __init__(
        self,
        run: Run,
        outbox: Outbox,
        devices: Devices,
        registry: Registry,
        hooks: Hooks | None = None,
    ) -> None:
        """Start without peripherals.

        Args:
            run: makes the samples.
            outbox: stores the samples until they are delivered.
            devices: publishes what is known about each device.
            registry: what healthd can read.
            hooks: what else happens to samples and results; None for nothing.
        """
        self._run = run
        self._outbox = outbox
        self._devices = devices
        self._registry = registry
        self._options: dict[str, Options] = {}
        self._records: dict[str, Records] = {}
        self._gaps = Gaps(run, outbox.put)
        self._too_fast = TooFast(run, outbox.put)
        self._hooks = hooks or Hooks()
        self._settling = Settling(self._settle, lambda: run.clock.now().mono_ns)
        self._sample_counts: Counter[str] = Counter()
        self._readers: dict[str, Reader] = {}
        self._heard: dict[str, tuple[str, list[str]]] = {}
        self._links = LinkEvents(run, outbox.put, self._gaps)
        self._seals = Seals(self.on_no_data)
        self._log = get_logger(service="pipeline")

    def start(self, held: Iterable[HeldResult] = ()) -> None:
        """Continue where earlier runs ended; the outbox must be open.

        Args:
            held: results that they held back and perhaps did not publish.
        """
        self._gaps.resume(self._outbox.previous_runs)
        for peripheral, records in self._records.items():
            records.inherit(self._outbox.records.pop(peripheral, {}))
        for result in held:
            self._restore(result)

    def _restore(self, result: HeldResult) -> None:
        peripheral, timed, wall_ns, clock = result
        now = self._run.clock.now()
        if not 0 <= wall_ns <= now.wall_ns + LONGEST_DELAY_NS and now.clock == "synced":
            wall_ns = now.wall_ns  # from a file that is damaged, or of a clock that was wrong
        known = self.records(peripheral).results(timed.measurement.kind)
        if timed.record is not None and not known.add_if_new(timed.record):
            return
        restored = restore(timed, known)._replace(mono_ns=now.mono_ns)
        self._publish(peripheral, restored, Stamp(wall_ns, now.mono_ns, clock), Use.STREAM)

    def records(self, peripheral: str) -> Records:
        """Return which stored records of a device became samples: one object per peripheral."""
        if (records := self._records.get(peripheral)) is None:
            settle = partial(self._outbox.update_records, peripheral)
            records = Records(settle, partial(self._on_full, peripheral))
            records.inherit(self._outbox.records.pop(peripheral, {}))
            self._records[peripheral] = records
        return records

    def _on_full(self, peripheral: str) -> None:
        self._log.warning("oldest records forgotten", peripheral=peripheral, kept=MOST_RECORDS)

    def add(self, peripheral: str, options: Options, *, periodic: bool) -> None:
        """Accept a peripheral; call it before its session starts.

        Args:
            peripheral: its id.
            options: what its profiles need to know.
            periodic: whether it is linked for its runs only.
        """
        self._options[peripheral] = options
        self._gaps.add(peripheral, periodic=periodic)

    def remove(self, peripheral: str) -> None:
        """Forget a peripheral whose session has ended; values that arrive late are dropped.

        Its streams are kept: a new session continues them.
        """
        self._options.pop(peripheral, None)
        self._readers.pop(peripheral, None)
        self._heard.pop(peripheral, None)
        self._seals.remove(peripheral)
        self._devices.remove(peripheral)

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """See ``sessions.session.Observer``."""
        self._devices.on_state(peripheral, state.value, reason, online=state is State.STREAMING)
        if reason == AMBIGUOUS:
            self._drop(peripheral)
        if state in (State.WAITING, State.DISABLED) or reason is not None:
            self._heard.pop(peripheral, None)
            self._release(peripheral)
            self._gaps.interrupt(peripheral, reason or _STOPPED)
        if state is State.DISABLED:
            self._too_fast.end(peripheral)
            self._gaps.release(peripheral)
        if state is State.STREAMING:
            self._links.begin(peripheral)
        else:
            self._links.end(peripheral, reason or _STOPPED)

    def _drop(self, peripheral: str) -> None:
        """Forget what is held back: it may have been measured by a device of someone else."""
        if (reader := self._readers.pop(peripheral, None)) and reader.settles:
            self._settling.schedule(peripheral, None)
            now = self._run.clock.now()
            self._hooks.on_held(peripheral, (), self.records(peripheral), now)

    def _release(self, peripheral: str) -> None:
        """Publish what was held back on a link that has ended: it was measured before the gap."""
        if reader := self._readers.get(peripheral):
            self._publish_held(peripheral, reader, reader.end())

    def _settle(self, peripheral: str) -> None:
        """Publish what was held back for long enough."""
        if reader := self._readers.get(peripheral):
            now_ns = self._run.clock.now().mono_ns
            self._publish_held(peripheral, reader, reader.settle(now_ns))

    def _publish_held(self, peripheral: str, reader: Reader, held: Iterable[Timed]) -> None:
        now = self._run.clock.now()
        for timed in held:
            self._publish(peripheral, timed, now, Use.STREAM)
        if reader.settles:
            self._follow(peripheral, reader, now)

    def _follow(self, peripheral: str, reader: Reader, now: Stamp) -> None:
        """Note what the reader holds back now, and until when."""
        self._settling.schedule(peripheral, reader.due_ns)
        self._hooks.on_held(peripheral, reader.held, self.records(peripheral), now)

    def on_control(self, event: ControlEvent) -> None:
        """See ``sessions.session.Observer``."""
        self._outbox.put(self._run.event(event))
        if event.change in _CONTROLLED:
            self._devices.on_facts(event.peripheral, {"controlled": _CONTROLLED[event.change]})

    def sample_count(self, peripheral: str) -> int:
        """See ``sessions.periodic.FetchObserver``."""
        return self._sample_counts[peripheral]

    def on_fetched(self, peripheral: str, fetched: Fetched) -> None:
        """See ``sessions.periodic.FetchObserver``."""
        event = fetch_event(peripheral, fetched)
        self._outbox.put(self._run.event(event))
        self._devices.on_fetch(peripheral, {"outcome": event.outcome, "reason": event.reason})

    def on_due(self, peripheral: str, wall_ns: int) -> None:
        """See ``sessions.periodic.FetchObserver``."""
        self._devices.on_fetch(peripheral, {"next_due": utc_text(wall_ns)})

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """See ``sessions.session.Observer``."""
        self._use(peripheral, name and clean(name), profiles, "")

    def on_heard(
        self, peripheral: str, name: str | None, profiles: list[str], address: str
    ) -> None:
        """See ``sessions.session.Observer``."""
        name = name and clean(name)
        if self._heard.get(peripheral) == (address, profiles):
            # Only its name is new: a weighing that it may be in the middle of goes on.
            self._devices.on_facts(peripheral, {"name": name})
            return
        self._heard[peripheral] = (address, profiles)
        self._seals.forget(peripheral)
        self._use(peripheral, name, profiles, address)

    def _use(self, peripheral: str, name: str | None, profiles: list[str], address: str) -> None:
        # What a value after the end of the last link has left.
        self._release(peripheral)
        options = self._options[peripheral]
        self._readers[peripheral] = Reader(self._registry, options, name, profiles, address)
        self._devices.on_linked(peripheral, name, profiles)

    def on_left_out(self, peripheral: str, uuids: list[str]) -> None:
        """See ``sessions.session.Observer``."""
        self._devices.on_facts(peripheral, {"left_out": uuids})

    def on_no_data(self, peripheral: str, reason: str | None) -> None:
        """See ``sessions.session.Observer``."""
        self._devices.on_reason(peripheral, reason)

    def on_too_fast(self, peripheral: str, uuid: str) -> None:
        """See ``sessions.session.Observer``."""
        self._too_fast.note(peripheral, self._registry.source(uuid).model.kind)

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Decode one value and publish what it means."""
        stamp = self._run.clock.now()
        if (reader := self._readers.get(peripheral)) is None:
            return  # from a link that BlueZ did not end when it was asked to
        try:
            measurements = reader.take(characteristic, value, stamp.mono_ns)
        except Sealed as error:
            self._seals.note(peripheral, error)
            return
        except DecodeError as error:
            self._on_undecoded(peripheral, characteristic, value, error, stamp)
            return
        if peripheral in self._heard:
            self._seals.note_decoded(peripheral)
        for timed in measurements:
            if timed.fact:
                facts = facts_of(timed.measurement, characteristic.use)
                self._devices.on_facts(peripheral, facts)
            else:
                self._publish(peripheral, timed, stamp, characteristic.use)
        if reader.notices_jump():
            self._log.warning("device clock jumped, times follow arrival", peripheral=peripheral)
        if reader.settles:
            self._follow(peripheral, reader, stamp)

    def _on_undecoded(
        self,
        peripheral: str,
        characteristic: Characteristic,
        value: bytes,
        error: DecodeError,
        stamp: Stamp,
    ) -> None:
        self._log.debug("undecoded", peripheral=peripheral, uuid=characteristic.uuid)
        # A control point carries no data, so nothing is lost if it is not understood.
        if characteristic.use is not Use.CONTROL:
            unknown = Undecoded(hex=value.hex(), size_bytes=len(value), error=str(error))
            stream = f"undecoded/{characteristic.uuid}"
            self._put(characteristic.use, self._run.sample(peripheral, stream, unknown, stamp))

    def _publish(self, peripheral: str, timed: Timed, arrival: Stamp, use: Use) -> None:
        made = self._hooks.finish(peripheral, timed) if timed.finished else timed.measurement
        delay_ns = arrival.mono_ns - timed.mono_ns
        stamp = arrival.earlier(delay_ns) if delay_ns else arrival
        sample = self._run.sample(
            peripheral, made.kind, made, stamp, delay_ns, timed.record, stored=timed.stored
        )
        if timed.finished:
            copy = copy_for_person(self._run, self.records(peripheral), timed, sample)
            if copy is not None:
                self._deliver(copy, continuous=False)
        self._put(use, sample)

    def _put(self, use: Use, sample: Sample) -> None:
        if continuous := use in _CONTINUOUS:
            self._sample_counts[sample.peripheral] += not sample.measurement.intermediate
        self._deliver(sample, continuous=continuous)

    def _deliver(self, sample: Sample, *, continuous: bool) -> None:
        self._gaps.before_sample(sample, continuous=continuous)
        self._outbox.put(sample)
        if not sample.stored:
            self._hooks.on_live(sample)
