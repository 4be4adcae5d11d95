"""Where a device's values are: its characteristics, and what it advertises."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from healthd.profiles.options import Options
from healthd.samples import Measurement


class Use(Enum):
    """What a session does with a characteristic."""

    STREAM = auto()
    """Subscribed (notify or indicate); every value becomes a sample."""
    STATUS = auto()
    """Read once, then subscribed if the device notifies it; every value becomes a sample."""
    STATIC = auto()
    """Read once per link; goes into the device's info, not into a stream."""
    CONTROL = auto()
    """Written on request and by the profile's opening; its messages go to the profile's state."""


class Framing(Protocol):
    """Cuts requests into the pieces that are written, and joins notified pieces to whole frames.

    Pure. Each link gets a new one.
    """

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        """Return what to write for a request, in order: UUIDs and bytes.

        It also drops the pieces of an answer that is not whole: what follows is another answer.
        """
        ...

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        """Return the frames that are whole with this piece; usually none or one.

        Args:
            uuid: what has notified it.
            piece: its bytes.

        Raises:
            DecodeError: it belongs to no frame, or the checksum is wrong; the next piece begins a
                new frame.
        """
        ...


def _any_answer(_request: bytes, _frame: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Channel:
    """How the requests of a control point and their answers travel.

    A control point without one is a single characteristic: it is written, and indicates answers.

    Attributes:
        writes: UUIDs of the characteristics that requests are written to. A device may lack all but
            the first.
        notifies: UUIDs of those that send the answers, in the order of their subscription; the
            same holds.
        framing: makes the framing for a device from the UUIDs of its characteristics.
        acknowledged: whether a write is acknowledged by the device.
        answers: whether a frame answers a request; other frames are only handed to the state.
        answer_s: after how many seconds a request counts as not answered.
        tries: how often it is written until it is answered.
    """

    writes: tuple[str, ...]
    notifies: tuple[str, ...]
    framing: Callable[[Collection[str]], Framing]
    acknowledged: bool = True
    answers: Callable[[bytes, bytes], bool] = _any_answer
    answer_s: float = 5.0
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic of a profile.

    Attributes:
        uuid: 4 lower-case hex digits for a Bluetooth SIG number, else the 36-character UUID.
        model: the canonical measurement that ``decode`` returns.
        decode: bytes to measurement; raises DecodeError and nothing else, whatever the bytes.
        use: what a session does with it.
        silence_s: seconds without a value after which a stream counts as stalled; None if
            silence is normal.
        precedes: whether it is read before the streams of its service, which are dated by it.
        accompanies: whether the stream only accompanies a measurement of its service, which goes
            on without it: intermediate values, contexts, statuses.
        channel: of a control point whose messages are not single values: how they travel.
            ``decode`` then gets whole frames.
        others: more models that ``decode`` may return, if several kinds of values share it.
        unless: UUID of a characteristic; on a device that notifies that one, this one sends the
            same again and is not subscribed. Empty: it always is.
    """

    uuid: str
    model: type[Measurement]
    decode: Callable[[bytes], Measurement]
    use: Use
    silence_s: float | None = None
    precedes: bool = False
    accompanies: bool = False
    channel: Channel | None = None
    others: tuple[type[Measurement], ...] = ()
    unless: str = ""

    @property
    def in_info(self) -> bool:
        """Whether its newest value is in the device's info."""
        return self.use in (Use.STATIC, Use.STATUS) or self.model.is_event


def _any_bytes(_data: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast(Characteristic):
    """What one kind of device puts into its advertisements; read like a characteristic.

    ``uuid`` is no UUID but a name: lower-case words with underscores, unique among all broadcasts.
    ``decode`` gets the bytes that follow the UUID or the company id.

    Attributes:
        keys: what carries it: ``service_data_`` and a canonical UUID, or ``manufacturer_data_`` and
            the company id in four lower-case hex digits.
        fits: whether bytes under one of these keys are of this kind at all. Makers use their
            company id for other devices, too; what does not fit is ignored. Must be cheap, and
            accept any bytes.
        decoder: makes the decoder for one device from its options and its address, upper case; None
            if ``decode`` is all it takes.
        again_s: after how many seconds without this device equal bytes are a new measurement; None:
            never, because the bytes of two measurements always differ.
    """

    keys: tuple[str, ...]
    fits: Callable[[bytes], bool] = _any_bytes
    decoder: Callable[[Options, str], Callable[[bytes], Measurement]] | None = None
    again_s: float | None = None

    @property
    def has_decoder(self) -> bool:
        """Whether there is a decoder for each device."""
        return self.decoder is not None
