"""Notification -> measurement -> sample -> outbox: the only way in for data."""

from typing import Annotated, ClassVar

from healthd.central.session import State
from healthd.errors import DecodeError
from healthd.events import LinkEvent
from healthd.gaps import Gaps
from healthd.log import get_logger
from healthd.mqtt.devices import Devices
from healthd.outbox.outbox import Outbox
from healthd.profiles.characteristic import Characteristic, Use
from healthd.runs import Run
from healthd.samples import Measurement, quantity


class Undecoded(Measurement):
    """Bytes that no decoder understands: unknown data is still data."""

    kind: ClassVar[str] = "undecoded"

    hex: str
    size_bytes: Annotated[int, quantity("By")]
    error: str


class Pipeline:
    """Observes the sessions: turns what they read into samples and into what devices say."""

    def __init__(self, run: Run, outbox: Outbox, devices: Devices) -> None:
        """Samples go to ``outbox``, what is known of a device to ``devices``."""
        self._run = run
        self._outbox = outbox
        self._devices = devices
        self._gaps = Gaps(run, outbox.put)
        self._streaming: set[str] = set()
        self._log = get_logger(service="pipeline")

    def start(self) -> None:
        """Go on where the runs before ended, as the opened outbox knows it."""
        self._gaps.inherit(self._outbox.before)

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """See ``central.session.Observer``."""
        self._devices.on_state(peripheral, state.value, reason, online=state is State.STREAMING)
        if state is State.WAITING:
            self._gaps.interrupt(peripheral, reason or state.value)
        self._tell_link(peripheral, state, reason)

    def _tell_link(self, peripheral: str, state: State, reason: str | None) -> None:
        """An event when streaming begins and ends; the tries between are nobody's news."""
        if state is State.STREAMING:
            self._streaming.add(peripheral)
            event = LinkEvent(peripheral=peripheral, change="up")
        elif peripheral in self._streaming:
            self._streaming.remove(peripheral)
            event = LinkEvent(peripheral=peripheral, change="down", reason=reason or "stopped")
        else:
            return
        self._outbox.put(self._run.event(event))

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """See ``central.session.Observer``."""
        self._devices.on_linked(peripheral, name, profiles)

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Decode one value and send it where it belongs."""
        stamp = self._run.clock.now()
        try:
            measurement = characteristic.decode(value)
            stream = measurement.kind
        except DecodeError as error:
            measurement = Undecoded(hex=value.hex(), size_bytes=len(value), error=str(error))
            stream = f"undecoded/{characteristic.uuid}"
            self._log.debug("undecoded", peripheral=peripheral, uuid=characteristic.uuid)
        else:
            if characteristic.use is Use.STATIC:
                facts = measurement.fields()
                own = facts.keys() - Measurement.model_fields.keys()
                self._devices.on_facts(peripheral, {key: facts[key] for key in own})
                return
            if characteristic.use is Use.STATUS:
                self._devices.on_facts(peripheral, {measurement.kind: measurement.fields()})
        sample = self._run.sample(peripheral, stream, measurement, stamp)
        if characteristic.use is Use.STREAM:
            self._gaps.pass_by(sample)
        self._outbox.put(sample)
