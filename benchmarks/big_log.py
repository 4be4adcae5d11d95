"""A log of four devices as a phone writes it, with as many values as are wanted."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from healthd.capture.files.btsnoop import EPOCH
from healthd.profiles.uuids import full_uuid

_START = 1_795_480_000_000_000 + EPOCH
_RECEIVED = 1
_DATA, _EVENT = 2, 4
_ATT, _MTU = 4, 247


class _Device(NamedTuple):
    """A device: its service and characteristic, and what makes a value.

    Attributes:
        service: UUID.
        characteristic: UUID.
        value: makes a value.
        weight: how many values it has per value of the slowest device.
    """

    service: str
    characteristic: str
    value: Callable[[random.Random], bytes]
    weight: int


def _heart_rate(rng: random.Random) -> bytes:
    return struct.pack("<BBHH", 0x16, rng.randrange(50, 190), *_pair(rng, 300, 1200))


def _power(rng: random.Random) -> bytes:
    return struct.pack("<HhHHHH", 0x0020, *_pair(rng, 0, 800), *_pair(rng, 0, 65535), 0)


def _bike(rng: random.Random) -> bytes:
    # Speed, cadence, distance, power, energy, heart rate, elapsed time.
    return struct.pack(
        "<HHHHBhHHBBH",
        0x0B54,
        *_pair(rng, 0, 5000),
        rng.randrange(65536),
        rng.randrange(4),
        rng.randrange(600),
        *_pair(rng, 0, 1000),
        rng.randrange(20),
        rng.randrange(50, 190),
        rng.randrange(3600),
    )


def _frame(rng: random.Random) -> bytes:
    # As long as the MTU allows: what a band sends of its light sensor.
    return rng.randbytes(_MTU - 3)


def _pair(rng: random.Random, low: int, high: int) -> tuple[int, int]:
    return rng.randrange(low, high), rng.randrange(low, high)


_DEVICES = (
    _Device("180d", "2a37", _heart_rate, 1),
    _Device("1818", "2a63", _power, 1),
    _Device("1826", "2ad2", _bike, 1),
    # Fast streams make a log long: most of its values are theirs.
    _Device("fff0", "fff4", _frame, 6),
)

# Each device has handles of its own: tshark 4.0 keeps one table of handles for all links.
_HANDLES = 16


def write(file: Path, values: int) -> None:
    """Write a log: each device is connected and its services are discovered, then values follow.

    Args:
        file: where to.
        values: how many notifications.
    """
    rng = random.Random(1)
    order = [at for at, device in enumerate(_DEVICES) for _ in range(device.weight)]
    micros = _START
    with file.open("wb") as out:
        out.write(b"btsnoop\0" + struct.pack(">II", 1, 1002))
        for number, device in enumerate(_DEVICES):
            for received, packet in _beginning(number, device):
                micros += 10_000
                out.write(_record(micros, received, packet))
        for _ in range(values):
            micros += 1000 + rng.randrange(1000)
            number = rng.choice(order)
            pdu = struct.pack("<BH", 0x1B, _HANDLES * number + 3) + _DEVICES[number].value(rng)
            out.write(_record(micros, True, _acl(number, pdu)))


def _beginning(number: int, device: _Device) -> Iterator[tuple[bool, bytes]]:
    address = bytes((number + 1, 0, 0x10, 0x5E, 0, 2))
    made = struct.pack("<BBHBB6sHHHB", 1, 0, number + 1, 0, 0, address, 24, 0, 400, 0)
    yield True, bytes((_EVENT, 0x3E, len(made))) + made
    yield False, _acl(number, struct.pack("<BH", 2, _MTU))
    yield True, _acl(number, struct.pack("<BH", 3, _MTU))
    service, characteristic = _uuid(device.service), _uuid(device.characteristic)
    first = _HANDLES * number + 1
    yield False, _acl(number, struct.pack("<BHHH", 0x10, 1, 0xFFFF, 0x2800))
    entry = struct.pack("<HH", first, first + _HANDLES - 1) + service
    yield True, _acl(number, bytes((0x11, len(entry))) + entry)
    yield False, _acl(number, struct.pack("<BHHH", 0x08, 1, 0xFFFF, 0x2803))
    entry = struct.pack("<HBH", first + 1, 0x10, first + 2) + characteristic
    yield True, _acl(number, bytes((0x09, len(entry))) + entry)
    yield False, _acl(number, struct.pack("<BHH", 0x04, first + 3, 0xFFFF))
    yield True, _acl(number, struct.pack("<BBHH", 0x05, 1, first + 3, 0x2902))
    yield False, _acl(number, struct.pack("<BHH", 0x12, first + 3, 1))
    yield True, _acl(number, b"\x13")


def _uuid(text: str) -> bytes:
    if len(text) == 4:
        return bytes.fromhex(text)[::-1]
    return bytes.fromhex(full_uuid(text).replace("-", ""))[::-1]


def _acl(number: int, pdu: bytes) -> bytes:
    head = struct.pack("<BHHHH", _DATA, number + 1 | 0x2000, len(pdu) + 4, len(pdu), _ATT)
    return head + pdu


def _record(micros: int, received: bool, packet: bytes) -> bytes:
    kind = 2 if packet[0] == _EVENT else 0
    size = len(packet)
    return struct.pack(">IIIIQ", size, size, kind | received, 0, micros) + packet
