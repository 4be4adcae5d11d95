"""A sample on its way to the broker, and a summary of samples that were dropped."""

from collections.abc import Iterable

from healthd.outbox.schema import Entry, Lost, Stream
from healthd.samples import Sample


class Pending:
    """A sample on the live path.

    Attributes:
        sample: the sample to deliver.
        row: its row in the store; None while it is in memory only.
        acked: whether the broker has acknowledged it.
        urgent: whether it goes to disk at once, however young, and leaves the live path.
    """

    __slots__ = ("acked", "row", "sample", "urgent")

    def __init__(self, sample: Sample) -> None:
        """Start in memory, unacknowledged."""
        self.sample = sample
        self.row: int | None = None
        self.acked = False
        self.urgent = sample.stored

    @property
    def sample_stream(self) -> Stream:
        """Peripheral and stream of the sample."""
        return self.sample.peripheral, self.sample.stream

    def is_older_than(self, mono_ns: int) -> bool:
        """Return whether it arrived at ``mono_ns`` or before, or is to be treated as if it had."""
        return self.urgent or self.sample.arrived_ns <= mono_ns


def entry(sample: Sample, boot: str, payload: bytes) -> Entry:
    """Return the sample as it is stored on disk."""
    stamp = sample.stamp
    return Entry(
        peripheral=sample.peripheral,
        stream=sample.stream,
        schema=sample.schema,
        run=sample.run,
        seq=sample.seq,
        wall_ns=stamp.wall_ns,
        mono_ns=stamp.mono_ns,
        clock=stamp.clock,
        boot=boot,
        payload=payload,
        record=sample.record,
    )


def summarise(dropped: Iterable[Sample]) -> list[Lost]:
    """Summarise dropped samples, given in the order they were taken, as one loss per stream."""
    streams: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in dropped:
        streams.setdefault((sample.peripheral, sample.stream, sample.run), []).append(sample)
    return [
        Lost(
            *key,
            first_seq=samples[0].seq,
            last_seq=samples[-1].seq,
            first_ns=samples[0].stamp.wall_ns,
            last_ns=samples[-1].stamp.wall_ns,
            count=len(samples),
        )
        for key, samples in streams.items()
    ]
