"""What all devices on the virtual radio have in common."""

from typing import Protocol

from bumble.link import LocalLink


class VirtualDevice(Protocol):
    """A device for the virtual radio, with or without a GATT server."""

    @property
    def name(self) -> str:
        """The advertised name."""
        ...

    @property
    def address(self) -> str:
        """Its Bluetooth address."""
        ...

    async def power_on(self, ether: LocalLink) -> None:
        """Start on a virtual radio."""
        ...

    async def power_off(self) -> None:
        """Stop."""
        ...

    async def appear(self) -> None:
        """Come into range."""
        ...

    async def vanish(self) -> None:
        """Go out of range."""
        ...
