"""What BlueZ knows about a device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healthd.profiles.uuids import canonical_uuid


@dataclass(frozen=True, slots=True)
class Device:
    """A device as BlueZ knows it.

    Attributes:
        path: its D-Bus object.
        address: Bluetooth address, upper case.
        name: its name, or None.
        services: canonical UUIDs of its services.
        connected: whether it has a link, made by healthd or by another program.
        bonded: whether BlueZ has keys for it; they are lost if BlueZ forgets the device.
        heard: whether it was heard by a running scan.
    """

    path: str
    address: str
    name: str | None
    services: frozenset[str]
    connected: bool
    bonded: bool
    heard: bool

    @property
    def data(self) -> Mapping[str, bytes]:
        """No advertised data: what BlueZ remembers of it may be old."""
        return {}


def device_of(path: str, properties: dict[str, Any]) -> Device:
    """Return the device that a BlueZ object with these properties represents."""
    address = properties["Address"].upper()
    name = properties.get("Name") or properties.get("Alias")
    # If there is no name, BlueZ makes an alias of the address.
    named = name if name != address.replace(":", "-") else None
    services = frozenset(canonical_uuid(uuid) for uuid in properties.get("UUIDs", ()))
    bonded = bool(properties.get("Bonded", False) or properties.get("Paired", False))
    connected, heard = bool(properties.get("Connected")), "RSSI" in properties
    return Device(path, address, named, services, connected, bonded, heard)
