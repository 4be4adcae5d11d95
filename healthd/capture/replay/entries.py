"""Which entries of the settings the devices of a capture belong to."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from healthd.capture.replay.recording import RecordedDevice, RecordedLink, Recording
from healthd.central.advertised import AdvertisedData
from healthd.gateway.entry import match_for
from healthd.profiles.registry import Registry
from healthd.profiles.uuids import canonical_uuid, full_uuid
from healthd.settings.model import PeripheralSettings
from healthd.traffic.lines import Advertised

# What takes the place of the keys by which a device is found.
_FOUND_BY = frozenset(("address", "name", "service"))

# What a capture has in place of a file's path.
_LEFT_OUT = "left out"


class _Seen(NamedTuple):
    """A device, as ``Match`` sees it."""

    address: str
    name: str | None
    services: frozenset[str]
    data: Mapping[str, bytes]


def fits(entry: PeripheralSettings, device: RecordedDevice, known: Registry) -> bool:
    """Return whether a device may be the peripheral of this entry."""
    return match_for(entry, known).fits(_seen(device, known))


def entries_for(
    entries: Iterable[PeripheralSettings], recording: Recording, known: Registry
) -> list[PeripheralSettings]:
    """Return the entries of the settings, with the addresses of the capture where they differ.

    A capture without identities has other addresses and names. The entry that it was made with has
    the same id.
    """
    found: list[PeripheralSettings] = []
    devices = list(recording.devices.values())
    own_id = recording.start.peripheral.get("id")
    for entry in entries:
        is_own = entry.id == own_id and not any(fits(entry, each, known) for each in devices)
        if is_own:
            changes = {"address": _main(devices).address, "name": None, "service": None}
            entry = entry.model_copy(update=changes)
        found.append(entry)
    return found


def entries_of(recording: Recording, known: Registry, consent_file: Path) -> list[dict[str, Any]]:
    """Return an entry for each device of a capture that healthd can read something of.

    Args:
        recording: the capture. What it says about the settings of its peripheral is used.
        known: what healthd reads.
        consent_file: a file with any consent code: secrets are not in a capture.
    """
    readable = [device for device in recording.devices.values() if is_readable(device, known)]
    own = _own_settings(recording, consent_file)
    entries: list[dict[str, Any]] = []
    for device in readable:
        taken = {entry["id"] for entry in entries}
        if own is not None and device is _main(readable):
            entries.append({**own, "address": device.address})
        else:
            entries.append({"id": _id_of(device, taken), "address": device.address})
    return entries


def is_readable(device: RecordedDevice, known: Registry) -> bool:
    """Return whether healthd can read something of a device."""
    uuids = {
        uuid
        for entry in device.entries
        if isinstance(entry, RecordedLink)
        for service in entry.services
        for uuid in (service.uuid, *(each.uuid for each in service.characteristics))
    }
    seen = _seen(device, known)
    return bool(
        any(uuids.intersection(row.uuids) for row in known.listed.values() if row.measures)
        or any(row.measures for row in known.recognised(seen.services, seen.name))
        or known.broadcasts_in(seen.data)
    )


def _seen(device: RecordedDevice, known: Registry) -> _Seen:
    data: dict[str, bytes] = {}
    advertised = AdvertisedData(known.broadcast_keys)
    for entry in device.entries:
        if isinstance(entry, Advertised):
            service_data = {
                full_uuid(canonical_uuid(uuid)): value for uuid, value in entry.service_data.items()
            }
            companies = {int(key, 16): value for key, value in entry.manufacturer_data.items()}
            data |= advertised.pick(service_data, companies)
    services = frozenset(map(canonical_uuid, device.services))
    return _Seen(device.address, device.name, services, data)


def _main(devices: Collection[RecordedDevice]) -> RecordedDevice:
    """Return the device that most of the capture is about."""
    return max(devices, key=lambda device: len(device.entries))


def _own_settings(recording: Recording, consent_file: Path) -> dict[str, Any] | None:
    """Return the settings of the capture's peripheral, as far as they are of use; None if none."""
    given = recording.start.peripheral
    own = {
        key: value
        for key, value in given.items()
        if key not in _FOUND_BY and value != _LEFT_OUT and key != "pair"
    }
    if "consent_file" in given:
        own["consent_file"] = str(consent_file)
    if given.get("bind_key_file") == _LEFT_OUT:
        own["connect"] = False
    try:
        # The address of any device: only the other keys are tried.
        PeripheralSettings.model_validate({**own, "address": "C0:00:00:00:00:00"})
    except ValidationError:
        return None
    return own


def _id_of(device: RecordedDevice, taken: Collection[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", (device.name or "").lower()).strip("-")[:40].strip("-")
    base = slug or "device"
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
