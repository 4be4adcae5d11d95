"""What is in range: who advertises for some seconds, and who is linked and so cannot."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from healthd.central.bluez import BlueZ
from healthd.central.faults import faults_suppressed
from healthd.central.link import Advertisement, Backends, scanning
from healthd.central.match import Match, Seen
from healthd.profiles.characteristic import Profile, Use
from healthd.profiles.registry import Registry

# What everything has, and tells nothing of what it measures.
_COMMON = ("battery", "current_time", "device_information", "user_data")


@dataclass(frozen=True, slots=True)
class InRange:
    """A device that is here.

    Attributes:
        address: Bluetooth address, upper case.
        name: its name, or None.
        rssi_dbm: the strongest signal; None for one that is linked and does not advertise.
        profiles: names of the profiles whose services it advertises and healthd reads.
        is_private: its address changes every few minutes.
        is_episodic: it measures now and then, and is awake for seconds only.
        peripheral: the peripheral of the settings that it is; None for none.
        suggested_id: what it may be called in the settings, unlike all that are there.
    """

    address: str
    name: str | None
    rssi_dbm: int | None
    profiles: tuple[str, ...]
    is_private: bool
    is_episodic: bool
    peripheral: str | None
    suggested_id: str

    @property
    def is_readable(self) -> bool:
        """Whether it advertises something that healthd reads.

        Not all devices advertise what they have: without this, only a link tells.
        """
        return any(one not in _COMMON for one in self.profiles)


async def survey(
    backends: Backends,
    adapter: str | None,
    seconds: float,
    stop: asyncio.Event,
    registry: Registry,
    matches: Sequence[Match],
) -> list[InRange]:
    """Listen, and tell who was heard; the readable first, then the nearest.

    Args:
        backends: whose radio.
        adapter: BlueZ's name of it; None for any.
        seconds: how long.
        stop: ends it earlier.
        registry: what healthd reads.
        matches: the peripherals of the settings.

    Raises:
        LinkFault: the adapter cannot scan.
    """
    heard: dict[str, Advertisement] = {}

    def hear(found: Advertisement) -> None:
        before = heard.get(found.address)
        heard[found.address] = found if before is None else _together(before, found)

    async with scanning(backends, adapter, hear):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
    linked: list[Seen] = []
    if backends.scanner is None:
        with faults_suppressed():
            async with BlueZ.connected() as bluez:
                _, devices = await bluez.state()
                linked = [one for one in devices if one.connected and one.address not in heard]
    return _told(heard.values(), linked, registry, matches)


def _together(before: Advertisement, now: Advertisement) -> Advertisement:
    """A scan response adds what the advertisement had no room for; the signal comes and goes."""
    return Advertisement(
        now.address,
        now.name or before.name,
        before.services | now.services,
        max(before.rssi_dbm, now.rssi_dbm),
        now.device,
    )


def _told(
    heard: Iterable[Advertisement],
    linked: Iterable[Seen],
    registry: Registry,
    matches: Sequence[Match],
) -> list[InRange]:
    taken = {one.peripheral for one in matches}
    nearest = sorted(heard, key=lambda one: (-one.rssi_dbm, one.address))
    found = [_one(one, one.rssi_dbm, one.is_private, registry, matches, taken) for one in nearest]
    found += [_one(one, None, False, registry, matches, taken) for one in linked]
    return sorted(found, key=lambda one: (not one.is_readable, one.peripheral is None))


def _one(
    seen: Seen,
    rssi_dbm: int | None,
    is_private: bool,
    registry: Registry,
    matches: Sequence[Match],
    taken: set[str],
) -> InRange:
    offered = [profile for uuid in seen.services if (profile := registry.service(uuid))]
    profiles = sorted(offered, key=lambda one: (one.name in _COMMON, one.name))
    # The most specific entry has it, as in the daemon.
    entry = min((one for one in matches if one.fits(seen)), key=lambda one: one.by, default=None)
    names = tuple(one.name for one in profiles)
    suggested = _free_id(seen.name or next(iter(names), "peripheral"), taken)
    if entry is None:
        taken.add(suggested)
    return InRange(
        address=seen.address,
        name=seen.name,
        rssi_dbm=rssi_dbm,
        profiles=names,
        is_private=is_private,
        is_episodic=any(map(_is_episodic, profiles)),
        peripheral=None if entry is None else entry.peripheral,
        suggested_id=suggested,
    )


def _is_episodic(profile: Profile) -> bool:
    """Whether what it streams first of all are results, of which the newest one is kept."""
    streams = (one.model for one in profile.characteristics if one.use is Use.STREAM)
    first = next(streams, None)
    return first is not None and first.retained


def _free_id(name: str, taken: set[str]) -> str:
    """A name as an id of the settings; never made of an address, which is nobody's to know."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-") or "peripheral"
    number, free = 2, slug
    while free in taken:
        number, free = number + 1, f"{slug}-{number}"
    return free
