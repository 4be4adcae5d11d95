"""Notification -> measurement -> sample -> outbox: the only way in for data."""

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

# A status changes when it changes, and an unreadable fact is no stream: neither can have a gap.
# What was held back until a control point said that there is no more belongs to a stream.
_CONTINUOUS = (Use.STREAM, Use.CONTROL)

# Whether a machine is held by requests, by what is told of its control.
_HELD = {"granted": True, "released": False, "release_failed": False, "lost": False}

# Why nothing comes of a peripheral that nothing is wanted of.
_STOPPED = "stopped"


class Pipeline:
    """Observes the sessions: turns what they read into samples and into what devices say."""

    def __init__(
        self,
        run: Run,
        outbox: Outbox,
        devices: Devices,
        registry: Registry,
        on_live: Callable[[Sample], None] | None = None,
    ) -> None:
        """Wire it.

        Args:
            run: makes the samples.
            outbox: takes them.
            devices: is told what is known of a device.
            registry: what there is to read.
            on_live: is told of every sample that belongs to a live topic.
        """
        self._run = run
        self._outbox = outbox
        self._devices = devices
        self._registry = registry
        self._options: dict[str, Options] = {}
        self._records: dict[str, Records] = {}
        self._gaps = Gaps(run, outbox.put)
        self._on_live = on_live
        self._taken: Counter[str] = Counter()
        self._readers: dict[str, Reader] = {}
        self._streaming: set[str] = set()
        self._log = get_logger(service="pipeline")

    def start(self) -> None:
        """Go on where the runs before ended, as the opened outbox knows it."""
        self._gaps.inherit(self._outbox.before)
        for peripheral, records in self._records.items():
            records.inherit(self._outbox.records.get(peripheral, {}))

    def records(self, peripheral: str) -> Records:
        """Which of a device's records were taken: the same as long as healthd runs."""
        if (records := self._records.get(peripheral)) is None:
            records = Records(partial(self._outbox.settle, peripheral))
            records.inherit(self._outbox.records.get(peripheral, {}))
            self._records[peripheral] = records
        return records

    def add(self, peripheral: str, options: Options, *, periodic: bool) -> None:
        """A session of this peripheral may begin.

        Args:
            peripheral: its id.
            options: what the settings say of it to its profiles.
            periodic: it is linked now and then.
        """
        self._options[peripheral] = options
        self._gaps.add(peripheral, periodic=periodic)

    def remove(self, peripheral: str) -> None:
        """Its session has ended: nothing is known of it any more, and what comes late is nobody's.

        Its streams stay what they are: with another session they go on.
        """
        self._options.pop(peripheral, None)
        self._readers.pop(peripheral, None)
        self._devices.remove(peripheral)

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """See ``central.session.Observer``."""
        self._devices.on_state(peripheral, state.value, reason, online=state is State.STREAMING)
        if state in (State.WAITING, State.DISABLED):
            self._release(peripheral)
            self._gaps.interrupt(peripheral, reason or _STOPPED)
        self._tell_link(peripheral, state, reason)

    def _release(self, peripheral: str) -> None:
        """Publish what was held back on a link that has ended: it was measured before the gap."""
        if reader := self._readers.get(peripheral):
            now = self._run.clock.now()
            for timed in reader.end():
                self._take(peripheral, timed, now, Use.STREAM)

    def _tell_link(self, peripheral: str, state: State, reason: str | None) -> None:
        """An event when streaming begins and ends; the tries between are nobody's news."""
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
        """See ``central.session.Observer``."""
        self._outbox.put(self._run.event(event))
        if event.change in _HELD:
            self._devices.on_facts(event.peripheral, {"controlled": _HELD[event.change]})

    def sample_count(self, peripheral: str) -> int:
        """See ``central.periodic.FetchObserver``."""
        return self._taken[peripheral]

    def on_fetched(self, peripheral: str, fetched: Fetched) -> None:
        """See ``central.periodic.FetchObserver``."""
        event = fetch_event(peripheral, fetched)
        self._outbox.put(self._run.event(event))
        self._devices.on_fetch(peripheral, {"outcome": event.outcome, "reason": event.reason})

    def on_due(self, peripheral: str, wall_ns: int) -> None:
        """See ``central.periodic.FetchObserver``."""
        self._devices.on_fetch(peripheral, {"next_due": utc_text(wall_ns)})

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """See ``central.session.Observer``."""
        options = self._options[peripheral]
        self._readers[peripheral] = Reader(self._registry, options, name, profiles)
        self._devices.on_linked(peripheral, name, profiles)

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Decode one value and send it where it belongs."""
        stamp = self._run.clock.now()
        if (reader := self._readers.get(peripheral)) is None:
            return  # of a link that BlueZ did not end when it was asked to
        sample = self._run.sample
        try:
            measurement = reader.read(characteristic, value)
        except DecodeError as error:
            self._log.debug("undecoded", peripheral=peripheral, uuid=characteristic.uuid)
            # A control point carries no data: what is not understood there is nobody's news.
            if characteristic.use is not Use.CONTROL:
                unknown = Undecoded(hex=value.hex(), size_bytes=len(value), error=str(error))
                stream = f"undecoded/{characteristic.uuid}"
                self._put(characteristic.use, sample(peripheral, stream, unknown, stamp))
            return
        if characteristic.use is Use.STATIC:
            self._devices.on_facts(peripheral, _facts(measurement))
            return
        if characteristic.use is Use.STATUS:
            self._devices.on_facts(peripheral, {measurement.kind: measurement.fields()})
        states = reader.states(characteristic)
        if not states and characteristic.use is not Use.CONTROL:
            self._put(characteristic.use, sample(peripheral, measurement.kind, measurement, stamp))
        for state in states:
            for timed in state.take(measurement, stamp.mono_ns):
                self._take(peripheral, timed, stamp, characteristic.use)

    def _take(self, peripheral: str, timed: Timed, arrival: Stamp, use: Use) -> None:
        """Make a sample of it, unless it is a record that was fetched before."""
        made, record, stored = timed.measurement, timed.record, timed.stored
        if record is not None and not self._options[peripheral].records.take(made.kind, record):
            return
        delay_ns = arrival.mono_ns - timed.mono_ns
        stamp = arrival.earlier(delay_ns) if delay_ns else arrival
        sample = self._run.sample(
            peripheral, made.kind, made, stamp, delay_ns, record, stored=stored
        )
        self._put(use, sample)

    def _put(self, use: Use, sample: Sample) -> None:
        if use in _CONTINUOUS:
            self._gaps.pass_by(sample)
            self._taken[sample.peripheral] += 1
        self._outbox.put(sample)
        if self._on_live is not None and not sample.stored:
            self._on_live(sample)


def fetch_event(peripheral: str, fetched: Fetched) -> FetchEvent:
    """What is told of a run."""
    return FetchEvent(
        peripheral=peripheral,
        fetch_run=fetched.run,
        outcome=fetched.outcome,
        reason=fetched.reason,
        duration_s=fetched.duration_s,
        samples=fetched.samples,
        due=utc_text(fetched.due_ns),
    )


def _facts(measurement: Measurement) -> dict[str, Any]:
    """What is known by it: who the device is as it is, anything else under its kind's name."""
    fields = measurement.fields()
    own = {key: fields[key] for key in fields.keys() - Measurement.model_fields.keys()}
    return own if measurement.identifies else {measurement.kind: own}
