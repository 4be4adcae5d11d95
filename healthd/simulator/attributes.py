"""Build the characteristics and services that virtual peripherals need."""

from collections.abc import Callable, Sequence

from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

_Properties = Characteristic.Properties
_NO_ACCESS = Characteristic.Permissions(0)

Number = int | str
"""A 16-bit number assigned by the Bluetooth SIG, or a UUID of 36 characters."""


def readable(number: Number, value: bytes | Callable[[], bytes]) -> Characteristic[bytes]:
    """Return a characteristic to read: a constant value, or the function's current result."""
    return _characteristic(number, _Properties.READ, Characteristic.READABLE, value)


def notifying(
    number: Number, value: bytes | Callable[[], bytes] | None = None
) -> Characteristic[bytes]:
    """Return a characteristic that notifies, and that can be read if a value is given."""
    if value is None:
        return _characteristic(number, _Properties.NOTIFY, _NO_ACCESS, b"")
    both = _Properties.READ | _Properties.NOTIFY
    return _characteristic(number, both, Characteristic.READABLE, value)


def indicating(number: Number) -> Characteristic[bytes]:
    """Return a characteristic that indicates."""
    return _characteristic(number, _Properties.INDICATE, _NO_ACCESS, b"")


def writeable(
    number: Number,
    write: Callable[[bytes], None],
    *,
    read: Callable[[], bytes] | None = None,
    notifies: bool = False,
    indicates: bool = False,
    acknowledges: bool = True,
) -> Characteristic[bytes]:
    """Return a characteristic that is written.

    Args:
        number: The number or UUID of the characteristic.
        write: Handles a written value; it refuses the value by raising an ``ATT_Error``.
        read: Returns the current value; None if the characteristic cannot be read.
        notifies: Whether it also notifies.
        indicates: Whether it also indicates.
        acknowledges: Whether it is written with response; otherwise it is written without.
    """
    properties = _Properties.WRITE if acknowledges else _Properties.WRITE_WITHOUT_RESPONSE
    permissions = Characteristic.WRITEABLE
    if read is not None:
        properties |= _Properties.READ
        permissions |= Characteristic.READABLE
    if notifies:
        properties |= _Properties.NOTIFY
    if indicates:
        properties |= _Properties.INDICATE

    def on_write(_connection: Connection | None, value: bytes) -> None:
        write(bytes(value))

    if read is None:
        value = CharacteristicValue[bytes](write=on_write)
    else:
        value = CharacteristicValue[bytes](read=lambda _connection: read(), write=on_write)
    return Characteristic(_uuid(number), properties, permissions, value)


def service(number: Number, characteristics: Sequence[Characteristic[bytes]]) -> Service:
    """Return a primary service."""
    return Service(_uuid(number), list(characteristics))


def _characteristic(
    number: Number,
    properties: Characteristic.Properties,
    permissions: Characteristic.Permissions,
    value: bytes | Callable[[], bytes],
) -> Characteristic[bytes]:
    if isinstance(value, bytes):
        return Characteristic(_uuid(number), properties, permissions, value)
    dynamic = CharacteristicValue[bytes](read=lambda _connection: value())
    return Characteristic(_uuid(number), properties, permissions, dynamic)


def _uuid(number: Number) -> UUID:
    return UUID(number) if isinstance(number, str) else UUID.from_16_bits(number)
