"""What a profile module declares: its characteristics and what healthd does with each."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, auto
from typing import NamedTuple, Protocol, runtime_checkable

from healthd.profiles.records import Records
from healthd.samples import Measurement, Record


class Use(Enum):
    """What a session does with a characteristic."""

    STREAM = auto()
    """Subscribed (notify or indicate); every value is a sample."""
    STATUS = auto()
    """Read once, then subscribed where the device notifies it; every value is a sample."""
    STATIC = auto()
    """Read once per link; goes into the device's info, not into a stream."""
    CONTROL = auto()
    """Written on request, and by the profile's opening; its messages reach the profile's state."""


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic of a profile.

    Attributes:
        uuid: 4 lower-case hex digits for a Bluetooth SIG number, else the 36-character UUID.
        model: the canonical measurement that ``decode`` returns.
        decode: bytes to measurement; raises DecodeError and nothing else, whatever the bytes.
        use: what a session does with it.
        silence_s: seconds without a value after which a stream counts as stalled; None where
            silence is normal.
    """

    uuid: str
    model: type[Measurement]
    decode: Callable[[bytes], Measurement]
    use: Use
    silence_s: float | None = None


def _unknown_time() -> datetime | None:
    return None


class Consent(NamedTuple):
    """What a device that knows its users is told, so that it gives the results of one of them.

    Attributes:
        user: the number that it gave this user, 0 to 254.
        code: 0 to 9999; known to the device and to the user.
    """

    user: int
    code: int


@dataclass(frozen=True, slots=True)
class Options:
    """What the settings say of one peripheral, and what is remembered of it, for its profiles.

    Attributes:
        wheel_circumference_m: of the wheel whose revolutions a speed sensor counts.
        pmd: measurements that a Polar sensor is asked to stream, by their kinds.
        hrv_window_s: over which heart-rate variability is told; None: it is not.
        heart_rate_zones_bpm: where each zone begins, ascending; empty: there are none.
        records: which of its stored records were taken.
        local_time: what its clock is set to; None where it is not: while this machine does not
            know the time, or for good.
        consent: whose results it is asked for; None: nobody's in particular.
    """

    # 700x25C, the most common road tyre.
    wheel_circumference_m: float = 2.105
    pmd: tuple[str, ...] = ()
    hrv_window_s: float | None = None
    heart_rate_zones_bpm: tuple[int, ...] = ()
    records: Records = field(default_factory=Records, compare=False)
    local_time: Callable[[], datetime | None] = _unknown_time
    consent: Consent | None = field(default=None, repr=False)


class Timed(NamedTuple):
    """A measurement, and when it was made.

    Attributes:
        measurement: what was measured.
        mono_ns: nanoseconds of the monotonic clock: of its arrival, or an earlier moment where the
            device's own time tells better. Of a frame, its first sample's.
        record: where it stands in the device's memory, where it has one.
        stored: it was fetched from there, and is not the newest: it belongs to the history.
        fact: it describes the device: it goes into the device's info, and is not a sample.
    """

    measurement: Measurement
    mono_ns: int
    record: Record | None = None
    stored: bool = False
    fact: bool = False


class LinkState(Protocol):
    """What a profile remembers as long as one link lasts. Pure: no clock of its own."""

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """What is published for a measurement: itself, a fuller one, several, or none yet.

        Args:
            measurement: one of this profile's characteristics, also of its control points: there
                both what was written and what was answered.
            mono_ns: when it arrived, in nanoseconds of the monotonic clock.
        """
        ...


@runtime_checkable
class HoldingState(LinkState, Protocol):
    """A memory that holds measurements back, and gives them up when its link ends."""

    def end(self) -> Iterable[Timed]:
        """What was still held back: the rest of it will not come."""
        ...


Exchange = Generator[bytes, bytes, None]
"""Yields what is written to a control point, is sent the indication that answers it, and ends.

Where the control point answers nothing, it is sent no bytes. Raises ExchangeRefused for an answer
that ends it too early.
"""


class ExchangeRefused(Exception):
    """A device does not do what it was asked for; the text says what it answered."""


class Turn(IntEnum):
    """When an opening is held: each is about what the next ones lead to."""

    CLOCK = auto()
    """The device's clock is set: its results are dated by it, and some give none before."""
    USER = auto()
    """It is told whose results are wanted, and gives those of nobody else."""
    DATA = auto()
    """It is asked for what it has. Once it has answered, it owes nothing more."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a profile asks of its device once per link, behind the subscriptions.

    Attributes:
        control: UUID of the control point.
        exchange: the requests; one that ends without any leaves the device alone.
        farewell: what is written before healthd hangs up by itself; answers are not waited for.
        abort: what is written first where the exchange has not ended by then; empty: nothing.
        answers: whether what is written is answered by an indication.
        turn: when it is held.
        excused: ATT error by which the device says that it took what was written, not all of it.
    """

    control: str
    exchange: Callable[[Options], Exchange]
    farewell: Callable[[Options], Iterable[bytes]] = field(default=lambda _options: ())
    abort: bytes = b""
    answers: bool = True
    turn: Turn = Turn.DATA
    excused: int | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A GATT profile: a module of this package declares one as ``PROFILE``.

    Attributes:
        name: lower-case words with underscores, as users write it: ``service = "heart_rate"``.
        service: UUID of the service, in the form of ``Characteristic.uuid``.
        characteristics: what healthd reads of it.
        state: makes what it remembers during a link; None: every measurement stands for itself.
        opening: what it asks of its device first; None: nothing.
        derived: models that its state publishes beside those of its characteristics.
    """

    name: str
    service: str
    characteristics: tuple[Characteristic, ...]
    state: Callable[[Options], LinkState] | None = None
    opening: Opening | None = None
    derived: tuple[type[Measurement], ...] = ()
