"""Names and services that devices in range advertise: matched, described, written as settings."""

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

import orjson
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement
from healthd.central.match import By, Match
from healthd.central.survey import MOST_DEVICES, Heard, in_range
from healthd.profiles.registry import load
from healthd.profiles.uuids import canonical_uuid
from tests.fuzz import target
from tests.fuzz.pieces import Pieces, chunk

_MATCHES = (
    Match("strap", By.NAME, "Polar*"),
    Match("scale", By.ADDRESS, "C0:00:00:00:00:01"),
    Match("any", By.SERVICE, "180d"),
)


class Target(target.Target):
    """Devices, each with an address, what it is, its name and its services."""

    words = (
        b"\x0d\x18",
        b"Polar H10",
        b"*",
        b"?",
        b"[a-z]",
        b'"""',
        b"\\",
        b"\n",
        b"\x1b[2J",
        b"\xe2\x80\xae",
    )

    def seeds(self) -> Iterable[bytes]:
        """Yield a few devices."""
        strap = b"\xc0\0\0\0\0\2\3" + chunk("Polar H10 12345678") + b"\2\x0d\x18\x0f\x18"
        scale = b"\x40\0\0\0\0\1\1" + chunk("MI_SCALE") + b"\1\x1d\x18"
        pod = b"\x40\0\0\0\0\3\5" + chunk("") + b"\x81" + bytes(range(16))
        yield from (strap, scale, pod, strap + scale + pod)

    def __init__(self) -> None:
        """Load the profiles once."""
        self._registry = load()

    def fuzz(self, data: bytes) -> None:
        """Describe what is in range, and read the suggested settings back."""
        pieces, heard = Pieces(data), Heard(self._registry, _MATCHES)
        while not pieces.is_empty:
            heard.add(_advertisement(pieces))
        found = in_range(heard, (), self._registry, _MATCHES)
        assert len(found) == len(heard.devices()) <= MOST_DEVICES
        ids = [device.suggested_id for device in found if device.peripheral is None]
        assert len(set(ids)) == len(ids)
        by_address = {seen.address: seen for seen in heard.devices()}
        for device in found:
            assert device.suggested_id.replace("-", "a").isalnum()
            assert orjson.loads(orjson.dumps(device.fields()))["name"] == device.name
            (entry,) = tomllib.loads(device.block)["peripherals"]
            assert entry["id"] == device.suggested_id
            assert ("address" in entry) != ("name" in entry)
            if "name" in entry:
                # D20: a device may be called "*".
                match, seen = Match("a", By.NAME, entry["name"]), by_address[device.address]
                assert match.fits(seen)
                assert not match.fits(replace(seen, name=f"{seen.name}x"))


def _advertisement(pieces: Pieces) -> Advertisement:
    address = ":".join(f"{byte:02X}" for byte in pieces.take(6).ljust(6, b"\0"))
    flags = pieces.number()
    kind = "random" if flags & 1 else "public"
    name = pieces.text() if flags & 2 else None
    many = pieces.number()
    services = {
        str(UUID(bytes=pieces.take(16).ljust(16, b"\0")))
        if many & 0x80
        else f"{int.from_bytes(pieces.take(2), 'little'):04x}"
        for _ in range(many & 0x0F)
    }
    details = {"path": "/org/bluez/hci0/dev", "props": {"AddressType": kind}}
    device = BLEDevice(address, name, details)
    return Advertisement(address, name, frozenset(map(canonical_uuid, services)), -flags, device)
