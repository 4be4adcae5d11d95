"""What a profile asks a device: once per link, again and again, or to agree on a key."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from enum import IntEnum, auto

from healthd.profiles.options import Options


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is not made like the others of its exchange.

    Attributes:
        data: what is written, as a whole frame; empty: only subscribe to the answers.
        control: UUID of the control point; empty: that of the exchange.
        answers: whether the device answers it. If not, the exchange goes on with empty bytes.
        answer_s: replaces that of the control point's channel; None: it does not.
        tries: the same.
        at_once: in a polling, whether it follows the last answer without a pause, for a transfer.
    """

    data: bytes
    control: str = ""
    answers: bool = True
    answer_s: float | None = None
    tries: int | None = None
    at_once: bool = False


Exchange = Generator[bytes, bytes, None]
"""A generator that yields requests to a control point and is sent the answer to each.

An answer is an indication, or a whole frame if the control point has a channel. If the control
point is not expected to answer, empty bytes are sent. Raises ExchangeRefused for an answer that
ends the exchange too early.
"""


Dialogue = Generator[bytes | Request, bytes, None]
"""An exchange that also makes requests to other control points, or with a timeout of their own."""


class NoAnswer(Exception):
    """Thrown into a dialogue over a channel: a request was not answered in any of its tries.

    The same if the device lacks the control point. A dialogue that does not catch it ends; the run
    of a periodic peripheral then tries the whole dialogue again on another link.
    """


class ExchangeRefused(Exception):
    """A device refuses a request; the text contains its answer."""


class Turn(IntEnum):
    """The order of openings: each one prepares the following ones."""

    CLOCK = auto()
    """Set the device's clock: it dates the results, and some devices send none before."""
    USER = auto()
    """Select the user whose results are wanted: the device sends no others."""
    DATA = auto()
    """Ask for the data. After its answer, the device has nothing more to send."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The requests that a profile sends once per link, after the subscriptions.

    Attributes:
        control: UUID of the control point.
        exchange: makes the requests; an exchange without requests leaves the device alone.
        closing: makes the requests that are written before healthd disconnects; healthd does not
            wait for answers to them.
        abort: what is written before these if the exchange is still running; empty for nothing.
        answers: whether the device answers requests with indications.
        turn: when the opening runs.
        excused: the ATT error by which the device reports that it accepted only part of the data.
        unless: UUID of a characteristic; if the device lets it be written, the opening is not
            needed. Empty: it always is.
    """

    control: str
    exchange: Callable[[Options], Dialogue]
    closing: Callable[[Options], Iterable[bytes]] = field(default=lambda _options: ())
    abort: bytes = b""
    answers: bool = True
    turn: Turn = Turn.DATA
    excused: int | None = None
    unless: str = ""

    @property
    def optional(self) -> bool:
        """Whether the device can be read without it."""
        return self.turn is Turn.CLOCK


@dataclass(frozen=True, slots=True)
class Polling:
    """The requests of a profile whose device measures only when it is asked, again and again.

    Attributes:
        control: UUID of the control point.
        exchange: makes the requests; one that has ended begins again. A periodic run makes each of
            them once: it is over when a request comes again that was answered.
        every_s: seconds from one request to the next; see ``Request.at_once``.
    """

    control: str
    exchange: Callable[[Options], Dialogue]
    every_s: float


@dataclass(frozen=True, slots=True)
class Pairing:
    """How a device and healthd agree on a key, on a link while the user is present.

    Attributes:
        control: UUID of the control point.
        exchange: makes the requests that give the device this key.
        size_bytes: how long a key is; healthd makes a random one.
        hint: what the user does to the device first, as a short sentence.
    """

    control: str
    exchange: Callable[[bytes], Dialogue]
    size_bytes: int
    hint: str
