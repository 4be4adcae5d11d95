"""A typed protocol for the part of bumble's GATT client that the simulator uses."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bumble.core import UUID
from bumble.gatt_client import CharacteristicProxy, DescriptorProxy, ServiceProxy


class GattClient(Protocol):
    """`bumble.gatt_client.Client`; its requests raise `bumble.att.ATT_Error`."""

    notification_subscribers: dict[int, Any]
    indication_subscribers: dict[int, Any]

    @property
    def mtu(self) -> int:
        """The ATT MTU."""
        ...

    async def request_mtu(self, mtu: int) -> int:
        """Exchange the MTU."""
        ...

    async def discover_services(self) -> list[ServiceProxy]:
        """Discover all primary services."""
        ...

    async def discover_characteristics(
        self, uuids: Sequence[UUID], service: ServiceProxy
    ) -> list[CharacteristicProxy[bytes]]:
        """Discover the characteristics of a service; all of them if no UUIDs are given."""
        ...

    async def discover_descriptors(
        self, characteristic: CharacteristicProxy[bytes]
    ) -> list[DescriptorProxy]:
        """Discover the descriptors of a characteristic."""
        ...

    async def subscribe(
        self, characteristic: CharacteristicProxy[bytes], subscriber: Callable[[bytes], None]
    ) -> None:
        """Enable notifications in the CCCD, or indications if there are no notifications."""
        ...

    async def unsubscribe(self, characteristic: CharacteristicProxy[bytes]) -> None:
        """Remove all subscribers and clear the CCCD."""
        ...

    async def read_value(self, attribute: int) -> bytes:
        """Read a value, in several requests if it is long."""
        ...

    async def write_value(self, attribute: int, value: bytes, with_response: bool) -> None:
        """Write a value, in several requests if it is long."""
        ...
