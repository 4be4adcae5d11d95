"""A BTHome packet: what is before its objects, and its encryption.

Layout: BTHome v2 (bthome.io/format): first byte, then objects. The first byte: bit 0 encrypted,
bit 2 the device sends only if something happens, bits 5 to 7 the version. Bit 1 was in use before
it was reserved (bthome-ble): the device's address follows, in reverse order. Encrypted
(bthome.io/encryption): objects, counter u32, tag of 4 bytes.
"""

from collections.abc import Callable

from healthd.errors import DecodeError, Sealed
from healthd.profiles.options import Options
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.vendor.bthome.environment import Environment
from healthd.profiles.vendor.bthome.objects import read_objects
from healthd.profiles.vendor.bthome.sealing import opener

_ENCRYPTED, _HAS_ADDRESS, _TRIGGERED = 0x01, 0x02, 0x04
_VERSION_BIT, _VERSION = 5, 2

_ADDRESS_BYTES = 6

_NOT_ENCRYPTED = (
    "not encrypted, although bind_key_file is set: another device may use its address; if the "
    "device does not encrypt, remove bind_key_file"
)


def is_regular(packet: bytes) -> bool:
    """Return whether a packet is of a device that sends all the time."""
    return _is_version_2(packet) and not packet[0] & _TRIGGERED


def is_triggered(packet: bytes) -> bool:
    """Return whether a packet is of a device that sends only if something happens."""
    return _is_version_2(packet) and bool(packet[0] & _TRIGGERED)


def _is_version_2(packet: bytes) -> bool:
    return bool(packet) and packet[0] >> _VERSION_BIT == _VERSION


def decode_plain(packet: bytes) -> Environment:
    """Decode a packet of a device whose key is not known."""
    return decoder(Options(), "")(packet)


def decoder(options: Options, address: str) -> Callable[[bytes], Environment]:
    """Return the decoder for one device.

    Args:
        options: has its key. With a key, a packet that is not encrypted is refused: anyone could
            have sent it.
        address: upper case; empty if it is unknown. Only the encryption needs it.
    """
    key = options.bind_key
    decrypt = opener(key)
    known_address = bytes.fromhex(address.replace(":", ""))

    def decode(packet: bytes) -> Environment:
        cursor = Cursor(packet)
        first = cursor.u8()
        if first >> _VERSION_BIT != _VERSION:
            raise DecodeError(f"found version {first >> _VERSION_BIT} of BTHome, expected 2")
        sender = known_address
        if first & _HAS_ADDRESS:
            sender = cursor.read_bytes(_ADDRESS_BYTES)[::-1]
        data = cursor.read_bytes(cursor.remaining)
        if not first & _ENCRYPTED:
            if key is not None:
                raise Sealed("not_encrypted", _NOT_ENCRYPTED)
            return Environment.of(read_objects(data))
        if key is not None and not sender:
            raise DecodeError("encrypted; the device's address is needed, too")
        opened, counter = decrypt(packet[:1], sender, data)
        return Environment.of({**read_objects(opened), "encryption_counter": counter})

    return decode
