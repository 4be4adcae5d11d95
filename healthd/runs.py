"""One run of the daemon: its id, its clock, and the numbers that its samples get."""

import secrets
from collections import Counter
from collections.abc import Mapping

import orjson

from healthd.host.clock import Clock, boot_id
from healthd.samples import Measurement, Record, Sample, Stamp, utc_text

# Long enough that two runs of one gateway never share an id, short enough to read aloud.
_ID_BYTES = 4


class Run:
    """Makes samples. There is one object of it in a process.

    Attributes:
        id: part of every sample's id.
        boot: which boot the monotonic times belong to; empty where unknown.
        clock: stamps the samples.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str]) -> None:
        """Start counting at 1 in every stream."""
        self.id = secrets.token_hex(_ID_BYTES)
        self.boot = boot_id(environ)
        self.clock = clock
        self._last_seq: Counter[tuple[str, str]] = Counter()

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
        """The next sample of a stream.

        Args:
            peripheral: whose stream; empty for the gateway's own events.
            stream: topic below the peripheral's, or below the gateway's.
            measurement: what was measured.
            stamp: when it was measured; now where it is left out.
            delay_ns: how long after ``stamp`` it arrived.
            record: where it stands in its device's memory.
            stored: it was fetched from there, and belongs to the history.
        """
        key = (peripheral, stream)
        self._last_seq[key] += 1
        stamp = stamp or self.clock.now()
        seq = self._last_seq[key]
        return Sample(
            peripheral, stream, self.id, seq, stamp, measurement, delay_ns, record, stored
        )

    def event(self, measurement: Measurement) -> Sample:
        """The next event of this kind: a sample of the gateway itself."""
        return self.sample("", f"event/{measurement.kind}", measurement)

    def payload(self, sample: Sample) -> bytes:
        """The sample as it is published now, with its wall time repaired where that is possible."""
        return sample.payload(self.clock.repaired(sample.stamp))

    def stored_payload(self, payload: bytes, stamp: Stamp, boot: str) -> bytes:
        """A payload that was stored, perhaps by an earlier run, as it is published now.

        Args:
            payload: the JSON as it was stored.
            stamp: when its sample was taken.
            boot: whose monotonic clock that was; another boot's says nothing about today.
        """
        if not boot or boot != self.boot or (repaired := self.clock.repaired(stamp)) is stamp:
            return payload
        fields = orjson.loads(payload)
        fields |= {"time": utc_text(repaired.wall_ns), "clock": repaired.clock}
        return orjson.dumps(fields)
