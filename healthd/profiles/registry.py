"""The known profiles: every module of this package or of ``vendor`` that declares ``PROFILE``."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from healthd.profiles import index
from healthd.profiles.characteristic import Broadcast, Characteristic
from healthd.profiles.checks import check_profiles
from healthd.profiles.dialogue import Opening
from healthd.profiles.listing import Announced, Listed, listed
from healthd.profiles.profile import Profile, is_named
from healthd.profiles.uuids import canonical_uuid
from healthd.samples import Measurement

_T = TypeVar("_T")

Report = Callable[[str, str], None]
"""Called with the name of a profile and what is wrong with it; all others are read."""


def _warn(name: str, text: str) -> None:
    warnings.warn(f"profile {name}: {text}", stacklevel=2)


class _OnDemand(Mapping[str, _T]):
    """A mapping whose keys are known and whose values are loaded when they are asked for."""

    def __init__(self, keys: Mapping[str, object], load: Callable[[str], _T]) -> None:
        self._keys = keys
        self._load = load

    def __getitem__(self, key: str) -> _T:
        if key not in self._keys:
            raise KeyError(key)
        return self._load(key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._keys))

    def __len__(self) -> int:
        return len(self._keys)


class Registry:
    """Profiles by name and service, characteristics by UUID. What is not asked for is not imported.

    A value of these mappings is imported when it is asked for, which raises what the import raises.
    ``use`` does it before, without an error: a profile that cannot be imported is then unknown.

    Attributes:
        listed: what is known about each profile without importing it, by name.
        profiles: by name, in alphabetical order.
        characteristics: by canonical UUID, in ascending order.
        broadcasts: by name, in alphabetical order.
    """

    def __init__(
        self,
        profiles: Iterable[Profile],
        known: Iterable[Listed] = (),
        report: Report = _warn,
    ) -> None:
        """Index the profiles.

        Args:
            profiles: profiles that are loaded.
            known: more of them, which are imported when they are needed.
            report: called with what is wrong with a profile.

        Raises:
            ValueError: two of the loaded ones share a name or a service, or declare the same
                characteristic or broadcast differently. An equal declaration may be shared: several
                services have the sensor location, for example. Or what they ask, or which gives way
                to which, does not fit together.
        """
        profiles = list(profiles)
        check_profiles(profiles)
        self._loaded = {profile.name: profile for profile in profiles}
        self.listed: dict[str, Listed] = {}
        self._by_service: dict[str, str] = {}
        self._by_uuid: dict[str, list[str]] = {}
        self._by_broadcast: dict[str, str] = {}
        self._by_key: dict[str, list[str]] = {}
        self._by_kind: dict[str, list[str]] = {}
        self._index([*map(listed, profiles), *known])
        self.profiles: Mapping[str, Profile] = _OnDemand(self.listed, self._profile)
        self.characteristics: Mapping[str, Characteristic] = _OnDemand(
            self._by_uuid, self._characteristic
        )
        self.broadcasts: Mapping[str, Broadcast] = _OnDemand(self._by_broadcast, self._broadcast)
        self._announced: dict[str, Broadcast | Announced] = {}
        self._report = report

    def _index(self, known: Iterable[Listed]) -> None:
        indexes = (self._by_service, self._by_uuid, self._by_broadcast, self._by_key, self._by_kind)
        for each in (self.listed, *indexes):
            each.clear()
        self.listed.update(sorted((row.name, row) for row in known))
        for row in self.listed.values():
            if row.service:
                self._by_service[row.service] = row.name
            for uuid in row.characteristics:
                self._by_uuid.setdefault(uuid, []).append(row.name)
            for broadcast in row.broadcasts:
                self._by_broadcast[broadcast.uuid] = row.name
                for key in broadcast.keys:
                    self._by_key.setdefault(key, []).append(row.name)
            for kind in row.kinds:
                self._by_kind.setdefault(kind, []).append(row.name)

    def _replace(self, name: str, *by: Listed) -> None:
        self._index([*(row for row in self.listed.values() if row.name != name), *by])

    def use(self, names: Iterable[str]) -> list[Profile]:
        """Import these profiles, if they are not yet, and return them.

        One that cannot be imported is reported, and unknown from then on: all others are read.
        """
        found: list[Profile] = []
        for name in names:
            try:
                found.append(self._profile(name))
            except Exception as error:
                self._report(name, f"not loaded: {error!r}")
                self._replace(name)
        return found

    def modules(self, uuids: Iterable[str]) -> list[str]:
        """Return the modules that ``use_on`` would import for a device."""
        return [
            self.listed[name].module for name in self._names_on(uuids) if name not in self._loaded
        ]

    def use_on(self, uuids: Iterable[str]) -> list[Profile]:
        """Return all profiles that have something to do with a device; see ``use``.

        Args:
            uuids: of its services and characteristics, in the canonical form.
        """
        return self.use(self._names_on(uuids))

    def _names_on(self, uuids: Iterable[str]) -> list[str]:
        found = frozenset(uuids)
        return [name for name, row in self.listed.items() if not found.isdisjoint(row.uuids)]

    def _profile(self, name: str) -> Profile:
        if (known := self._loaded.get(name)) is not None:
            return known
        row = self.listed[name]
        declared = index.declared_in(row.module)
        if declared is None or declared.name != name:
            raise ValueError(f"{row.module} does not declare {name}: {index.HOW}")
        if (now := listed(declared, row.module)) != row:
            self._report(name, f"the index of profiles is out of date: {index.HOW}")
            self._replace(name, now)
        self._loaded[name] = declared
        return declared

    def _characteristic(self, uuid: str) -> Characteristic:
        names = self._by_uuid[uuid]
        # Equal in all of them, so one that is loaded is as good as the others.
        name = next((name for name in names if name in self._loaded), names[0])
        declared = self._profile(name).characteristics
        return next(each for each in declared if canonical_uuid(each.uuid) == uuid)

    def _broadcast(self, name: str) -> Broadcast:
        declared = self._profile(self._by_broadcast[name]).broadcasts
        return next(each for each in declared if each.uuid == name)

    @property
    def memories(self) -> frozenset[str]:
        """UUIDs of the control points with a channel that stored records are requested from."""
        return frozenset(row.memory for row in self.listed.values() if row.memory)

    def characteristic(self, uuid: str) -> Characteristic | None:
        """Return the characteristic with this UUID, in any form that canonical_uuid accepts."""
        return self.characteristics.get(canonical_uuid(uuid))

    @property
    def sources(self) -> list[Characteristic]:
        """Everything that has a decoder: the characteristics, then the broadcasts."""
        return [*self.characteristics.values(), *self.broadcasts.values()]

    def source(self, uuid: str) -> Characteristic:
        """Return what decodes what arrives under this canonical UUID, or the name of a broadcast.

        Pieces of frames are decoded by the control point whose channel notifies them.
        """
        if uuid in self.characteristics:
            return self.characteristics[uuid]
        for profile in self.use_on([uuid]):
            for each in profile.characteristics:
                if each.channel is not None and uuid in each.channel.notifies:
                    return each
        return self.broadcasts[uuid]

    def model(self, kind: str) -> type[Measurement] | None:
        """Return the model of a kind of measurement that is received; None if there is none."""
        for profile in self.use(self._by_kind.get(kind, ())):
            for source in (*profile.characteristics, *profile.broadcasts):
                if source.model.kind == kind:
                    return source.model
        return None

    def publishing(self, kinds: Iterable[str]) -> set[str]:
        """Return the names of all profiles that make measurements of these kinds."""
        return {name for kind in kinds for name in self._by_kind.get(kind, ())}

    @property
    def broadcast_keys(self) -> frozenset[str]:
        """The keys of all advertised data that healthd reads; see ``Broadcast.keys``."""
        return frozenset(self._by_key)

    def announced(self, service: str | None = None) -> tuple[Broadcast | Announced, ...]:
        """Return the broadcasts of one profile, or of all of them; the same ones each time."""
        rows = self.listed.values() if service is None else (self.listed[service],)
        found = [(row, each) for row in rows for each in row.broadcasts]
        for row, (uuid, keys, silence_s, _) in found:
            if uuid not in self._announced:
                is_loaded = row.name in self._loaded
                unloaded = Announced(uuid, keys, silence_s, self._find)
                self._announced[uuid] = self.broadcasts[uuid] if is_loaded else unloaded
        return tuple(self._announced[each.uuid] for _, each in found)

    def _find(self, name: str) -> Broadcast | None:
        if (owner := self._by_broadcast.get(name)) is not None:
            self.use([owner])
        return self.broadcasts.get(name)

    def broadcasts_in(self, data: Mapping[str, bytes]) -> list[tuple[Profile, Broadcast, bytes]]:
        """Return what healthd reads in advertised data: the profile, the broadcast, its bytes.

        Args:
            data: by key; see ``Broadcast.keys``.
        """
        return [
            (profile, broadcast, value)
            for key, value in data.items()
            if key in self._by_key
            for profile in self.use(dict.fromkeys(self._by_key[key]))
            for broadcast in profile.broadcasts
            if key in broadcast.keys and broadcast.fits(value)
        ]

    def service(self, uuid: str) -> Profile | None:
        """Return the profile of the service with this UUID, in any form of canonical_uuid."""
        name = self._by_service.get(canonical_uuid(uuid))
        return None if name is None else self._profile(name)

    def namesakes(self, service: str) -> frozenset[str]:
        """Return the services of other profiles whose devices have such names, too.

        Args:
            service: name of the profile.
        """
        names = {pattern.lower() for pattern in self.listed[service].names}
        return frozenset(
            other.service
            for other in self.listed.values()
            if other.name != service and not names.isdisjoint(map(str.lower, other.names))
        )

    def recognised(self, services: Iterable[str], name: str | None) -> list[Listed]:
        """Return the profiles that a device seems to have, each once.

        Makers give one name to devices with different protocols. So the name counts only if the
        device advertises none of the services that devices with such a name have.

        Args:
            services: UUIDs of the services that it advertises.
            name: the name that it advertises; None if there is none.
        """
        found = (self._by_service.get(canonical_uuid(uuid)) for uuid in services)
        advertised = {known: self.listed[known] for known in found if known is not None}
        named = {row.name: row for row in self.listed.values() if is_named(name, row.names)}
        if not advertised.keys() & named.keys():
            advertised |= named
        return list(advertised.values())


def openings_anywhere(profiles: Iterable[Profile]) -> list[tuple[Profile, Opening]]:
    """Return the openings that do not depend on the services of a device, with their profiles."""
    return [(profile, profile.anywhere) for profile in profiles if profile.anywhere is not None]


def load(report: Report = _warn, file: Path = index.FILE) -> Registry:
    """Return the registry of all profiles; those that the index does not have are imported.

    Args:
        report: called later, too, with what is wrong with a profile.
        file: the index.
    """
    known = index.read(file)
    present = set(index.modules())
    unknown = (index.declared_in(name) for name in sorted(present - known.modules))
    rows = (row for row in known.profiles if row.module in present)
    return Registry((profile for profile in unknown if profile is not None), rows, report)
