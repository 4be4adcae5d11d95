"""The known profiles: every module of this package or of ``vendor`` that declares ``PROFILE``."""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from healthd import profiles as package
from healthd.profiles import vendor
from healthd.profiles.characteristic import Broadcast, Characteristic
from healthd.profiles.checks import check_channels, check_order, check_requests
from healthd.profiles.dialogue import Opening, Turn
from healthd.profiles.profile import Profile, is_named

# Bluetooth SIG numbers are short for a UUID with this end (Core Specification, Vol 3, Part B).
_BASE = "-0000-1000-8000-00805f9b34fb"
_NUMBER = re.compile(r"(?:0x)?(?P<digits>[0-9a-f]{4}|[0-9a-f]{8})")
_FULL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_Declared = TypeVar("_Declared", Profile, Characteristic, Broadcast)


class Registry:
    """Profiles by name and service, characteristics by UUID; immutable.

    Attributes:
        profiles: by name, in alphabetical order.
        characteristics: by canonical UUID, in ascending order.
        broadcasts: by name, in alphabetical order.
    """

    def __init__(self, profiles: Iterable[Profile]) -> None:
        """Index the profiles.

        Raises:
            ValueError: two profiles share a name or a service, or declare the same characteristic
                or broadcast differently. An equal declaration may be shared: several services have
                the sensor location, for example. Or what they ask, or which gives way to which,
                does not fit together.
        """
        by_name: dict[str, Profile] = {}
        by_service: dict[str, Profile] = {}
        by_uuid: dict[str, Characteristic] = {}
        broadcasts: dict[str, Broadcast] = {}
        by_key: dict[str, list[tuple[Profile, Broadcast]]] = {}
        for profile in profiles:
            _put(by_name, profile.name, profile)
            if profile.service:
                _put(by_service, canonical_uuid(profile.service), profile)
            for broadcast in profile.broadcasts:
                _put(broadcasts, broadcast.uuid, broadcast)
                for key in broadcast.keys:
                    by_key.setdefault(key, []).append((profile, broadcast))
            for characteristic in profile.characteristics:
                _put(by_uuid, canonical_uuid(characteristic.uuid), characteristic)
        self.profiles: Mapping[str, Profile] = _ordered(by_name)
        self.characteristics: Mapping[str, Characteristic] = _ordered(by_uuid)
        self.broadcasts: Mapping[str, Broadcast] = _ordered(broadcasts)
        self._by_service = by_service
        self._by_key = by_key
        self._joined = {
            uuid: each
            for each in by_uuid.values()
            if each.channel is not None
            for uuid in each.channel.notifies
        }
        check_channels(by_uuid.values())
        check_requests(by_name.values(), by_uuid)
        check_order(by_name.values())

    @property
    def openings_anywhere(self) -> list[tuple[Profile, Opening]]:
        """The openings that do not depend on the services of a device, with their profiles."""
        profiles = self.profiles.values()
        return [(profile, profile.anywhere) for profile in profiles if profile.anywhere is not None]

    @property
    def memories(self) -> frozenset[str]:
        """UUIDs of the control points with a channel that stored records are requested from."""
        openings = [profile.opening for profile in self.profiles.values()]
        return frozenset(
            opening.control
            for opening in openings
            if opening is not None
            and opening.turn is Turn.DATA
            and self.characteristics[opening.control].channel is not None
        )

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
        return self.characteristics.get(uuid) or self._joined.get(uuid) or self.broadcasts[uuid]

    @property
    def broadcast_keys(self) -> frozenset[str]:
        """The keys of all advertised data that healthd reads; see ``Broadcast.keys``."""
        return frozenset(self._by_key)

    def broadcasts_in(self, data: Mapping[str, bytes]) -> list[tuple[Profile, Broadcast, bytes]]:
        """Return what healthd reads in advertised data: the profile, the broadcast, its bytes.

        Args:
            data: by key; see ``Broadcast.keys``.
        """
        return [
            (profile, broadcast, value)
            for key, value in data.items()
            for profile, broadcast in self._by_key.get(key, ())
            if broadcast.fits(value)
        ]

    def service(self, uuid: str) -> Profile | None:
        """Return the profile of the service with this UUID, in any form of canonical_uuid."""
        return self._by_service.get(canonical_uuid(uuid))

    def namesakes(self, profile: Profile) -> frozenset[str]:
        """Return the services of other profiles whose devices have such names, too."""
        names = {pattern.lower() for pattern in profile.names}
        return frozenset(
            canonical_uuid(other.service)
            for other in self.profiles.values()
            if other != profile and not names.isdisjoint(map(str.lower, other.names))
        )

    def recognised(self, services: Iterable[str], name: str | None) -> list[Profile]:
        """Return the profiles that a device seems to have, each once.

        Makers give one name to devices with different protocols. So the name counts only if the
        device advertises none of the services that devices with such a name have.

        Args:
            services: UUIDs of the services that it advertises.
            name: the name that it advertises; None if there is none.
        """
        advertised = {profile.name: profile for uuid in services if (profile := self.service(uuid))}
        named = {
            profile.name: profile
            for profile in self.profiles.values()
            if is_named(name, profile.names)
        }
        if not advertised.keys() & named.keys():
            advertised |= named
        return list(advertised.values())


def load() -> Registry:
    """Import every module of the two packages and index the profiles that they declare."""
    names = (
        f"{parent.__name__}.{module.name}"
        for parent in (package, vendor)
        for module in pkgutil.iter_modules(parent.__path__)
    )
    modules = map(importlib.import_module, names)
    declared = (getattr(module, "PROFILE", None) for module in modules)
    return Registry(profile for profile in declared if isinstance(profile, Profile))


def canonical_uuid(text: str) -> str:
    """Return the form used as a key: ``2a37`` for a SIG number, else 36 lower-case characters.

    Args:
        text: 4 or 8 hex digits, with or without ``0x``, or a 36-character UUID; any case.

    Raises:
        ValueError: the text has none of these forms.
    """
    lowered = text.lower()
    if number := _NUMBER.fullmatch(lowered):
        full = number["digits"].rjust(8, "0") + _BASE
    elif _FULL.fullmatch(lowered):
        full = lowered
    else:
        raise ValueError("expected a UUID of 4, 8 or 36 characters, such as 2a37")
    # A SIG number above 16 bits has no 4-digit form and stays long.
    return full[4:8] if full.startswith("0000") and full.endswith(_BASE) else full


def full_uuid(canonical: str) -> str:
    """Return the 36-character form of a UUID that ``canonical_uuid`` has returned."""
    return f"0000{canonical}{_BASE}" if len(canonical) == 4 else canonical


def _put(index: dict[str, _Declared], key: str, declared: _Declared) -> None:
    if index.setdefault(key, declared) != declared:
        raise ValueError(f"{key} is declared twice, with different contents")


def _ordered(index: dict[str, _Declared]) -> Mapping[str, _Declared]:
    return MappingProxyType(dict(sorted(index.items())))
