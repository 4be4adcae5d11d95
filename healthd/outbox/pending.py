"""A sample on its way to the broker."""

from functools import cache
from typing import NamedTuple

from healthd.outbox.schema import Entry, Stream
from healthd.samples import Measurement, Sample

SAMPLE_BYTES = 1200
"""What a sample takes in memory with this class, without long fields: measured, 830 to 1,170."""

# A number in a list, with its place there.
_NUMBER_BYTES = 40


class _LongField(NamedTuple):
    """A field of any length, and how many bytes each part of it takes."""

    name: str
    part_bytes: int
    is_nested: bool


_TEXTS = (str(str), str(str | None))


@cache
def _long_fields(model: type[Measurement]) -> tuple[_LongField, ...]:
    kinds = {name: str(field.annotation) for name, field in model.model_fields.items()}
    return tuple(
        _LongField(name, _NUMBER_BYTES if kind.startswith("list") else 1, "list[list" in kind)
        for name, kind in kinds.items()
        if kind.startswith("list") or kind in _TEXTS
    )


def memory_size(measurement: Measurement) -> int:
    """Return about how many bytes a sample of this measurement takes in memory."""
    size = SAMPLE_BYTES
    for name, part_bytes, is_nested in _long_fields(type(measurement)):
        if value := getattr(measurement, name):
            size += part_bytes * len(value)
            if is_nested:
                size += _NUMBER_BYTES * sum(map(len, value))
    return size


class Pending:
    """A sample on the live path.

    Attributes:
        sample: the sample to deliver.
        owner: the peripheral that it is of or, for an event, about; empty for neither.
        size: about how many bytes it takes in memory.
        row: its row in the store; None while it is in memory only.
        acked: whether the broker has acknowledged it.
        urgent: whether it goes to disk at once, however young, and leaves the live path.
    """

    __slots__ = ("acked", "owner", "row", "sample", "size", "urgent")

    def __init__(self, sample: Sample) -> None:
        """Start in memory, unacknowledged."""
        self.sample = sample
        self.owner: str = sample.peripheral or getattr(sample.measurement, "peripheral", "")
        self.size = memory_size(sample.measurement)
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
    # Only the time of a sample that was taken before the clock was set can be corrected later. A
    # tenth of what is written would be the same 36 letters in each row.
    if stamp.clock == "synced":
        boot = ""
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
