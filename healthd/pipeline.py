"""Notification -> measurement -> sample -> outbox: the only way in for data."""

from collections import Counter
from typing import Annotated, ClassVar

from healthd.central.session import State
from healthd.clock import Clock
from healthd.errors import DecodeError
from healthd.log import get_logger
from healthd.mqtt.devices import Devices
from healthd.outbox.outbox import Outbox
from healthd.profiles.characteristic import Characteristic, Use
from healthd.samples import Measurement, Sample, quantity


class Undecoded(Measurement):
    """Bytes that no decoder understands: unknown data is still data."""

    kind: ClassVar[str] = "undecoded"

    hex: str
    size_bytes: Annotated[int, quantity("By")]
    error: str


class Pipeline:
    """Observes the sessions: turns what they read into samples and into what devices say."""

    def __init__(self, run: str, clock: Clock, outbox: Outbox, devices: Devices) -> None:
        """``run`` is the id of this run of the daemon, part of every sample's id."""
        self._run = run
        self._clock = clock
        self._outbox = outbox
        self._devices = devices
        self._last_seq: Counter[tuple[str, str]] = Counter()
        self._log = get_logger(service="pipeline")

    def on_state(self, peripheral: str, state: State, reason: str | None) -> None:
        """See ``central.session.Observer``."""
        self._devices.on_state(peripheral, state.value, reason, online=state is State.STREAMING)

    def on_linked(self, peripheral: str, name: str | None, profiles: list[str]) -> None:
        """See ``central.session.Observer``."""
        self._devices.on_linked(peripheral, name, profiles)

    def on_value(self, peripheral: str, characteristic: Characteristic, value: bytes) -> None:
        """Decode one value and send it where it belongs."""
        stamp = self._clock.now()
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
                facts = {key: facts[key] for key in facts.keys() - Measurement.model_fields.keys()}
                self._devices.on_facts(peripheral, facts)
                return
            if characteristic.use is Use.STATUS:
                self._devices.on_facts(peripheral, {measurement.kind: measurement.fields()})
        key = (peripheral, stream)
        self._last_seq[key] += 1
        seq = self._last_seq[key]
        self._outbox.put(Sample(peripheral, stream, self._run, seq, stamp, measurement))
