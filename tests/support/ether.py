"""A scanner whose advertisements a test makes up, for tests in virtual time."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

from healthd.central.link import Backends
from healthd.profiles.uuids import full_uuid


class Ether:
    """What a scanner hears.

    Attributes:
        scanner: the scanner that runs; None if none does.
        started: set once a scan was started.
    """

    def __init__(self) -> None:
        self.scanner: _Scanner | None = None
        self.started = asyncio.Event()

    @property
    def backends(self) -> Backends:
        return Backends(scanner=type("Scanner", (_Scanner,), {"ether": self}))

    def say(
        self,
        address: str,
        data: Mapping[str, bytes],
        name: str | None = None,
        services: tuple[str, ...] = (),
        *,
        private: bool = False,
    ) -> bool:
        """Advertise once; return whether a scanner has heard it.

        Args:
            address: of the device.
            data: by the keys of ``Broadcast``.
            name: of the device.
            services: canonical UUIDs.
            private: whether its address changes.
        """
        if self.scanner is None:
            return False
        service_data: dict[str, bytes] = {}
        manufacturer_data: dict[int, bytes] = {}
        for key, value in data.items():
            kind, _, number = key.rpartition("_")
            if kind == "service_data":
                service_data[full_uuid(number)] = value
            else:
                manufacturer_data[int(number, 16)] = value
        uuids = [full_uuid(uuid) for uuid in services]
        heard = AdvertisementData(
            name, manufacturer_data, service_data, uuids, None, -60, platform_data=()
        )
        props = {"AddressType": "random" if private else "public"}
        path = f"/org/bluez/hci0/dev_{address.replace(':', '_')}"
        details: dict[str, Any] = {"path": path, "props": props}
        device = self.scanner.create_or_update_device(address, address, name, details, heard)
        self.scanner.call_detection_callbacks(device, heard)
        return True


class _Scanner(BaseBleakScanner):
    ether: ClassVar[Ether]

    def __init__(self, callback: Any, service_uuids: Any, *_args: object, **_kwargs: Any) -> None:
        super().__init__(callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices = {}
        self.ether.scanner = self
        self.ether.started.set()

    async def stop(self) -> None:
        self.ether.scanner = None
