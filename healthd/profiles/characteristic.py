"""What a profile module declares: its characteristics, and what healthd does with each."""

import re
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, auto
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

from healthd.profiles.identity import Identity
from healthd.profiles.records import Records
from healthd.samples import Measurement, Record


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


def _unknown_time() -> datetime | None:
    return None


def _no_key() -> bytes | None:
    return None


class Consent(NamedTuple):
    """What a device with several users needs to release the results of one user.

    Attributes:
        user: the number that the device assigned to this user, 0 to 254.
        code: 0 to 9999; known to the device and the user.
    """

    user: int
    code: int


@dataclass(frozen=True, slots=True)
class Options:
    """One peripheral's settings and stored state, as its profiles need them.

    Attributes:
        wheel_circumference_m: circumference of the wheel whose revolutions a speed sensor counts.
        speed_factor: by what the speeds of a fitness machine are multiplied.
        pmd: the measurements that a Polar sensor is asked to stream, by their kinds.
        hrv_window_s: the window over which heart-rate variability is computed; None: it is not
            computed.
        heart_rate_zones_bpm: where each zone begins, ascending; empty if there are none.
        records: which of the device's stored records were fetched.
        local_time: returns the time to set the device's clock to, or None to leave the clock alone,
            for example while this machine does not know the time.
        now: returns the present local time; None while this machine does not know it.
        consent: the user whose results are wanted; None for no particular user.
        bind_key: the key of a device that encrypts its advertisements; None if there is none.
        key: the key that ``healthd pair`` has agreed with the device; None if there is none.
        read_key: reads this key, which the command may replace at any time. Raises OSError or
            ValueError if that fails. For the session: it calls it on each link, and sets ``key``.
        device: how the device of the present link identifies itself.
        interval_s: how often the device is asked to send, for devices that let it be chosen; None:
            as often as it does by itself.
    """

    # 700x25C, the most common road tyre.
    wheel_circumference_m: float = 2.105
    speed_factor: float = 1.0
    pmd: tuple[str, ...] = ()
    hrv_window_s: float | None = None
    heart_rate_zones_bpm: tuple[int, ...] = ()
    records: Records = field(default_factory=Records, compare=False)
    local_time: Callable[[], datetime | None] = _unknown_time
    now: Callable[[], datetime | None] = _unknown_time
    consent: Consent | None = field(default=None, repr=False)
    bind_key: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    read_key: Callable[[], bytes | None] = field(default=_no_key, compare=False)
    device: Identity = field(default_factory=Identity, compare=False)
    interval_s: float | None = None


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


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of device sends: a module of this package declares one as ``PROFILE``.

    Attributes:
        name: lower-case words with underscores, as in the settings: ``service = "heart_rate"``.
        service: UUID of its GATT service, in the form of ``Characteristic.uuid``; empty if its
            devices only advertise, or if it adds characteristics to the service of another profile.
        characteristics: the characteristics that healthd reads.
        broadcasts: what healthd reads in advertisements.
        state: makes the memory of a link; None: every measurement is published as it is.
        opening: the requests that are sent first; None for no requests.
        anywhere: the same for any device that has the control point, in whatever service.
        derived: models that the state publishes in addition to those of the characteristics.
        correct: applies the settings to what the decoders return, before anything else; None: they
            have no effect.
        polling: the requests that are repeated after the opening; None: it measures by itself.
        pairing: how a key is agreed; None: there is none.
        commands: what is written for a request over MQTT, by its verb, such as ``start``.
        needs_battery_pct: the charge below which a command fails, so that it is not written.
        names: shell patterns of advertised names, ignoring case: devices that do not advertise
            the service are recognised by them.
        replaces: UUIDs of other services that have nothing to add to this one: on a device with
            both, healthd does not read them.
        gives_way_to: UUIDs of services that are better: on a device with one of them, healthd does
            not read this one.
        hint: what a user who sees the device in ``healthd scan`` has to do with it before healthd
            can read it, in one line; empty: nothing. In ``healthd pair ID``, the command shows the
            id of the device in place of ID.
    """

    name: str
    service: str = ""
    characteristics: tuple[Characteristic, ...] = ()
    broadcasts: tuple[Broadcast, ...] = ()
    state: Callable[[Options], LinkState] | None = None
    opening: Opening | None = None
    anywhere: Opening | None = None
    derived: tuple[type[Measurement], ...] = ()
    correct: Callable[[Options, Measurement], Measurement] | None = None
    polling: Polling | None = None
    pairing: Pairing | None = None
    commands: Mapping[str, Request] = field(default_factory=dict[str, Request], hash=False)
    needs_battery_pct: int = 0
    names: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    gives_way_to: tuple[str, ...] = ()
    hint: str = ""

    @property
    def only_advertises(self) -> bool:
        """Whether its devices are never linked for it."""
        return not self.service and not self.characteristics

    @property
    def asks(self) -> str:
        """UUID of the control point that its measurements are requested from; empty: none.

        Devices that have both a memory and streams count by their streams, except over a channel.
        """
        if self.polling is not None:
            return self.polling.control
        opening = self.opening
        if opening is None or opening.turn is not Turn.DATA:
            return ""
        by_uuid = {each.uuid: each for each in self.characteristics}
        streams = any(each.use is Use.STREAM for each in self.characteristics)
        has_channel = by_uuid[opening.control].channel is not None
        return opening.control if has_channel or not streams else ""

    @property
    def measures(self) -> bool:
        """Whether a link to such a device brings measurements: sent unasked, or as answers."""
        return bool(self.asks) or any(each.use is Use.STREAM for each in self.characteristics)


def is_named(name: str | None, patterns: tuple[str, ...]) -> bool:
    """Whether an advertised name fits one of these patterns; see ``Profile.names``."""
    if not patterns or name is None:
        return False
    return _compiled(patterns).match(name.lower()) is not None


# Names are compared for each advertisement of a device that is listened to. More than there are
# profiles with names.
@lru_cache(maxsize=128)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns))
