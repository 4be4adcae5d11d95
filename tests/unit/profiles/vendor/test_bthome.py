"""BTHome: which packets are news, and encryption."""

import random
import sys
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from healthd.errors import DecodeError, Sealed
from healthd.profiles.options import Options
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load
from healthd.profiles.vendor.bthome.environment import Environment
from healthd.profiles.vendor.bthome.packets import decoder

REGISTRY = load()
ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
SECOND = 1_000_000_000

# From bthome.io: temperature and humidity, with the counter 1122867.
ENCRYPTED = bytes.fromhex("41e445f3c9962b332211006c7c4519")


def sealed(objects: bytes, counter: int, first: int = 0x41) -> bytes:
    """Encrypt as bthome.io describes it; its own example is one of the tests."""
    head, count = bytes([first]), counter.to_bytes(4, "little")
    nonce = bytes.fromhex(ADDRESS.replace(":", "")) + b"\xd2\xfc" + head + count
    made = AESCCM(KEY, tag_length=4).encrypt(nonce, objects, None)
    return head + made[:-4] + count + made[-4:]


def test_what_the_tests_encrypt_is_what_the_specification_does() -> None:
    assert sealed(bytes.fromhex("02ca0903bf13"), 1122867) == ENCRYPTED


class Device:
    """A device that is listened to."""

    def __init__(self, key: bytes | None = None) -> None:
        self._reader = Reader(REGISTRY, Options(bind_key=key), None, ["bthome"], ADDRESS)
        self._ns = 0

    def after(self, seconds: float) -> "Device":
        self._ns += int(seconds * SECOND)
        return self

    def hears(self, packet: bytes | str, broadcast: str = "bthome") -> bool:
        """Return whether a packet is published."""
        packet = bytes.fromhex(packet) if isinstance(packet, str) else packet
        source = REGISTRY.broadcasts[broadcast]
        return bool([*self._reader.take(source, packet, self._ns)])

    def decrypts(self, counter: int) -> bool:
        """Return whether a packet with a value of its own and this counter is published."""
        return self.hears(sealed(b"\x12" + random.randbytes(2) + b"\x50" + bytes(4), counter))


def test_a_repeated_packet_is_published_once() -> None:
    device = Device()
    assert device.hears("400009 02ca09")
    assert not device.hears("400009 02ca09")
    assert device.hears("40000a 02ca09")


def test_a_packet_id_counts_even_if_values_differ() -> None:
    """A later packet with an equal id is not a repetition."""
    device = Device()
    assert device.hears("400009 02ca09")
    assert not device.after(3.9).hears("400009 02cb09")
    assert not device.after(0.1).hears("400009 02ca09")
    assert device.hears("400009 02cb09")


def test_values_may_be_distributed_over_packets() -> None:
    device = Device()
    assert [device.hears("400009 02ca09"), device.hears("400009 03bf13")] == [True, True]
    assert [device.hears("400009 02ca09"), device.hears("400009 03bf13")] == [False, False]
    assert [device.hears("40000a 02ca09"), device.hears("40000a 03bf13")] == [True, True]
    assert device.hears("40000a 0151 02ca09"), "the level of the battery is new"


def test_without_packet_id_equal_values_are_published_once() -> None:
    device = Device()
    assert device.hears("4002ca09")
    assert device.hears("4003bf13")
    assert not device.hears("4002ca09")
    assert not device.hears("4003bf13")
    assert device.hears("4002cb09")
    assert device.hears("4002ca09")


@pytest.mark.parametrize("packet", ["400009", "403a01", "400009 0cb80b"])
def test_a_packet_without_values_is_not_published(packet: str) -> None:
    assert not Device().hears(packet)


def test_what_a_sleeping_device_sends_is_the_same_stream() -> None:
    device = Device()
    assert device.hears("4421 01", "bthome_triggered")
    assert not device.hears("4021 01", "bthome")


def test_equal_values_are_published_once_even_if_encrypted() -> None:
    device = Device(KEY)
    for counter, published in ((7, True), (8, False), (9, False)):
        assert device.hears(sealed(bytes.fromhex("02ca09"), counter)) is published
    assert device.hears(sealed(bytes.fromhex("02cb09"), 10))


def test_what_was_recorded_earlier_is_refused() -> None:
    device = Device(KEY)
    assert device.decrypts(5000)
    assert device.decrypts(5001)
    assert not device.decrypts(5001)
    assert not device.decrypts(5000)
    assert not device.decrypts(7)
    assert not device.after(59).decrypts(7)
    assert device.decrypts(5002)


