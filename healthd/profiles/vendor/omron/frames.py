"""Frames of the memory protocol: what they mean, and how they travel in pieces.

``length u8, type u16, address u16, count u8, data, padding u8, checksum u8``, big-endian. The
length counts everything, and the XOR of all bytes is 0. Sources: userx14/omblepy, omblepy.py and
README.md; eigger/hass-omron, omron_ble/omron_driver.py; openScale, OmronWlcHandler.kt.

A count beyond the end of an answer: omblepy takes the memory for never written, all FF, and
hass-omron drops the answer. healthd follows omblepy, but only if the length and the checksum fit.
"""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, ClassVar, Literal, get_args

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Channel, Characteristic, Framing, Use
from healthd.profiles.common.framing import WholeFrames, in_pieces
from healthd.profiles.packet.crc import xor_of
from healthd.samples import Measurement, quantity

Name = Literal["start", "read", "end", "start_response", "read_response", "end_response"]

TX = (
    "db5b55e0-aee7-11e1-965e-0002a5d5c51b",
    "e0b8a060-aee7-11e1-92f4-0002a5d5c51b",
    "0ae12b00-aee8-11e1-a192-0002a5d5c51b",
    "10e1ba60-aee8-11e1-89e5-0002a5d5c51b",
)
"""What requests are written to, piece by piece; the modern stack has only the first."""

RX = (
    "49123040-aee8-11e1-a74d-0002a5d5c51b",
    "4d0bf320-aee8-11e1-a0d9-0002a5d5c51b",
    "5128ce60-aee8-11e1-b84b-0002a5d5c51b",
    "560f1420-aee8-11e1-8184-0002a5d5c51b",
)
"""What notifies the answers, in the same order."""

# The names are in the order of these types. There is no name for a write: healthd never makes one.
START, READ, END = 0x0000, 0x0100, 0x0F00
_ANSWER = 0x8000
_TYPES = (START, READ, END, *(each | _ANSWER for each in (START, READ, END)))
_NAMES: dict[int, Name] = dict(zip(_TYPES, get_args(Name), strict=True))

_HEADER, _TRAILER = 6, 2
_SHORTEST = _HEADER + _TRAILER
_PIECE = 16
_NEVER_WRITTEN = b"\xff"


class MemoryMessage(Measurement):
    """A request to the cuff's memory, or its answer."""

    kind: ClassVar[str] = "omron_memory"

    opcode: Annotated[int, quantity("1")]
    """The type of the frame: ``0x0100`` is a read and ``0x8100`` its answer."""
    name: Name | None = None
    """Absent for a type without a name here."""
    address: Annotated[int | None, quantity("1")] = None
    """Where the memory is read."""
    size: Annotated[int | None, quantity("1")] = None
    """How many bytes of it."""
    data_hex: str | None = None
    """What it contains; ``ff`` where the cuff has never written."""
    error_code: Annotated[int | None, quantity("1")] = None
    """At the end: 0 if everything was all right."""


def decode_memory(frame: bytes) -> MemoryMessage:
    """Decode a whole frame; see the module."""
    check(frame)
    opcode, data = int.from_bytes(frame[1:3]), frame[_HEADER:-_TRAILER]
    fields: dict[str, Any] = {"opcode": opcode}
    if (name := _NAMES.get(opcode)) is not None:
        fields["name"] = name
    if opcode & ~_ANSWER == READ:
        size = frame[5]
        fields |= {"address": int.from_bytes(frame[3:5]), "size": size}
        if opcode & _ANSWER:
            known = data[:size] if len(data) >= size else _NEVER_WRITTEN * size
            fields["data_hex"] = known.hex()
    elif opcode == END | _ANSWER:
        fields["error_code"] = frame[_HEADER]
    return MemoryMessage.of(fields)


def check(frame: bytes) -> None:
    """Check the length and the checksum of a frame.

    Raises:
        DecodeError: one of them is wrong.
    """
    if len(frame) < _SHORTEST or len(frame) != frame[0]:
        declared = frame[0] if frame else 0
        raise DecodeError(f"expected {max(declared, _SHORTEST)} bytes, found {len(frame)}")
    if wrong := xor_of(frame):
        raise DecodeError(f"checksum: expected 0, found 0x{wrong:02x}")


def start() -> bytes:
    """Begin a session."""
    # The maker's app asks for 16 bytes; older cuffs answer with them, others without.
    return _request(START, 0, 0x10)


def read(address: int, size: int) -> bytes:
    """Ask for a part of the memory."""
    return _request(READ, address, size)


def end() -> bytes:
    """End the session."""
    return _request(END, 0, 0)


def _request(opcode: int, address: int, size: int) -> bytes:
    body = bytes([_SHORTEST, *opcode.to_bytes(2), *address.to_bytes(2), size, 0])
    return body + bytes([xor_of(body)])


class _Pieces:
    """The classic stack: 16 bytes to each characteristic, and each has its own."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytes] = {}

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        """See ``Framing``; no request is longer than four pieces."""
        self._pieces.clear()
        return zip(TX, in_pieces(frame, _PIECE), strict=False)

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        """See ``Framing``; pieces of a frame come in order, and the last one may be padded."""
        place = RX.index(uuid)
        if place == 0:
            # What is left of an earlier frame never becomes whole.
            self._pieces.clear()
        self._pieces[place] = piece
        if (first := self._pieces.get(0)) is None:
            return ()
        length = first[0] if first else 0
        places = range(-(-length // _PIECE))
        if not all(each in self._pieces for each in places) and len(places) <= len(RX):
            return ()
        frame = b"".join(self._pieces[each] for each in places if each in self._pieces)[:length]
        self._pieces.clear()
        check(frame)
        return (frame,)


class _Whole(WholeFrames):
    """The modern stack: a frame is one value, for which its links have a large enough MTU."""

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        """See ``Framing``; what is longer than the frame is padding."""
        frame = piece[: piece[0]] if piece else b""
        check(frame)
        return (frame,)


def _framing(uuids: Collection[str]) -> Framing:
    """Return the framing of a device: a modern one has only one characteristic each way."""
    return _Pieces() if RX[1] in uuids else _Whole(TX[0])


def _answers(request: bytes, frame: bytes) -> bool:
    """Return whether a frame answers a request: its type does, and it is of the same place.

    A cuff that refuses a request ends the session (hass-omron, test_rx_notification_handling.py).
    """
    opcode = int.from_bytes(frame[1:3])
    if opcode == END | _ANSWER:
        return True
    is_same = opcode == int.from_bytes(request[1:3]) | _ANSWER
    return is_same and (opcode != READ | _ANSWER or frame[3:6] == request[3:6])


MEMORY = Characteristic(
    TX[0],
    MemoryMessage,
    decode_memory,
    Use.CONTROL,
    # omblepy waits 1 s, and makes five tries.
    channel=Channel(TX, RX, _framing, answers=_answers, answer_s=1.0, tries=5),
)
"""The requests to the memory of both stacks."""
