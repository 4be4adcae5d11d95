"""ATT PDUs: what a client asks and a server answers; Core Specification, Vol 3, Part F, 3.4."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from healthd.capture.att import opcodes
from healthd.profiles.uuids import canonical_uuid

DEFAULT_MTU = 23
"""Of a link on which no other was agreed; in bytes (Core Specification, Vol 3, Part G, 5.2.1)."""

LONGEST_VALUE = 0xFFFF - 4 - 3
"""In bytes: an ACL packet's length has 16 bits, and L2CAP, opcode and handle need 7 bytes. An
attribute has at most 512, but a capture may say anything."""

NOT_FOUND = 0x0A
"""The error that ends a discovery: no attribute with a greater handle."""


class Pdu(NamedTuple):
    """A PDU, and whether the central has sent it."""

    sent: bool
    data: bytes


def ask(op: int, *parts: bytes | int) -> Pdu:
    """Return a PDU of the central; numbers have 16 bits."""
    return Pdu(True, _joined(op, parts))


def answer(op: int, *parts: bytes | int) -> Pdu:
    """Return a PDU of the peripheral; numbers have 16 bits."""
    return Pdu(False, _joined(op, parts))


def refuse(request: int, handle: int, code: int) -> Pdu:
    """Return an Error Response."""
    return Pdu(False, bytes((opcodes.ERROR, request)) + u16(handle) + bytes((code,)))


def u16(number: int) -> bytes:
    """Return the two bytes of a number, the low one first."""
    return number.to_bytes(2, "little")


def uuid_bytes(uuid: str) -> bytes:
    """Return the bytes of a UUID, the low one first: two for a SIG number, else 16."""
    short = canonical_uuid(uuid)
    return bytes.fromhex(short)[::-1] if len(short) == 4 else UUID(short).bytes[::-1]


def exchange_mtu(mtu: int) -> Iterator[Pdu]:
    """Yield how both sides agree on an MTU."""
    yield ask(opcodes.MTU_REQUEST, mtu)
    yield answer(opcodes.MTU_ANSWER, mtu)


def read(handle: int, value: bytes, mtu: int) -> Iterator[Pdu]:
    """Yield how a value is read: with further requests as long as an answer is a full one."""
    piece = mtu - 1
    yield ask(opcodes.READ_REQUEST, handle)
    yield answer(opcodes.READ_ANSWER, value[:piece])
    for offset in range(piece, len(value) + 1, piece):
        yield ask(opcodes.BLOB_REQUEST, handle, offset)
        yield answer(opcodes.BLOB_ANSWER, value[offset : offset + piece])


def refused_read(handle: int, code: int) -> Iterator[Pdu]:
    """Yield how reading is refused."""
    yield ask(opcodes.READ_REQUEST, handle)
    yield refuse(opcodes.READ_REQUEST, handle, code)


def write(handle: int, value: bytes, mtu: int, code: int | None = None) -> Iterator[Pdu]:
    """Yield how a value is written and confirmed, or refused with an error code.

    A value that is too long for one request is prepared in pieces, and then executed.
    """
    if len(value) <= mtu - 3:
        yield ask(opcodes.WRITE_REQUEST, handle, value)
        yield (
            answer(opcodes.WRITE_ANSWER)
            if code is None
            else refuse(opcodes.WRITE_REQUEST, handle, code)
        )
        return
    piece = mtu - 5
    for offset in range(0, len(value), piece):
        part = value[offset : offset + piece]
        yield ask(opcodes.PREPARE_REQUEST, handle, offset, part)
        if code is not None:
            yield refuse(opcodes.PREPARE_REQUEST, handle, code)
            return
        yield answer(opcodes.PREPARE_ANSWER, handle, offset, part)
    yield ask(opcodes.EXECUTE_REQUEST, b"\x01")
    yield answer(opcodes.EXECUTE_ANSWER)


def notify(handle: int, value: bytes, *, confirmed: bool) -> Iterator[Pdu]:
    """Yield a notification, or an indication and its confirmation."""
    if not confirmed:
        yield answer(opcodes.NOTIFICATION, handle, value)
        return
    yield answer(opcodes.INDICATION, handle, value)
    yield ask(opcodes.CONFIRMATION)


def _joined(op: int, parts: Iterable[bytes | int]) -> bytes:
    return bytes((op,)) + b"".join(u16(part) if isinstance(part, int) else part for part in parts)
