"""What MQTT 5 puts into packets beside topic and payload: properties, and reason codes.

paho's tables of both are mended here, for the whole process, as soon as this is imported.
"""

from collections.abc import Mapping
from functools import cache
from typing import cast

from paho.mqtt.client import topic_matches_sub
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

# What is received waits for its reader at the broker, which sends so many before the first of them
# is acknowledged: those of MQTT 5, for 3.1.1 cannot ask for it. mosquitto's own number for both.
_RECEIVE_MAXIMUM = 20

# A message is in memory as a whole before anything of it can be left out; what is larger than this
# a broker that speaks MQTT 5 does not send at all.
_LARGEST_PACKET = 1_048_576

FIRST_FAILURE = 0x80
"""Of reason codes (MQTT 5 section 2.4); and the one that a SUBACK of 3.1.1 has."""


def _with_puback(names: dict[str, list[int]]) -> dict[str, list[int]]:
    if any(PacketTypes.PUBACK in packets for packets in names.values()):
        return names
    return {name: [*packets, PacketTypes.PUBACK] for name, packets in names.items()}


# paho drops the connection over a PUBACK with a code that the standard lists for other packets
# alone. mosquitto 2.0 answers 0x95 to a message that is too large for it, and would get it again
# for ever: whatever the code, it is a refusal of this message and of no other.
_NAMES: dict[int, dict[str, list[int]]] = {
    code: _with_puback(names) if code >= FIRST_FAILURE else names
    for code, names in cast("Mapping[int, dict[str, list[int]]]", ReasonCode.names).items()
}
ReasonCode.names = _NAMES


def _know_tables(properties: Properties, packet: int) -> None:
    object.__setattr__(properties, "packetType", packet)


# paho makes three tables of constants anew for the properties of each packet, also of a PUBACK that
# has none: 6 us a sample, a fifth of what a bare paho needs for all.
for _table in ("types", "names", "properties"):
    setattr(Properties, _table, getattr(Properties(PacketTypes.PUBACK), _table))
setattr(Properties, "__init__", _know_tables)  # noqa: B010 (pyright: a method is no variable)


class _Packed(Properties):
    """Properties in the form in which they are sent."""

    _packed: bytes

    def __init__(self, properties: Properties) -> None:
        # Past paho's checks of attributes, which know of the standard's alone.
        object.__setattr__(self, "_packed", properties.pack())

    def pack(self) -> bytes:
        return self._packed


def number(code: ReasonCode | int | None) -> int:
    """A reason code as the standard numbers it; 0, success, where there is none."""
    return code.value if isinstance(code, ReasonCode) else code or 0


def topic_matches(topic: str, topic_filter: str) -> bool:
    """Return whether a subscription to the filter matches the topic."""
    return topic_matches_sub(topic_filter, topic)


def subscribe_options(qos: int, as_published: bool) -> SubscribeOptions:
    """Return the options of a SUBSCRIBE; see ``AckedClient.subscribe_to``."""
    return SubscribeOptions(qos, retainAsPublished=as_published)


def will_properties() -> Properties:
    """Of the will: plain text."""
    return _properties(PacketTypes.WILLMESSAGE, None, None)


def connect_properties() -> Properties:
    """Of CONNECT: how much the broker may send before it is read."""
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = _RECEIVE_MAXIMUM
    properties.MaximumPacketSize = _LARGEST_PACKET
    return properties


def publish_properties(
    schema: str | None, expiry_s: int | None, correlation: bytes | None
) -> Properties:
    """Of a publish; see ``AckedClient.send``."""
    if correlation is None:
        return _packed(schema, expiry_s)
    properties = _properties(PacketTypes.PUBLISH, schema, expiry_s)
    properties.CorrelationData = correlation
    return properties


# There are as many as kinds of messages. Made anew for each message, as paho's own are, they cost
# more CPU than all else between callback and PUBACK: 4.1 times a bare paho's a sample, and not 2.3.
@cache
def _packed(schema: str | None, expiry_s: int | None) -> Properties:
    return _Packed(_properties(PacketTypes.PUBLISH, schema, expiry_s))


def _properties(packet: int, schema: str | None, expiry_s: int | None) -> Properties:
    properties = Properties(packet)
    properties.ContentType = "text/plain" if schema is None else "application/json"
    if schema is not None:
        properties.UserProperty = [("schema", schema)]
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties
