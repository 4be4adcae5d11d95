"""GATT discovery: convert bumble's description of a peripheral to bleak's."""

from collections.abc import Set as AbstractSet

from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.uuids import normalize_uuid_str
from bumble.core import UUID
from bumble.gatt_client import ServiceProxy

from healthd.simulator.gatt import GattClient

# A write command carries an opcode and a handle before its value.
_WRITE_COMMAND_HEADER = 3


def canonical(uuid: UUID) -> str:
    """Return the UUID in bleak's notation: 128 bits, lower case."""
    return normalize_uuid_str(uuid.to_hex_str("-"))


async def discover(gatt: GattClient, wanted: AbstractSet[str] | None) -> BleakGATTServiceCollection:
    """Discover services, characteristics and descriptors.

    Args:
        gatt: The GATT client of a link.
        wanted: The UUIDs of the services to include; None for all services.
    """
    collection = BleakGATTServiceCollection()
    for found in await gatt.discover_services():
        uuid = canonical(found.uuid)
        if wanted is None or uuid in wanted:
            service = BleakGATTService(found, found.handle, uuid)
            collection.add_service(service)
            await _discover_characteristics(gatt, collection, service, found)
    return collection


async def _discover_characteristics(
    gatt: GattClient,
    collection: BleakGATTServiceCollection,
    service: BleakGATTService,
    found: ServiceProxy,
) -> None:
    for proxy in await gatt.discover_characteristics((), found):
        characteristic = BleakGATTCharacteristic(
            proxy,
            proxy.handle,
            canonical(proxy.uuid),
            sorted(gatt_char_props_to_strs(proxy.properties)),
            lambda: gatt.mtu - _WRITE_COMMAND_HEADER,
            service,
        )
        collection.add_characteristic(characteristic)
        for descriptor in await gatt.discover_descriptors(proxy):
            collection.add_descriptor(
                BleakGATTDescriptor(
                    descriptor, descriptor.handle, canonical(descriptor.type), characteristic
                )
            )
