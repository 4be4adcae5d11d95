"""One run of the daemon: its id, its clock, and the numbers that its samples get."""

import os
from collections import Counter
from collections.abc import Mapping

import orjson

from healthd.host.clock import Clock, boot_id
from healthd.log import get_logger
from healthd.samples import (
    Measurement,
    Record,
    Sample,
    Stamp,
    is_plausible,
    plausible,
    utc_text,
)

# Long enough that two runs of one gateway never share an id, short enough to dictate.
_ID_BYTES = 4


class Run:
    """The current run of the daemon: numbers its samples. A process has exactly one.

    Attributes:
        id: part of every sample's id.
        boot: which boot the monotonic times belong to; empty if unknown.
        clock: stamps the samples.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str], id: str | None = None) -> None:
        """Start a run; numbers begin at 1 in every stream.

        Args:
            clock: stamps the samples.
            environ: the process's environment, which may name the boot.
            id: of this run; None: a random one.
        """
        self.id = os.urandom(_ID_BYTES).hex() if id is None else id
        self.boot = boot_id(environ)
        self.clock = clock
        self._last_seq: Counter[tuple[str, str]] = Counter()
        self._log = get_logger(service="samples")
        # Peripherals whose implausible times were reported: once is enough to find the cause.
        self._implausible: set[str] = set()

    def sample(
        self,
        peripheral: str,
        stream: str,
        measurement: Measurement,
        stamp: Stamp | None = None,
        delay_ns: int = 0,
        record: Record | None = None,
        *,
        stored: bool = False,
    ) -> Sample:
        """Make the next sample of a stream. All samples of a process are made here.

        A time that no sample can have, because a device's clock is wrong, is replaced by the time
        of arrival.

        Args:
            peripheral: whose stream; empty for the gateway's own events.
            stream: the topic below the topic of the peripheral or the gateway.
            measurement: what was measured.
            stamp: when it was measured; None for now.
            delay_ns: how long after ``stamp`` it arrived.
            record: its place in the device's memory, if it has one.
            stored: it was fetched from the device's memory and belongs to the history.
        """
        key = (peripheral, stream)
        self._last_seq[key] = seq = self._last_seq[key] + 1
        stamp = stamp or self.clock.now()
        if not is_plausible(stamp, delay_ns):
            if peripheral not in self._implausible:
                self._implausible.add(peripheral)
                delay_s = round(delay_ns / 1e9)
                self._log.warning(
                    "time not plausible", peripheral=peripheral, stream=stream, delay_s=delay_s
                )
            stamp, delay_ns = plausible(stamp, delay_ns), 0
        return Sample(
            peripheral, stream, self.id, seq, stamp, measurement, delay_ns, record, stored
        )

    def event(self, measurement: Measurement) -> Sample:
        """Make the next event of this kind: a sample of the gateway itself."""
        return self.sample("", f"event/{measurement.kind}", measurement)

    def payload(self, sample: Sample) -> bytes:
        """Return the payload to publish now, with the wall time corrected if that is possible."""
        return sample.payload(self.clock.repaired(sample.stamp))

    def stored_payload(self, payload: bytes, stamp: Stamp, boot: str) -> bytes:
        """Return a stored payload, perhaps of an earlier run, as it is to be published now.

        Args:
            payload: the JSON as it was stored.
            stamp: when its sample was measured.
            boot: the boot of the stamp; the monotonic clock of another boot says nothing today.
        """
        if not boot or boot != self.boot or (repaired := self.clock.repaired(stamp)) is stamp:
            return payload
        fields = orjson.loads(payload)
        fields |= {"time": utc_text(repaired.wall_ns), "clock": repaired.clock}
        return orjson.dumps(fields)
