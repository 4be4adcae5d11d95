"""What is known of the attributes of a device, from discoveries and from the user."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from uuid import UUID

from healthd.profiles.uuids import canonical_uuid
from healthd.traffic.lines import Characteristic, Descriptor, Service

CCCD = "2902"
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
        if self._services.get(first) != (last, uuid):
            self._services[first] = (last, uuid)
            self.version += 1

    def add_characteristic(self, declared: int, properties: int, handle: int, uuid: str) -> None:
        """Note a characteristic."""
        if self._characteristics.get(declared) != (properties, handle, uuid):
            self._characteristics[declared] = (properties, handle, uuid)
            self._uuids[handle] = uuid
            self.version += 1

    def add_attribute(self, handle: int, uuid: str) -> None:
        """Note an attribute of which only the UUID is known: a descriptor, in most cases."""
        if uuid in _DECLARATIONS or self._uuids.get(handle) == uuid:
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
        return max((value for value in self._values() if value < handle), default=None)

    def services(self) -> tuple[Service, ...]:
        """Return the services that are known, with their characteristics."""
        return tuple(
            Service(uuid=uuid, handle=first, characteristics=tuple(self._within(first, last)))
            for first, (last, uuid) in sorted(self._services.items())
        )

    def _values(self) -> list[int]:
        return [handle for _, handle, _ in self._characteristics.values()]

    def _within(self, first: int, last: int) -> Iterator[Characteristic]:
        declared = sorted(self._characteristics)
        known = sorted(self._others)
        for number, at in enumerate(declared):
            if not first < at <= last:
                continue
            properties, handle, uuid = self._characteristics[at]
            end = min([*declared[number + 1 : number + 2], last + 1])
            others = known[bisect_right(known, handle) :]
            yield Characteristic(
                uuid=uuid,
                handle=handle,
                properties=tuple(
                    name for bit, name in enumerate(_PROPERTIES) if properties >> bit & 1
                ),
                descriptors=tuple(
                    Descriptor(uuid=self._others[other], handle=other)
                    for other in others
                    if other < end
                ),
            )
