"""What can be known about a profile without its module: a row of the index.

The modules of all profiles together need 5 MB of memory and 0.1 s of a fast processor, and most
gateways read two or three of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from healthd.profiles.characteristic import Broadcast, Characteristic, Use
from healthd.profiles.dialogue import Turn
from healthd.profiles.profile import Profile
from healthd.profiles.uuids import canonical_uuid


class ListedBroadcast(NamedTuple):
    """What is known about a broadcast; see the attributes of ``Broadcast``."""

    uuid: str
    keys: tuple[str, ...]
    silence_s: float | None
    has_decoder: bool


class Listed(NamedTuple):
    """What is known about a profile; attributes without a description are those of ``Profile``.

    Attributes:
        name: see ``Profile``.
        module: where it is declared, below ``healthd.profiles``; empty: it is loaded already.
        service: its canonical UUID, or empty.
        characteristics: their canonical UUIDs.
        others: UUIDs of everything else that a device may have and this profile uses: the control
            points of other profiles, and the characteristics that carry pieces of frames.
        broadcasts: what it reads in advertisements.
        kinds: of all measurements that it makes.
        names: see ``Profile``.
        memory: UUID of the control point with a channel that stored records are requested from;
            empty: there is none.
        measures: see ``Profile``.
        gives_results: whether its first stream has results, of which the latest one is retained.
        hint: see ``Profile``.
    """

    name: str
    module: str
    service: str = ""
    characteristics: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    broadcasts: tuple[ListedBroadcast, ...] = ()
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    memory: str = ""
    measures: bool = False
    gives_results: bool = False
    hint: str = ""

    @property
    def only_advertises(self) -> bool:
        """See ``Profile.only_advertises``."""
        return not self.service and not self.characteristics

    @property
    def uuids(self) -> tuple[str, ...]:
        """UUIDs by which a device shows that it has something for this profile."""
        service = (self.service,) if self.service else ()
        return (*service, *self.characteristics, *self.others)


@dataclass(frozen=True, slots=True)
class Announced:
    """A broadcast that is loaded once something arrives under one of its keys.

    Attributes:
        uuid: its name; see ``Broadcast``.
        keys: the same.
        silence_s: the same.
        find: returns the broadcast with a name; None if its module cannot be imported.
    """

    uuid: str
    keys: tuple[str, ...]
    silence_s: float | None
    find: Callable[[str], Broadcast | None]

    def fits(self, data: bytes) -> bool:
        """See ``Broadcast.fits``."""
        broadcast = self.find(self.uuid)
        return broadcast is not None and broadcast.fits(data)


def listed(profile: Profile, module: str = "") -> Listed:
    """Return what is known about a profile that is declared in a module."""
    own = [canonical_uuid(each.uuid) for each in profile.characteristics]
    others = dict.fromkeys(_others(profile))
    return Listed(
        name=profile.name,
        module=module,
        service=canonical_uuid(profile.service) if profile.service else "",
        characteristics=tuple(own),
        others=tuple(uuid for uuid in others if uuid not in own),
        broadcasts=tuple(
            ListedBroadcast(each.uuid, each.keys, each.silence_s, each.has_decoder)
            for each in profile.broadcasts
        ),
        kinds=tuple(dict.fromkeys(_kinds(profile))),
        names=profile.names,
        memory=_memory(profile),
        measures=profile.measures,
        gives_results=_gives_results(profile),
        hint=profile.hint,
    )


def _others(profile: Profile) -> Iterable[str]:
    for each in profile.characteristics:
        if each.channel is not None:
            yield from each.channel.writes
            yield from each.channel.notifies
    yield from (command.control for command in profile.commands.values() if command.control)
    if profile.anywhere is not None:
        yield profile.anywhere.control


def _kinds(profile: Profile) -> Iterable[str]:
    sources: tuple[Characteristic, ...] = (*profile.characteristics, *profile.broadcasts)
    for source in sources:
        yield source.model.kind
        yield from (model.kind for model in source.others)
    yield from (model.kind for model in profile.derived)


def _memory(profile: Profile) -> str:
    opening = profile.opening
    if opening is None or opening.turn is not Turn.DATA:
        return ""
    channels = {each.uuid: each.channel for each in profile.characteristics}
    return opening.control if channels.get(opening.control) is not None else ""


def _gives_results(profile: Profile) -> bool:
    """Return whether its first stream has results.

    A profile whose characteristics are only control points makes its measurements of the answers.
    """
    streams = [each.model for each in profile.characteristics if each.use is Use.STREAM]
    first = next(iter(streams or profile.derived), None)
    return first is not None and first.retained
