"""What BlueZ knows of a device."""

from dataclasses import dataclass
from typing import Any

from healthd.profiles.registry import canonical_uuid


@dataclass(frozen=True, slots=True)
class Device:
    """A device as BlueZ knows it.

    Attributes:
        path: its D-Bus object.
        address: Bluetooth address, upper case.
        name: its name, or None.
        services: canonical UUIDs of its services.
        connected: whether it is linked, by whomever.
        bonded: whether BlueZ holds keys for it, which forgetting it would cost.
        heard: whether it is in the air while somebody scans.
    """

    path: str
    address: str
    name: str | None
    services: frozenset[str]
    connected: bool
    bonded: bool
    heard: bool


def device_of(path: str, properties: dict[str, Any]) -> Device:
    """The device that an object of BlueZ with these properties stands for."""
    address = properties["Address"].upper()
    name = properties.get("Name") or properties.get("Alias")
    # Without a name BlueZ makes an alias of the address.
    named = name if name != address.replace(":", "-") else None
    services = frozenset(canonical_uuid(uuid) for uuid in properties.get("UUIDs", ()))
    bonded = bool(properties.get("Bonded", False) or properties.get("Paired", False))
    connected, heard = bool(properties.get("Connected")), "RSSI" in properties
    return Device(path, address, named, services, connected, bonded, heard)