def test_a_device_with_a_new_battery_counts_from_zero() -> None:
    device = Device(KEY)
    assert device.decrypts(5000)
    assert not device.after(60).decrypts(100), "not from zero"
    assert device.decrypts(99)
    assert device.decrypts(100)
    assert not device.decrypts(99)


def test_a_device_that_was_away_may_count_from_anywhere() -> None:
    device = Device(KEY)
    assert device.decrypts(5000)
    assert not device.after(899).decrypts(4000)
    assert device.after(1).decrypts(4000)
    assert not device.decrypts(3999)


def test_the_counter_may_overflow() -> None:
    device = Device(KEY)
    assert device.decrypts(0xFFFFFFFE)
    assert device.decrypts(0xFFFFFFFF)
    assert device.decrypts(0)
    assert device.decrypts(1)
    assert not device.decrypts(0xFFFFFFFF)
    assert device.decrypts(2)


def reads(key: bytes | None = KEY, address: str = ADDRESS) -> Callable[[bytes], Environment]:
    return decoder(Options(bind_key=key), address)


@pytest.mark.parametrize(
    ("decode", "packet", "reason"),
    [
        (reads(key=None), ENCRYPTED, "key_missing"),
        (reads(key=KEY[::-1]), ENCRYPTED, "wrong_key"),
        (reads(address="54:48:E6:8F:80:A6"), ENCRYPTED, "wrong_key"),
        (reads(), ENCRYPTED[:-1] + b"\0", "wrong_key"),
        (reads(), b"\x41" + bytes(8), "wrong_key"),
        (reads(), bytes.fromhex("4002ca09"), "not_encrypted"),
    ],
)
def test_why_a_packet_cannot_be_read(
    decode: Callable[[bytes], Environment], packet: bytes, reason: str
) -> None:
    with pytest.raises(Sealed) as raised:
        decode(packet)
    assert raised.value.reason == reason
    assert KEY.hex() not in str(raised.value)


def test_every_change_of_an_encrypted_packet_is_noticed() -> None:
    decode = reads()
    assert decode(ENCRYPTED).temperature_c == 25.06
    for place in range(len(ENCRYPTED)):
        for bit in range(8):
            changed = bytearray(ENCRYPTED)
            changed[place] ^= 1 << bit
            with pytest.raises(DecodeError):
                decode(bytes(changed))


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(Sealed, match=r'pip install "healthd\[bthome\]"') as raised:
        reads()(ENCRYPTED)
    assert raised.value.reason == "library_missing"
    assert reads(key=None)(bytes.fromhex("4002ca09")).temperature_c == 25.06


def test_every_object_of_the_specification_has_its_size() -> None:
    """A battery level after it shows where the object has ended."""
    sizes = {
        **dict.fromkeys((0x00, *range(0x0F, 0x30), 0x3A, 0x46, 0x57, 0x58, 0x59, 0x60, 0x64), 1),
        **dict.fromkeys((0x01, 0x09, 0x65), 1),
        **dict.fromkeys((0x02, 0x03, 0x06, 0x07, 0x08, 0x0C, 0x0D, 0x0E, 0x12, 0x13, 0x14), 2),
        **dict.fromkeys((0x3C, 0x3D, 0x3F, 0x40, 0x41, 0x43, 0x44, 0x45, 0x47, 0x48, 0x49), 2),
        **dict.fromkeys((0x4A, 0x51, 0x52, 0x56, 0x5A, 0x5D, 0x5E, 0x5F, 0x61, 0xF0), 2),
        **dict.fromkeys((0x04, 0x05, 0x0A, 0x0B, 0x42, 0x4B, 0xF2), 3),
        **dict.fromkeys((0x3E, 0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0x55, 0x5B, 0x5C, 0x62, 0x63), 4),
        0xF1: 4,
    }
    decode, end = reads(key=None), bytes.fromhex("0804d2")
    unknown = set(range(256)) - sizes.keys() - {0x3B, 0x53, 0x54}
    for number, size in sizes.items():
        found = decode(b"\x40" + bytes([number, *bytes(size)]) + end).fields()
        assert "trailing_bytes" not in found, hex(number)
        if number != 0x08:
            assert found["dew_point_c"] == -117.72, hex(number)
    for number in unknown:
        assert decode(b"\x40" + end + bytes([number, 1])).trailing_bytes == 2, hex(number)
