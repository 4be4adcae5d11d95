"""Device Information service (0x180A). Layouts: GATT Specification Supplement."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.packet.cursor import Cursor
from healthd.profiles.profile import Profile
from healthd.samples import Measurement, quantity

VendorIdSource = Literal["bluetooth", "usb"]

_VENDOR_ID_SOURCES: dict[int, VendorIdSource] = {1: "bluetooth", 2: "usb"}


class DeviceInformation(Measurement):
    """How the device identifies itself; each characteristic sets one field.

    A text is ``null`` if the device sends only padding.
    """

    kind: ClassVar[str] = "device_information"
    identifies: ClassVar[bool] = True

    maker: str | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    hardware: str | None = None
    software: str | None = None


class SystemId(Measurement):
    """A 64-bit id, often built from the device's address. Hex, most significant digit first."""

    kind: ClassVar[str] = "system_id"
    identifies: ClassVar[bool] = True

    system_id_manufacturer: str
    """10 digits assigned by the owner of the OUI."""
    system_id_oui: str
    """6 digits: the IEEE organizationally unique identifier."""


class PnpId(Measurement):
    """Vendor and product, as numbers of the registry that ``vendor_id_source`` names."""

    kind: ClassVar[str] = "pnp_id"
    identifies: ClassVar[bool] = True

    vendor_id_source: VendorIdSource | int
    """A number that is not in the table is kept as a number."""
    vendor_id: Annotated[int, quantity("1")]
    product_id: Annotated[int, quantity("1")]
    product_version: Annotated[int, quantity("1")]
    """0xJJMN: major version JJ, minor M, sub-minor N."""


def text_decoder(field: str) -> Callable[[bytes], DeviceInformation]:
    """Return a decoder of UTF-8 text, NUL-terminated, padded or neither, that sets ``field``."""

    def decode(data: bytes) -> DeviceInformation:
        if not data:
            raise DecodeError("offset 0: expected text, found 0 bytes")
        fields: dict[str, Any] = {field: Cursor(data).text() or None}
        return DeviceInformation.of(fields)

    return decode


def decode_system_id(data: bytes) -> SystemId:
    """Decode 2A23: manufacturer part (5 bytes), OUI (3 bytes), both little-endian."""
    cursor = Cursor(data)
    fields = {
        "system_id_manufacturer": cursor.read_bytes(5)[::-1].hex(),
        "system_id_oui": cursor.read_bytes(3)[::-1].hex(),
    }
    return SystemId.of(cursor.finish(fields))


def decode_pnp_id(data: bytes) -> PnpId:
    """Decode 2A50: source u8, vendor u16, product u16, version u16."""
    cursor = Cursor(data)
    source = cursor.u8()
    fields = {
        "vendor_id_source": _VENDOR_ID_SOURCES.get(source, source),
        "vendor_id": cursor.u16(),
        "product_id": cursor.u16(),
        "product_version": cursor.u16(),
    }
    return PnpId.of(cursor.finish(fields))


def _text(uuid: str, field: str) -> Characteristic:
    return Characteristic(uuid, DeviceInformation, text_decoder(field), Use.STATIC)


PROFILE = Profile(
    name="device_information",
    service="180a",
    characteristics=(
        _text("2a29", "maker"),
        _text("2a24", "model"),
        _text("2a25", "serial"),
        _text("2a26", "firmware"),
        _text("2a27", "hardware"),
        _text("2a28", "software"),
        Characteristic("2a23", SystemId, decode_system_id, Use.STATIC),
        Characteristic("2a50", PnpId, decode_pnp_id, Use.STATIC),
    ),
)
