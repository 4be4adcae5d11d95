"""A simulated radio whose HCI traffic bumble's own snooper writes, and what both ends know of it.

Nothing here is healthd's reader: the file is bumble's, values and attribute tables are those of the
virtual peripherals, and requests are noted where healthd's radio hands them to the Bluetooth stack.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bumble.controller import Controller
from bumble.core import UUID
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicDeclaration, Descriptor, Service
from bumble.host import Host
from bumble.snoop import BtSnooper

from healthd.profiles.uuids import canonical_uuid
from healthd.simulator.backend import ClientBackend
from healthd.simulator.discovery import canonical

Attributes = list[tuple[str, int]]
"""UUIDs and handles."""


@dataclass(frozen=True, slots=True)
class TrueCharacteristic:
    """A characteristic of a peripheral's own attribute table."""

    uuid: str
    handle: int
    properties: frozenset[str]
    descriptors: Attributes = field(default_factory=Attributes)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that healthd's radio handed to the stack, and its answer.

    Attributes:
        what: ``read``, ``write``, ``command``, ``subscribe`` or ``unsubscribe``.
        uuid: of the characteristic.
        handle: of its value.
        value: the bytes that were read or written.
    """

    what: str
    uuid: str
    handle: int
    value: bytes = b""


@dataclass
class Truth:
    """What one peripheral is, and what was requested from it.

    Attributes:
        services: its primary services.
        characteristics: by the handle of their service.
        requests: those that were answered, in order.
        mtus: of each link, as the central has it after the exchange.
    """

    services: Attributes = field(default_factory=Attributes)
    characteristics: dict[int, list[TrueCharacteristic]] = field(
        default_factory=dict[int, list[TrueCharacteristic]]
    )
    requests: list[Request] = field(default_factory=list[Request])
    mtus: list[int] = field(default_factory=list[int])

    def handle_of(self, uuid: str) -> int:
        """Return the handle of the only characteristic with this UUID."""
        found = [
            each.handle
            for all_ in self.characteristics.values()
            for each in all_
            if each.uuid == uuid
        ]
        assert len(found) == 1, (uuid, found)
        return found[0]


class SnoopedRadio:
    """The simulator's radio with bumble's snooper on the host of its adapter.

    Attributes:
        truths: by address.
    """

    def __init__(self, output: BinaryIO, acl_bytes: int, peer_mtus: dict[str, int]) -> None:
        """Prepare.

        Args:
            output: where the snooper writes.
            acl_bytes: the size of the ACL buffers of all controllers.
            peer_mtus: the largest MTU that a peripheral takes, by address.
        """
        self.truths: dict[str, Truth] = {}
        self._output = output
        self._acl_bytes = acl_bytes
        self._peer_mtus = peer_mtus

    def central_host(self, *, controller_source: Any, controller_sink: Any) -> Host:
        """Make the host of the adapter."""
        host = self.peripheral_host(
            controller_source=controller_source, controller_sink=controller_sink
        )
        host.snooper = BtSnooper(self._output)
        return host

    def peripheral_host(self, *, controller_source: Controller, controller_sink: Any) -> Host:
        """Make the host of a peripheral."""
        controller_source.le_acl_data_packet_length = self._acl_bytes
        return Host(controller_source=controller_source, controller_sink=controller_sink)

    def device(self, **options: Any) -> Device:
        """Make the device of a peripheral; its table is read when it is complete."""
        radio = self

        class NotedDevice(Device):
            async def power_on(self) -> None:
                await super().power_on()
                address = str(self.static_address).split("/")[0]
                radio.truths[address] = _truth_of(self)
                server = self.gatt_server
                server.max_mtu = radio._peer_mtus.get(address, server.max_mtu)

        return NotedDevice(**options)

    def client(self) -> type[ClientBackend]:
        """Make the class of clients."""
        radio = self

        class NotedClient(ClientBackend):
            async def connect(self, pair: bool, **kwargs: Any) -> None:
                await super().connect(pair, **kwargs)
                radio.truths[self.address].mtus.append(self.mtu_size)

            async def read_gatt_char(
                self, characteristic: BleakGATTCharacteristic, **kwargs: Any
            ) -> bytearray:
                value = await super().read_gatt_char(characteristic, **kwargs)
                self._note("read", characteristic, bytes(value))
                return value

            async def write_gatt_char(
                self, characteristic: BleakGATTCharacteristic, data: Any, response: bool
            ) -> None:
                await super().write_gatt_char(characteristic, data, response)
                self._note("write" if response else "command", characteristic, bytes(data))

            async def start_notify(
                self,
                characteristic: BleakGATTCharacteristic,
                callback: NotifyCallback,
                **kwargs: Any,
            ) -> None:
                await super().start_notify(characteristic, callback, **kwargs)
                self._note("subscribe", characteristic)

            async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
                await super().stop_notify(characteristic)
                self._note("unsubscribe", characteristic)

            def _note(
                self, what: str, characteristic: BleakGATTCharacteristic, value: bytes = b""
            ) -> None:
                request = Request(
                    what, canonical_uuid(characteristic.uuid), characteristic.handle, value
                )
                radio.truths[self.address].requests.append(request)

        return NotedClient


@contextmanager
def snooped(
    file: Path,
    patch: pytest.MonkeyPatch,
    *,
    acl_bytes: int,
    peer_mtus: dict[str, int] | None = None,
) -> Generator[SnoopedRadio]:
    """Write the HCI traffic of each adapter that is made in the block; one of them at a time."""
    with file.open("wb") as output:
        radio = SnoopedRadio(output, acl_bytes, peer_mtus or {})
        patch.setattr("healthd.simulator.air.Host", radio.central_host)
        patch.setattr("healthd.simulator.air.ClientBackend", radio.client())
        patch.setattr("healthd.simulator.peripheral.Host", radio.peripheral_host)
        patch.setattr("healthd.simulator.peripheral.Device", radio.device)
        yield radio


def uuid_of(uuid: UUID) -> str:
    """Return a UUID as the lines of a capture have it."""
    return canonical_uuid(canonical(uuid))


def _truth_of(device: Device) -> Truth:
    truth = Truth()
    service = 0
    attributes: list[object] = [*device.gatt_server.attributes]  # pyright: ignore[reportUnknownMemberType]
    for attribute in attributes:
        if isinstance(attribute, Service):
            service = attribute.handle
            truth.services.append((uuid_of(attribute.uuid), service))
            truth.characteristics[service] = []
        elif isinstance(attribute, CharacteristicDeclaration):
            found: Characteristic[Any] = cast(Any, attribute).characteristic
            properties = frozenset(gatt_char_props_to_strs(int(found.properties)))
            truth.characteristics[service].append(
                TrueCharacteristic(uuid_of(found.uuid), attribute.value_handle, properties)
            )
        elif isinstance(attribute, Descriptor):
            owner = truth.characteristics[service][-1]
            owner.descriptors.append((uuid_of(attribute.type), attribute.handle))
    return truth
