"""The ring's messages, and what they mean during a link."""

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from healthd.errors import DecodeError
from healthd.profiles.battery import Battery
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.vendor.o2ring.framing import (
    CLOSE,
    OPEN,
    READ,
    REAL_TIME,
    SENSORS,
    Frame,
    is_answer,
    parse,
)
from healthd.profiles.vendor.o2ring.live import decode_live
from healthd.profiles.vendor.o2ring.nights import Night
from healthd.samples import Measurement, quantity


class RingMessage(Measurement):
    """A request to the ring, or its answer."""

    kind: ClassVar[str] = "ring_message"

    request: Annotated[int | None, quantity("1")] = None
    """The command; absent in an answer."""
    status: Annotated[int | None, quantity("1")] = None
    """0 for success; absent in a request."""
    block: Annotated[int, quantity("1")]
    """Number of the part of a file."""
    data_hex: str


def decode_message(data: bytes) -> RingMessage:
    """Decode a whole frame; see ``framing``."""
    is_from_ring, code, block, content = parse(data)
    key = "status" if is_from_ring else "request"
    return RingMessage.of({key: code, "block": block, "data_hex": content.hex()})


class RingState:
    """Follows the requests, because an answer does not name its request, and makes samples."""

    def __init__(self, options: Options) -> None:
        """Start without a request."""
        # From now on, records of this stream are those of files.
        options.records.files(PulseOximeter.kind)
        self._asked: Frame | None = None
        self._night: Night | None = None
        self._battery: Battery | None = None

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish for a request or an answer."""
        if not isinstance(measurement, RingMessage):
            return ()
        frame = _frame(measurement)
        if not frame.answer:
            self._asked = frame
            return ()
        asked = self._asked
        if asked is None or not is_answer(asked, frame):
            return ()
        self._asked = None
        if frame.code:
            return ()
        if asked.code in (SENSORS, REAL_TIME):
            return self._live(frame.data, mono_ns)
        if asked.code == READ:
            return self._read(frame, mono_ns)
        if asked.code == OPEN:
            name = asked.data.partition(b"\0")[0].decode("ascii", "replace")
            self._night = Night(name, int.from_bytes(frame.data, "little"))
        elif asked.code == CLOSE:
            self._night = None
        return ()

    def _live(self, data: bytes, mono_ns: int) -> Iterator[Timed]:
        try:
            live = decode_live(data)
        except DecodeError:
            return
        yield Timed(live.oximetry, mono_ns)
        if live.battery != self._battery:
            self._battery = live.battery
            yield Timed(live.battery, mono_ns, fact=True)
            yield Timed(live.battery, mono_ns)

    def _read(self, frame: Frame, mono_ns: int) -> Iterator[Timed]:
        if self._night is None:
            return
        try:
            for stored, record in self._night.take(frame.block, frame.data):
                yield Timed(stored, mono_ns, record, stored=True)
        except DecodeError:
            # The dialogue does not read on.
            self._night = None


def _frame(message: RingMessage) -> Frame:
    data = bytes.fromhex(message.data_hex)
    if message.status is not None:
        return Frame(answer=True, code=message.status, block=message.block, data=data)
    return Frame(answer=False, code=message.request or 0, block=message.block, data=data)
