"""The devices and links of a file, and the lines that are about them."""

from collections.abc import Iterator, Mapping

from healthd.capture.att.attributes import Attributes, uuid_of
from healthd.capture.att.dialogue import Dialogue, Event, Times
from healthd.capture.att.opcodes import FROM_DEVICE
from healthd.capture.codes import hci_text
from healthd.traffic.lines import (
    Advertised,
    Connected,
    ConnectFailed,
    Disconnected,
)

# Structures of advertisements (Assigned Numbers, section 2.3): types of lists of UUIDs, by the size
# of a UUID.
_UUIDS = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
_SERVICE_DATA = {0x16: 2, 0x20: 4, 0x21: 16}
_SHORT_NAME, _NAME, _MANUFACTURER = 0x08, 0x09, 0xFF

# Devices whose attributes are remembered: phones do not discover again what they know. A file has
# some ten devices; one that is made to fill the memory may have millions.
_MOST_DEVICES = 100


class Link:
    """One link of a file.

    Attributes:
        number: in the file, from 1.
        device: the address of the device.
        dialogue: what it says over ATT.
        device_received: whether the host receives what the device sends; None if the file has no
            directions.
    """

    def __init__(
        self,
        number: int,
        device: str,
        attributes: Attributes,
        device_received: bool | None,
    ) -> None:
        """Begin a link."""
        self.number = number
        self.device = device
        self.attributes = attributes
        self.dialogue = Dialogue(device, number, attributes)
        self.device_received = device_received

    def take(self, times: Times, received: bool | None, data: bytes) -> Iterator[Event]:
        """Return what a PDU of ATT says about the device.

        A phone has attributes, too, and the device may read them: that is left out.

        Raises:
            IndexError, ValueError, struct.error: the PDU is damaged.
        """
        if received is not None and self.device_received is not None:
            from_device = received == self.device_received
            if (data[0] in FROM_DEVICE) != from_device:
                return
        yield from self.dialogue.take(times, data)


class Peers:
    """Makes links, and remembers the attributes of devices between them."""

    def __init__(self, uuids: Mapping[int, str]) -> None:
        """Start with the UUIDs that the user has given for handles."""
        self._uuids = uuids
        self._attributes: dict[str, Attributes] = {}
        self._links = 0

    def connect(
        self, times: Times, device: str, device_received: bool | None, *, joined: bool
    ) -> tuple[Link, Connected]:
        """Return a new link and its line."""
        self._links += 1
        if (attributes := self._attributes.pop(device, None)) is None:
            attributes = Attributes(self._uuids)
        self._attributes[device] = attributes
        if len(self._attributes) > _MOST_DEVICES:
            del self._attributes[next(iter(self._attributes))]
        link = Link(self._links, device, attributes, device_received)
        line = Connected(**times.fields(), device=device, link=link.number, joined=joined)
        return link, line

    @staticmethod
    def end(link: Link, times: Times, reason: int) -> Iterator[Event]:
        """Return the end of a link."""
        yield from link.dialogue.end(times)
        yield Disconnected(
            **times.fields(),
            device=link.device,
            link=link.number,
            reason=hci_text(reason),
            code=reason,
        )

    @staticmethod
    def failed(times: Times, device: str, status: int) -> ConnectFailed:
        """Return a link that could not be made."""
        return ConnectFailed(**times.fields(), device=device, error=hci_text(status))

    @staticmethod
    def advertised(times: Times, device: str, data: bytes, rssi_dbm: int | None) -> Advertised:
        """Return an advertisement, as far as its structures fit into it."""
        name: str | None = None
        services: list[str] = []
        service_data: dict[str, bytes] = {}
        manufacturer_data: dict[str, bytes] = {}
        for kind, part in _structures(data):
            if size := _UUIDS.get(kind):
                whole = len(part) // size * size
                services += [uuid_of(part[at : at + size]) for at in range(0, whole, size)]
            elif size := _SERVICE_DATA.get(kind):
                if len(part) >= size:
                    service_data[uuid_of(part[:size])] = part[size:]
            elif kind == _MANUFACTURER and len(part) >= 2:
                manufacturer_data[part[1::-1].hex()] = part[2:]
            elif kind == _NAME or (kind == _SHORT_NAME and name is None):
                name = part.decode("utf-8", "replace").rstrip("\0")
        return Advertised(
            **times.fields(),
            device=device,
            name=name,
            rssi_dbm=rssi_dbm,
            services=tuple(services),
            service_data=service_data,
            manufacturer_data=manufacturer_data,
        )


def _structures(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the structures of an advertisement: type and contents, up to one that is too long."""
    at = 0
    while at + 1 < len(data):
        after = at + 1 + data[at]
        if after > len(data):
            return
        if data[at]:  # zeros are padding
            yield data[at + 1], data[at + 2 : after]
        at = after
