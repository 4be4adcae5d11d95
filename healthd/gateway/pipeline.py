"""Notification -> measurement -> sample -> outbox: all data takes this path."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from healthd.errors import DecodeError
from healthd.events import ControlEvent, FetchEvent, LinkEvent
from healthd.gateway.gaps import Gaps
from healthd.log import get_logger
from healthd.mqtt.devices import Devices
from healthd.outbox.outbox import Outbox
from healthd.profiles.characteristic import Characteristic, Options, Timed, Use
from healthd.profiles.reader import Reader, Undecoded
from healthd.profiles.records import Records
from healthd.profiles.registry import Registry
from healthd.runs import Run
from healthd.samples import Measurement, Sample, Stamp, utc_text
from healthd.sessions.periodic import Fetched
from healthd.sessions.session import State

# Uses whose samples are checked for gaps. Not STATUS (sent only on change) or STATIC (no stream).
# CONTROL, because its response can release held-back samples of a stream.
_USES_WITH_GAPS = (Use.STREAM, Use.CONTROL)

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
        on_live: Callable[[Sample], None] | None = None,
    ) -> None:
        """Start without peripherals.

        Args:
            run: makes the samples.
            outbox: stores the samples until they are delivered.
            devices: publishes what is known about each device.
            registry: what healthd can read.
            on_live: called with every sample that belongs to a live topic.
        """
        self._run = run
        self._outbox = outbox
        self._devices = devices
        self._registry = registry
        self._options: dict[str, Options] = {}
        self._records: dict[str, Records] = {}
        self._gaps = Gaps(run, outbox.put)
        self._on_live = on_live
        self._sample_counts: Counter[str] = Counter()
        self._readers: dict[str, Reader] = {}
        self._streaming: set[str] = set()
        self._log = get_logger(service="pipeline")

    def start(self) -> None:
        """Continue where earlier runs ended; the outbox must be open."""
        self._gaps.resume(self._outbox.previous_runs)
        for peripheral, records in self._records.items():
            records.inherit(self._outbox.records.get(peripheral, {}))

    def records(self, peripheral: str) -> Records:
        """Return which stored records of a device became samples: one object per peripheral."""
        if (records := self._records.get(peripheral)) is None:
            records = Records(partial(self._outbox.update_records, peripheral))
            records.inherit(self._outbox.records.get(peripheral, {}))
            self._records[peripheral] = records
        return records

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
        self._devices.remove(peripheral)

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """See ``sessions.session.Observer``."""
        self._devices.on_state(peripheral, state.value, reason, online=state is State.STREAMING)
        if state in (State.WAITING, State.DISABLED):
            self._release(peripheral)
            self._gaps.interrupt(peripheral, reason or _STOPPED)
        self._put_link_event(peripheral, state, reason)

    def _release(self, peripheral: str) -> None:
        """Publish what was held back on a link that has ended: it was measured before the gap."""
        if reader := self._readers.get(peripheral):
            now = self._run.clock.now()
            for timed in reader.end():
                self._publish(peripheral, timed, now, Use.STREAM)

    def _put_link_event(self, peripheral: str, state: State, reason: str | None) -> None:
        """Put an event when streaming begins and ends, but not for the attempts in between."""
        if state is State.STREAMING:
            self._streaming.add(peripheral)
            event = LinkEvent(peripheral=peripheral, change="up")
        elif peripheral in self._streaming:
            self._streaming.remove(peripheral)
            event = LinkEvent(peripheral=peripheral, change="down", reason=reason or _STOPPED)
        else:
            return
        self._outbox.put(self._run.event(event))

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
        options = self._options[peripheral]
        self._readers[peripheral] = Reader(self._registry, options, name, profiles)
        self._devices.on_linked(peripheral, name, profiles)

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Decode one value and publish what it means."""
        stamp = self._run.clock.now()
        if (reader := self._readers.get(peripheral)) is None:
            return  # from a link that BlueZ did not end when it was asked to
        try:
            measurements = reader.take(characteristic, value, stamp.mono_ns)
        except DecodeError as error:
            self._on_undecoded(peripheral, characteristic, value, error, stamp)
            return
        for timed in measurements:
            if timed.fact:
                facts = _facts(timed.measurement, characteristic.use)
                self._devices.on_facts(peripheral, facts)
            else:
                self._publish(peripheral, timed, stamp, characteristic.use)

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
        made = timed.measurement
        delay_ns = arrival.mono_ns - timed.mono_ns
        stamp = arrival.earlier(delay_ns) if delay_ns else arrival
        sample = self._run.sample(
            peripheral, made.kind, made, stamp, delay_ns, timed.record, stored=timed.stored
        )
        self._put(use, sample)

    def _put(self, use: Use, sample: Sample) -> None:
        if use in _USES_WITH_GAPS:
            self._gaps.before_sample(sample)
            self._sample_counts[sample.peripheral] += 1
        self._outbox.put(sample)
        if self._on_live is not None and not sample.stored:
            self._on_live(sample)


def fetch_event(peripheral: str, fetched: Fetched) -> FetchEvent:
    """Make the event that reports a run."""
    return FetchEvent(
        peripheral=peripheral,
        fetch_run=fetched.run,
        outcome=fetched.outcome,
        reason=fetched.reason,
        duration_s=fetched.duration_s,
        samples=fetched.samples,
        due=utc_text(fetched.due_ns),
    )


def _facts(measurement: Measurement, use: Use) -> dict[str, Any]:
    """Return what it adds to the device's info: under its kind, unless it identifies the device."""
    fields = measurement.fields()
    if use is not Use.STATIC:
        return {measurement.kind: fields}
    own = {key: fields[key] for key in fields.keys() - Measurement.model_fields.keys()}
    return own if measurement.identifies else {measurement.kind: own}
