"""What is known of the attributes of a device, from discoveries and from the user."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from uuid import UUID

from healthd.profiles.uuids import canonical_uuid
from healthd.traffic.lines import Characteristic, Descriptor, Service

CCCD = "2902"
_AFTER_LAST = 0x10000
_DECLARATIONS = ("2800", "2801", "2802", "2803")

# The bits of a declaration's properties (Core Specification, Vol 3, Part G, section 3.3.1.1), in
# the words of BlueZ.
_PROPERTIES = (
    "broadcast",
    "read",
    "write-without-response",
    "write",
    "notify",
    "indicate",
    "authenticated-signed-writes",
    "extended-properties",
)


def uuid_of(raw: bytes) -> str:
    """Return the UUID of two, four or sixteen bytes, the last one first.

    Raises:
        ValueError: there are other numbers of bytes.
    """
    if len(raw) == 16:
        return canonical_uuid(str(UUID(bytes=raw[::-1])))
    return canonical_uuid(raw[::-1].hex())


# The bits of *notify* and *indicate*.
_SENDS = 0x30

# The largest devices have some hundred. A file that is made to fill the memory may have more.
_MOST = 1000


class Attributes:
    """The attributes of one device.

    Attributes:
        version: changes whenever something new becomes known.
    """

    def __init__(self, given: Mapping[int, str]) -> None:
        """Start with the UUIDs that the user has given for handles."""
        self.version = 0
        self._given = given
        self._services: dict[int, tuple[int, str]] = {}
        # By the handle of the declaration: properties, handle of the value, UUID.
        self._characteristics: dict[int, tuple[int, int, str]] = {}
        self._others: dict[int, str] = {}
        self._uuids: dict[int, str] = {}

    def add_service(self, first: int, last: int, uuid: str) -> None:
        """Note a service."""
        if self._services.get(first) != (last, uuid) and len(self._services) < _MOST:
            self._services[first] = (last, uuid)
            self.version += 1

    def add_characteristic(self, declared: int, properties: int, handle: int, uuid: str) -> None:
        """Note a characteristic."""
        known = self._characteristics.get(declared)
        if known != (properties, handle, uuid) and len(self._characteristics) < _MOST:
            self._characteristics[declared] = (properties, handle, uuid)
            self._uuids[handle] = uuid
            self.version += 1

    def add_attribute(self, handle: int, uuid: str) -> None:
        """Note an attribute of which only the UUID is known: a descriptor, in most cases."""
        is_known = uuid in _DECLARATIONS or self._uuids.get(handle) == uuid
        if is_known or len(self._others) >= _MOST:
            return
        self._others[handle] = self._uuids[handle] = uuid
        self.version += 1

    def uuid(self, handle: int) -> str | None:
        """Return the UUID of an attribute, or None."""
        return self._uuids.get(handle) or self._given.get(handle)

    def is_declaration(self, handle: int) -> bool:
        """Whether an attribute only says which services and characteristics there are."""
        return handle in self._services or handle in self._characteristics

    def owner(self, handle: int) -> int | None:
        """Return the value handle of the characteristic that a descriptor belongs to."""
        return max(
            (value for _, value, _ in self._characteristics.values() if value < handle),
            default=None,
        )

    def configures(self, handle: int) -> int | None:
        """Return the value handle of the characteristic whose CCCD this handle is, or None.

        If there is room for one descriptor only, BlueZ and Android do not ask what it is before
        they write it: it can only be the CCCD of a characteristic that notifies.
        """
        uuid, value = self.uuid(handle), handle - 1
        if uuid == CCCD:
            return self.owner(handle)
        if uuid is not None or self.is_declaration(handle):
            return None
        if value not in self._given and not self._notifies(value):
            return None
        self.add_attribute(handle, CCCD)
        return value

    def _notifies(self, handle: int) -> bool:
        return any(
            value == handle and properties & _SENDS
            for properties, value, _ in self._characteristics.values()
        )

    def services(self) -> tuple[Service, ...]:
        """Return the services that are known, with their characteristics."""
        firsts = sorted(self._services)
        within: dict[int, list[Characteristic]] = {first: [] for first in firsts}
        for declared, characteristic in self._with_descriptors():
            if place := bisect_right(firsts, declared):
                first = firsts[place - 1]
                if declared <= self._services[first][0]:
                    within[first].append(characteristic)
        return tuple(
            Service(
                uuid=self._services[first][1], handle=first, characteristics=tuple(within[first])
            )
            for first in firsts
        )

    def _with_descriptors(self) -> Iterator[tuple[int, Characteristic]]:
        """Return the characteristics by the handles of their declarations."""
        others, ends = sorted(self._others), sorted((*self._characteristics, *self._services))
        # A descriptor follows the value of its characteristic, before the next declaration.
        for at in sorted(self._characteristics):
            place = bisect_right(ends, at)
            after = ends[place] if place < len(ends) else _AFTER_LAST
            properties, handle, uuid = self._characteristics[at]
            own = others[bisect_right(others, handle) : bisect_left(others, after)]
            yield (
                at,
                Characteristic(
                    uuid=uuid,
                    handle=handle,
                    properties=_names(properties),
                    descriptors=tuple(
                        Descriptor(uuid=self._others[other], handle=other) for other in own
                    ),
                ),
            )


def _names(properties: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(_PROPERTIES) if properties >> bit & 1)
