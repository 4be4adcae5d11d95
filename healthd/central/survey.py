"""Which devices are in range: those that advertise, and those that are linked and so do not."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from healthd.central.bluez import BlueZ
from healthd.central.faults import faults_suppressed
from healthd.central.interest import Interest
from healthd.central.link import Advertisement, Backends
from healthd.central.match import Match, Seen, exactly
from healthd.central.scanner import scanning
from healthd.log import get_logger
from healthd.printable import toml_escaped
from healthd.profiles.listing import Listed
from healthd.profiles.registry import Registry

MOST_DEVICES = 200
"""Devices that are kept, at most. A crowded gym has about a hundred; beyond that, someone sends
advertisements of devices that do not exist."""

# Addresses that are counted, at most: 0.5 MB.
_MOST_COUNTED = 5000

# Services of one device. An advertisement has room for 15; a few of them may differ.
_MOST_SERVICES = 64

# Profiles that most devices have and that do not show what a device measures.
_COMMON = ("battery", "current_time", "device_information", "user_data")


@dataclass(frozen=True, slots=True)
class InRange:
    """A device in range.

    Attributes:
        address: Bluetooth address, upper case.
        name: its name, or None.
        rssi_dbm: the strongest signal; None if it is linked and does not advertise.
        profiles: names of the profiles that it seems to have and healthd reads: by the services,
            the data or the name that it advertises.
        is_private: whether its address changes every few minutes.
        is_episodic: whether it measures now and then, and is awake only for seconds.
        is_broadcast: whether it advertises what it measures, so that no link is needed.
        peripheral: the id of its peripheral in the settings; None if it is not there.
        suggested_id: an id for it that the settings do not use yet.
        hint: what has to be done with it before healthd can read it; empty: nothing.
    """

    address: str
    name: str | None
    rssi_dbm: int | None
    profiles: tuple[str, ...]
    is_private: bool
    is_episodic: bool
    is_broadcast: bool
    peripheral: str | None
    suggested_id: str
    hint: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether it seems to have something that healthd reads.

        Not all devices advertise all their services; for the others only a link shows them.
        """
        return any(profile not in _COMMON for profile in self.profiles)

    @property
    def block(self) -> str:
        """The lines to paste into the settings."""
        lines = [f"# {self.hint}"] if self.hint else []
        lines += ["[[peripherals]]", f"id = {_toml_string(self.suggested_id)}"]
        # TOML has no way to write a surrogate, and the settings refuse an empty name.
        name = re.sub("[\ud800-\udfff]", "", self.name or "")
        if name and name == self.name and self.is_private:
            # Only this name: a device may be called "*".
            lines.append(f"name = {_toml_string(exactly(name))}  # its address changes")
        else:
            named = f"  # {_toml_string(name)}" if name else ""
            private = "  # this address changes; pair the device to get a fixed one"
            if self.is_broadcast:
                private = "  # this address changes; set service in place of it"
            comment = private if self.is_private else named
            lines.append(f"address = {_toml_string(self.address)}{comment}")
        if self.is_broadcast:
            lines.append("connect = false  # it advertises what it measures")
        elif self.is_episodic:
            lines.append('on = "advertising"  # fetched whenever it shows up')
        return "\n".join(lines) + "\n"

    def fields(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        block = None if self.peripheral else self.block
        return {**asdict(self), "is_readable": self.is_readable, "block": block}


class Heard:
    """The devices that were heard, at most ``MOST_DEVICES`` of them.

    Those of the settings are kept first, then those that healthd can read, then the nearest.
    """

    def __init__(self, registry: Registry, matches: Sequence[Match]) -> None:
        """Start empty.

        Args:
            registry: what healthd reads.
            matches: the peripherals of the settings.
        """
        self._registry = registry
        self._matches = matches
        self._kept: dict[str, Advertisement] = {}
        self._addresses: set[str] = set()

    def add(self, found: Advertisement) -> None:
        """Add an advertisement."""
        if len(self._addresses) < _MOST_COUNTED:
            self._addresses.add(found.address)
        before = self._kept.get(found.address)
        self._kept[found.address] = found if before is None else _combined(before, found)
        # Sorted once for as many new devices as are kept, so each one costs little.
        if len(self._kept) >= 2 * MOST_DEVICES:
            self._kept = {seen.address: seen for seen in self.devices()}

    def devices(self) -> list[Advertisement]:
        """Return those that are kept, each with the combined content of its advertisements."""
        return sorted(self._kept.values(), key=self._rank)[:MOST_DEVICES]

    @property
    def left_out(self) -> int:
        """How many other devices were heard; of very many only some are counted."""
        return max(0, len(self._addresses) - min(len(self._kept), MOST_DEVICES))

    def _rank(self, seen: Advertisement) -> tuple[bool, bool, int, str]:
        is_new = not any(match.fits(seen) for match in self._matches)
        profiles = _advertised(seen, self._registry)
        is_readable = any(profile.name not in _COMMON for profile in profiles)
        return is_new, not is_readable, -seen.rssi_dbm, seen.address


async def survey(
    backends: Backends,
    adapter: str | None,
    seconds: float,
    stop: asyncio.Event,
    registry: Registry,
    matches: Sequence[Match],
) -> list[InRange]:
    """Scan, and return the devices in range; readable ones first, then the nearest.

    Args:
        backends: replacements for the system's Bluetooth.
        adapter: its name in BlueZ; None for any.
        seconds: how long to scan.
        stop: ends it earlier.
        registry: what healthd reads.
        matches: the peripherals of the settings.

    Raises:
        LinkFault: the adapter cannot scan.
    """
    heard = Heard(registry, matches)
    async with scanning(backends, adapter, Interest(registry.broadcast_keys), heard.add):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
    linked: list[Seen] = []
    if backends.scanner is None:
        with faults_suppressed():
            async with BlueZ.connected() as bluez:
                _, devices = await bluez.state()
                linked = [device for device in devices if device.connected]
    if heard.left_out:
        log = get_logger(service="scan")
        log.warning("devices left out", number=heard.left_out, hint="the nearest are shown")
    return in_range(heard, linked, registry, matches)


def _combined(before: Advertisement, now: Advertisement) -> Advertisement:
    """Combine two advertisements: a scan response adds what the first had no room for."""
    services = before.services | now.services
    return Advertisement(
        now.address,
        now.name or before.name,
        before.services if len(services) > _MOST_SERVICES else services,
        max(before.rssi_dbm, now.rssi_dbm),
        now.device,
        {**before.data, **now.data},
    )


def in_range(
    heard: Heard, linked: Iterable[Seen], registry: Registry, matches: Sequence[Match]
) -> list[InRange]:
    """Describe the devices in range; readable ones first, then the nearest.

    Args:
        heard: the devices that advertise.
        linked: the devices that have a link, which may not advertise.
        registry: what healthd reads.
        matches: the peripherals of the settings.
    """
    used_ids = {match.peripheral for match in matches}
    nearest = sorted(heard.devices(), key=lambda seen: (-seen.rssi_dbm, seen.address))
    found = [
        _describe(seen, seen.rssi_dbm, seen.is_private, registry, matches, used_ids)
        for seen in nearest
    ]
    addresses = {seen.address for seen in nearest}
    others = (device for device in linked if device.address not in addresses)
    found += [_describe(device, None, False, registry, matches, used_ids) for device in others]
    return sorted(found, key=lambda device: (not device.is_readable, device.peripheral is None))


def _describe(
    seen: Seen,
    rssi_dbm: int | None,
    is_private: bool,
    registry: Registry,
    matches: Sequence[Match],
    used_ids: set[str],
) -> InRange:
    offered = _advertised(seen, registry)
    profiles = sorted(offered, key=lambda profile: (profile.name in _COMMON, profile.name))
    # The most specific entry gets the device, as in the daemon.
    fitting = (match for match in matches if match.fits(seen))
    entry = min(fitting, key=lambda match: match.by, default=None)
    names = tuple(profile.name for profile in profiles)
    # Some makers put the address into the name.
    named = re.sub(seen.address.replace(":", ""), "", seen.name or "", flags=re.IGNORECASE)
    suggested = _free_id(named or next(iter(names), "peripheral"), used_ids)
    if entry is None:
        used_ids.add(suggested)
    used = suggested if entry is None else entry.peripheral
    hint = next((profile.hint for profile in profiles if profile.hint), "")
    return InRange(
        address=seen.address,
        name=seen.name,
        rssi_dbm=rssi_dbm,
        profiles=names,
        is_private=is_private,
        is_episodic=any(profile.gives_results for profile in profiles),
        is_broadcast=_is_broadcast(seen, registry),
        peripheral=None if entry is None else entry.peripheral,
        suggested_id=suggested,
        hint=hint.replace("healthd pair ID", f"healthd pair {used}"),
    )


def _advertised(seen: Seen, registry: Registry) -> list[Listed]:
    """Return the profiles of its services, its name and its advertised data, each once."""
    profiles = registry.recognised(seen.services, seen.name)
    profiles += [registry.listed[each.name] for each, _, _ in registry.broadcasts_in(seen.data)]
    return list({profile.name: profile for profile in profiles}.values())


def _is_broadcast(seen: Seen, registry: Registry) -> bool:
    """Return whether it is better listened to than linked.

    A link to a device that measures all the time brings more than its advertisements: a strap
    sends its RR intervals only there. A result, such as a weight, is the same in both.
    """
    broadcasts = [broadcast for _, broadcast, _ in registry.broadcasts_in(seen.data)]
    linkable = registry.recognised(seen.services, seen.name)
    is_linkable = any(profile.name not in _COMMON for profile in linkable)
    are_results = all(broadcast.silence_s is None for broadcast in broadcasts)
    return bool(broadcasts) and (are_results or not is_linkable)


def _toml_string(value: str) -> str:
    """Return the text as a TOML string; an editor or a terminal shows all of it."""
    return f'"{toml_escaped(value)}"'


def _free_id(name: str, used_ids: set[str]) -> str:
    """Make an unused id from a name; never from an address, which must stay out of topics."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-") or "peripheral"
    number, free = 2, slug
    while free in used_ids:
        number, free = number + 1, f"{slug}-{number}"
    return free
