"""The memory of a profile during one link, and what it returns."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable

from healthd.samples import Measurement, Record


class Timed(NamedTuple):
    """A measurement, and when it was made.

    Attributes:
        measurement: what was measured.
        mono_ns: nanoseconds of the monotonic clock: when it arrived, or an earlier moment if the
            device's own time is more precise. For a frame, the time of its first sample.
        record: its place in the device's memory, if it was stored there.
        stored: True if it was fetched from the device's memory and is not the newest record: it
            belongs to the history.
        fact: True if it describes the device: it goes into the device's info and is not a sample.
        finished: True for the result of a measurement that is over, such as a weighing; there is
            one for each measurement.
    """

    measurement: Measurement
    mono_ns: int
    record: Record | None = None
    stored: bool = False
    fact: bool = False
    finished: bool = False


class LinkState(Protocol):
    """A profile's memory during one link. Pure: it has no clock of its own."""

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish for a measurement: itself, an extended one, several, or none yet.

        Args:
            measurement: from one of this profile's characteristics. For a control point, both the
                written requests and the responses.
            mono_ns: when it arrived, in nanoseconds of the monotonic clock.
        """
        ...


@runtime_checkable
class HoldingState(LinkState, Protocol):
    """A memory that holds measurements back until the link ends."""

    def end(self) -> Iterable[Timed]:
        """Return what is still held back: the rest of it will not arrive."""
        ...


@runtime_checkable
class SettlingState(HoldingState, Protocol):
    """A memory that holds measurements back until nothing has followed them for a while."""

    @property
    def due_ns(self) -> int | None:
        """When to call ``settle``, by the monotonic clock; None if nothing waits for a time."""
        ...

    @property
    def held(self) -> Iterable[Timed]:
        """What would be lost if the process died now."""
        ...

    def settle(self, mono_ns: int) -> Iterable[Timed]:
        """Return what has been held back for long enough at this time."""
        ...


@runtime_checkable
class ClockedState(LinkState, Protocol):
    """A memory that places measurements by the device's clock."""

    @property
    def rebased(self) -> int:
        """How often the device's clock jumped, so that its times were mapped to ours again."""
        ...
