"""What is in range: who advertises for some seconds, and who is linked and so cannot."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import orjson

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

    @property
    def block(self) -> str:
        """The lines to be pasted into the settings."""
        lines = ["[[peripherals]]", f"id = {_text(self.suggested_id)}"]
        if self.name is not None and self.is_private:
            lines.append(f"name = {_text(self.name)}  # its address changes")
        else:
            named = "" if self.name is None else f"  # {_text(self.name)}"
            comment = "  # it changes: pair with it" if self.is_private else named
            lines.append(f"address = {_text(self.address)}{comment}")
        if self.is_episodic:
            lines.append('on = "advertising"  # fetched whenever it shows up')
        return "\n".join(lines) + "\n"

    def fields(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        block = None if self.peripheral else self.block
        return {**asdict(self), "is_readable": self.is_readable, "block": block}


class Heard:
    """Who was heard.

    Attributes:
        by_address: each with all that any of its advertisements said.
    """

    def __init__(self) -> None:
        """Start with nobody."""
        self.by_address: dict[str, Advertisement] = {}

    def hear(self, found: Advertisement) -> None:
        """Somebody advertises."""
        before = self.by_address.get(found.address)
        self.by_address[found.address] = found if before is None else _together(before, found)


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
    heard = Heard()
    async with scanning(backends, adapter, heard.hear):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
    linked: list[Seen] = []
    if backends.scanner is None:
        with faults_suppressed():
            async with BlueZ.connected() as bluez:
                _, devices = await bluez.state()
                linked = [one for one in devices if one.connected]
    return told(heard, linked, registry, matches)


def _together(before: Advertisement, now: Advertisement) -> Advertisement:
    """A scan response adds what the advertisement had no room for; the signal comes and goes."""
    return Advertisement(
        now.address,
        now.name or before.name,
        before.services | now.services,
        max(before.rssi_dbm, now.rssi_dbm),
        now.device,
    )


def told(
    heard: Heard, linked: Iterable[Seen], registry: Registry, matches: Sequence[Match]
) -> list[InRange]:
    """What is known of them; the readable first, then the nearest.

    Args:
        heard: who was.
        linked: who has a link, and so may not have been.
        registry: what healthd reads.
        matches: the peripherals of the settings.
    """
    taken = {one.peripheral for one in matches}
    nearest = sorted(heard.by_address.values(), key=lambda one: (-one.rssi_dbm, one.address))
    found = [_one(one, one.rssi_dbm, one.is_private, registry, matches, taken) for one in nearest]
    others = (one for one in linked if one.address not in heard.by_address)
    found += [_one(one, None, False, registry, matches, taken) for one in others]
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


def _text(value: str) -> str:
    """Text in quotes, as TOML wants it: JSON's escapes, and one that JSON leaves out."""
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")


def _free_id(name: str, taken: set[str]) -> str:
    """A name as an id of the settings; never made of an address, which is nobody's to know."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-") or "peripheral"
    number, free = 2, slug
    while free in taken:
        number, free = number + 1, f"{slug}-{number}"
    return free
