"""What to read and subscribe on a link, in which order, and what it lacks."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from healthd.central.faults import LinkFault
from healthd.central.link import Advertisement
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.listing import Listed
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import to_be_read_before
from healthd.profiles.registry import Registry
from healthd.sessions.faults import (
    CharacteristicMissing,
    NoMeasurements,
    NothingToRead,
    ServiceMissing,
)
from healthd.sessions.memory import DeviceMemory, Step


class Shown(Protocol):
    """The services that a device has."""

    @property
    def services(self) -> frozenset[str]:
        """Canonical UUIDs of its services."""
        ...

    @property
    def characteristics(self) -> frozenset[str]:
        """Canonical UUIDs of its characteristics."""
        ...

    def can_notify(self, uuid: str) -> bool:
        """Whether the device notifies or indicates the characteristic."""
        ...


class Discovered(Shown, Protocol):
    """The services of a device, as a link has discovered them."""

    @property
    def found(self) -> Advertisement:
        """Its advertisement."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """The characteristics of one link that healthd reads, in the order of their groups.

    Attributes:
        profiles: the profiles that the device has and that healthd reads.
        asked: the control points that measurements or records are requested from.
        first: read before everything else, because the measurements depend on them.
        measurements: the streams that the link is for.
        extras: streams that only accompany a measurement.
        states: read, and subscribed if the device notifies them.
        facts: read once, the rest of them.
        surplus: UUIDs of what only profiles have that give way to others, or that are locked.
        locked: the profiles that healthd could read with a key.
    """

    profiles: list[Profile]
    asked: list[Characteristic]
    first: list[Characteristic]
    measurements: list[Characteristic]
    extras: list[Characteristic]
    states: list[Characteristic]
    facts: list[Characteristic]
    surplus: frozenset[str]
    locked: list[Profile]

    @property
    def sources(self) -> frozenset[str]:
        """UUIDs of everything that measures: the streams, and what is asked."""
        return self.streams | {each.uuid for each in self.asked}

    @property
    def streams(self) -> frozenset[str]:
        """UUIDs of all streams."""
        return frozenset(each.uuid for each in (*self.measurements, *self.extras))

    def rest(self, link: Discovered) -> Iterator[tuple[Step, Characteristic]]:
        """Return the steps that are not needed for the measurements, the important ones first."""
        for extra in self.extras:
            yield Step("subscribe", extra.uuid), extra
        for state in self.states:
            # Read first: BlueZ reports a read of a subscribed characteristic as a notification.
            if state not in self.first:
                yield Step("read", state.uuid), state
            if link.can_notify(state.uuid):
                yield Step("subscribe", state.uuid), state
        for fact in self.facts:
            yield Step("read", fact.uuid), fact


def profiles_of(registry: Registry, link: Shown) -> list[Profile]:
    """Return the profiles of all services of this device, and of what is added to them."""
    services = [registry.service(uuid) for uuid in sorted(link.services)]
    added = [
        profile
        for profile in registry.use_on(link.characteristics)
        if not profile.service and _uuids([profile]) & link.characteristics
    ]
    return [*(profile for profile in services if profile is not None), *added]


def plan_for(registry: Registry, link: Shown, *, has_key: bool = False) -> Plan:
    """Return what to read from this device.

    Args:
        registry: what healthd reads.
        link: the link.
        has_key: whether there is a key for the device, if it has one.
    """
    found = profiles_of(registry, link)
    # What cannot be read must not replace what can.
    locked = [] if has_key else [profile for profile in found if profile.pairing is not None]
    profiles = _without_replaced([each for each in found if each not in locked], link)
    surplus = _uuids(each for each in found if each not in profiles) - _uuids(profiles)
    known = [
        registry.characteristics[uuid]
        for uuid in sorted(link.characteristics - surplus)
        if uuid in registry.characteristics
    ]
    controls = {profile.asks for profile in profiles}
    notified = {each.uuid for each in known if link.can_notify(each.uuid)}
    streams = [
        each
        for each in known
        if each.use is Use.STREAM and each.uuid in notified and each.unless not in notified
    ]
    measurements = [each for each in streams if not each.accompanies]
    facts = [each for each in known if each.use is Use.STATIC]
    before = to_be_read_before({each.uuid for each in known})
    first = [each for each in known if each.uuid in before or each.precedes]
    return Plan(
        profiles=profiles,
        asked=[each for each in known if each.uuid in controls],
        first=first,
        measurements=measurements or streams,
        extras=[each for each in streams if measurements and each.accompanies],
        states=[each for each in known if each.use is Use.STATUS],
        facts=[fact for fact in facts if fact not in first],
        surplus=surplus,
        locked=locked,
    )


def _without_replaced(found: list[Profile], link: Shown) -> list[Profile]:
    """Return the profiles without those that a better one on the same device replaces.

    A better one that shows nothing to read, because it was not discovered whole, replaces nothing.
    """
    better = [profile for profile in found if _has_source(link, profile)]
    services = {profile.service for profile in better}
    replaced = {uuid for profile in better for uuid in profile.replaces}
    return [
        profile
        for profile in found
        if profile.service not in replaced and services.isdisjoint(profile.gives_way_to)
    ]


def _has_source(link: Shown, profile: Profile) -> bool:
    """Return whether the device measures with this profile."""
    return any(
        each.uuid == profile.asks or (each.use is Use.STREAM and link.can_notify(each.uuid))
        for each in profile.characteristics
        if each.uuid in link.characteristics
    )


def _uuids(profiles: Iterable[Profile]) -> frozenset[str]:
    return frozenset(each.uuid for profile in profiles for each in profile.characteristics)


def due(plan: Plan, memory: DeviceMemory) -> list[Characteristic]:
    """Return the measurements to subscribe to, in their order.

    Those that cost the last link come last, and those that cost several are left out, as long as
    there are others: without any measurement a link is of no use.
    """
    steps = {Step("subscribe", each.uuid): each for each in plan.measurements}
    kept = [step for step in steps if not memory.leaves_out(step)]
    return [steps[step] for step in sorted(kept or steps, key=memory.suspicion)]


def lack(
    registry: Registry,
    link: Discovered,
    plan: Plan,
    service: str | None,
    before: AbstractSet[str],
) -> LinkFault | None:
    """Return what a fresh discovery of the services might bring; None if nothing is missing.

    Args:
        registry: what healthd reads.
        link: the link.
        plan: what was found on it.
        service: UUID of the service that the settings ask for; None if they ask for none.
        before: UUIDs of what measured on the device's last link.
    """
    if not plan.sources and not plan.states:
        return NothingToRead()
    if missing := before - plan.sources - plan.surplus:
        return CharacteristicMissing(missing)
    advertised = registry.recognised(link.found.services, None)
    wanted = [profile for profile in advertised if profile.measures]
    if service is not None:
        wanted += registry.recognised([service], None)
    if absent := {profile.name for profile in wanted if not _has(link, profile)}:
        return ServiceMissing(absent)
    return None if plan.sources else NoMeasurements()


def _has(link: Discovered, profile: Listed) -> bool:
    """Return whether the device has shown this service with any of its characteristics."""
    if profile.service not in link.services:
        return False
    uuids = profile.characteristics
    return not uuids or not link.characteristics.isdisjoint(uuids)
