"""The frames of the ring: requests that begin with AA, answers that begin with 55.

A frame is: sync u8, command u8, command ^ FF u8, block u16, length u16, data, CRC-8 u8. In an
answer, a status takes the place of the command, 0 for success: an answer does not say what it
answers. The block is repeated.
"""

import struct
from collections.abc import Collection, Iterable
from typing import NamedTuple

from healthd.errors import DecodeError
from healthd.profiles.common.framing import in_pieces
from healthd.profiles.packet.crc import crc_8

NOTIFY = "0734594a-a8e7-4b1a-a6b1-cd5243059a57"
WRITE = "8b00ace7-eb0b-49b0-bbe9-9aee0a26e1a3"

OPEN, READ, CLOSE = 0x03, 0x04, 0x05
INFO = 0x14
SENSORS = 0x17
"""Live values as old firmware sends them."""
REAL_TIME = 0x1B
"""The same in newer firmware, with a piece of the pulse wave."""

_REQUEST, _ANSWER = 0xAA, 0x55
_HEAD = struct.Struct("<BBBHH")
_CRC_SIZE = 1

# Longer pieces do not fit into a packet with the smallest MTU, which the maker's app asks for.
_PIECE = 20

SENSORS_SIZE = 13
"""Bytes of an answer to SENSORS."""

# In an answer to REAL_TIME: the length of the wave u16, and the wave.
_WAVE_LENGTH_AT, _WAVE_AT = 10, 12
# The answer to OPEN: the size of the file, u32.
_SIZE_OF_SIZE = 4


class Frame(NamedTuple):
    """What a frame carries.

    Attributes:
        answer: whether it comes from the ring.
        code: the command; of an answer, the status.
        block: number of the part of a file; otherwise 0.
        data: its contents.
    """

    answer: bool
    code: int
    block: int
    data: bytes


def request(command: int, data: bytes = b"", block: int = 0) -> bytes:
    """Return the frame of a request."""
    body = _HEAD.pack(_REQUEST, command, command ^ 0xFF, block, len(data)) + data
    return body + bytes([crc_8(body)])


def parse(frame: bytes) -> Frame:
    """Return what a whole frame carries.

    Raises:
        DecodeError: it is not a frame.
    """
    code, block, size = _head(frame)
    if len(frame) != size:
        raise DecodeError(f"expected a frame of {size} bytes, found {len(frame)}")
    if crc_8(frame[:-_CRC_SIZE]) != frame[-1]:
        raise DecodeError("wrong checksum")
    return Frame(frame[0] == _ANSWER, code, block, frame[_HEAD.size : -_CRC_SIZE])


def _head(frame: bytes) -> tuple[int, int, int]:
    """Return the code, the block, and the size of the whole frame."""
    if len(frame) < _HEAD.size:
        raise DecodeError(f"expected at least {_HEAD.size} bytes, found {len(frame)}")
    sync, code, check, block, length = _HEAD.unpack_from(frame)
    if sync not in (_REQUEST, _ANSWER) or code ^ check != 0xFF:
        raise DecodeError("the frame does not begin with AA or 55, a code and its complement")
    return code, block, _HEAD.size + length + _CRC_SIZE


class RingFraming:
    """See ``characteristic.Framing``."""

    def __init__(self, _uuids: Collection[str]) -> None:
        """Start without a piece of an answer."""
        self._begun = b""

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        """Return the pieces of a request, and drop those of an answer."""
        self._begun = b""
        return [(WRITE, piece) for piece in in_pieces(frame, _PIECE)]

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        """Return the answer that is whole with this piece.

        What follows it in the same piece is not an answer: the ring sends one for each request.

        Raises:
            DecodeError: see ``characteristic.Framing``.
        """
        begun, self._begun = self._begun + piece, b""
        if begun[0:1] != bytes([_ANSWER]):
            raise DecodeError("the answer does not begin with 55")
        if len(begun) >= _HEAD.size:
            _, _, size = _head(begun)
            if len(begun) >= size:
                parse(begun[:size])
                return (begun[:size],)
        self._begun = begun
        return ()


def answers(asked: bytes, frame: bytes) -> bool:
    """Return whether a frame is the answer to a request; see ``is_answer``."""
    return is_answer(parse(asked), parse(frame))


def is_answer(asked: Frame, frame: Frame) -> bool:
    """Return whether a frame is the answer to a request, and not a late one to an earlier request.

    An answer does not name its request, so this goes by the block, and by the size of its data.
    """
    if not frame.answer or frame.block != asked.block:
        return False
    if frame.code:
        return True
    if asked.code in (SENSORS, REAL_TIME):
        return is_real_time(frame.data) == (asked.code == REAL_TIME)
    return asked.code != OPEN or len(frame.data) == _SIZE_OF_SIZE


def is_real_time(data: bytes) -> bool:
    """Return whether these are live values of newer firmware: the wave that they announce is there.

    Those of old firmware have other things at this place, and are recognised by their size: a wave
    has more than one sample.
    """
    length = int.from_bytes(data[_WAVE_LENGTH_AT:_WAVE_AT], "little")
    return len(data) != SENSORS_SIZE and len(data) >= _WAVE_AT + length
