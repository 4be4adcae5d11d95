"""Encrypted BTHome packets: AES-CCM, key of 16 bytes, tag of 4 (bthome.io/encryption)."""

from collections.abc import Callable

from healthd.errors import DecodeError, Sealed

_COUNTER_BYTES = _TAG_BYTES = 4
_UUID = b"\xd2\xfc"

_INSTALL = 'decrypting needs cryptography: pip install "healthd[bthome]"'

Open = Callable[[bytes, bytes, bytes], tuple[bytes, int]]
"""Decrypts a packet: from its first byte, the device's address and the rest of it, to its objects
and the counter of the packet. Raises DecodeError."""


def opener(key: bytes | None) -> Open:
    """Return the function that decrypts with this key; without one, it refuses all packets."""
    if key is None:
        return _refusing("key_missing", "encrypted; set bind_key_file to a file with its bind key")
    try:
        # Loaded only for devices that encrypt: it takes 9 MB.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESCCM
    except ModuleNotFoundError:
        return _refusing("library_missing", _INSTALL)
    cipher = AESCCM(key, tag_length=_TAG_BYTES)

    def decrypt(first: bytes, address: bytes, data: bytes) -> tuple[bytes, int]:
        end = len(data) - _COUNTER_BYTES - _TAG_BYTES
        if end < 0:
            expected = _COUNTER_BYTES + _TAG_BYTES
            raise DecodeError(f"encrypted; found {len(data)} of at least {expected} bytes")
        counter = data[end:-_TAG_BYTES]
        try:
            opened = cipher.decrypt(
                address + _UUID + first + counter, data[:end] + data[-_TAG_BYTES:], None
            )
        except InvalidTag as error:
            raise Sealed(
                "wrong_key", "encrypted with another bind key, or for another address"
            ) from error
        return opened, int.from_bytes(counter, "little")

    return decrypt


def _refusing(reason: str, message: str) -> Open:
    def refuse(_first: bytes, _address: bytes, _data: bytes) -> tuple[bytes, int]:
        raise Sealed(reason, message)

    return refuse
