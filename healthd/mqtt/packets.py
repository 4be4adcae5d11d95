"""What MQTT 5 adds to packets besides topic and payload: properties, options and reason codes."""

from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from paho.mqtt.client import PUBLISH, topic_matches_sub
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from healthd.mqtt.incoming import LARGEST_PACKET

# How many messages the broker sends before the first of them is acknowledged; the others wait at
# the broker. MQTT 3.1.1 cannot ask for it. mosquitto's default for both versions.
_RECEIVE_MAXIMUM = 20

# A client with a kept session may get all that was sent in a month, and takes it in batches.
_RECEIVE_MAXIMUM_KEPT = 2000

FIRST_FAILURE = 0x80
"""The lowest reason code that is a failure (MQTT 5 section 2.4); also SUBACK's failure in 3.1.1."""


@cache
def patch_paho() -> None:
    """Fix paho's table of reason codes and speed up its properties, once per process.

    Every ``AckedClient`` calls this first, so no client works without it.
    """
    _allow_failures_in_puback()
    _share_tables_of_properties()


def _allow_failures_in_puback() -> None:
    # paho drops the connection on a PUBACK with a reason code that the standard lists for other
    # packets only. mosquitto 2.0 answers 0x95 to a message that is too large for it, and would get
    # that message again on every connect. Whatever the code, it refuses this one message only.
    table = cast("Mapping[int, dict[str, list[int]]]", ReasonCode.names)
    names: dict[int, dict[str, list[int]]] = {
        code: _with_puback(packets) if code >= FIRST_FAILURE else packets
        for code, packets in table.items()
    }
    ReasonCode.names = names


def _with_puback(names: dict[str, list[int]]) -> dict[str, list[int]]:
    if any(PacketTypes.PUBACK in packets for packets in names.values()):
        return names
    return {name: [*packets, PacketTypes.PUBACK] for name, packets in names.items()}


def _share_tables_of_properties() -> None:
    # paho builds three constant tables again for the properties of every packet, even of a PUBACK
    # without any: 6 us per sample, a fifth of the CPU that a bare paho needs in all.
    for table in ("types", "names", "properties"):
        setattr(Properties, table, getattr(Properties(PacketTypes.PUBACK), table))
    setattr(Properties, "__init__", _init_properties)  # noqa: B010 (pyright: a method is no variable)


def _init_properties(properties: Properties, packet: int) -> None:
    object.__setattr__(properties, "packetType", packet)


class _Packed(Properties):
    """Properties that are encoded already."""

    _packed: bytes

    def __init__(self, properties: Properties) -> None:
        # Bypasses paho's check of attributes, which knows only those of the standard.
        object.__setattr__(self, "_packed", properties.pack())

    def pack(self) -> bytes:
        return self._packed


def join(outgoing: deque[Any]) -> None:
    """Join what paho has to write, if it is publishes with QoS 1: one system call writes them all.

    Flat out that saves an eighth of the CPU: each call of its own would wake the broker once more.
    """
    if len(outgoing) > 1 and all(
        packet["command"] == PUBLISH and packet["qos"] == 1 and not packet["pos"]
        for packet in outgoing
    ):
        joined = b"".join(packet["packet"] for packet in outgoing)
        first = outgoing[0]
        outgoing.clear()
        outgoing.append({**first, "packet": joined, "to_process": len(joined)})


def number(code: ReasonCode | int | None) -> int:
    """Return a reason code's number in the standard; 0, success, for None."""
    return code.value if isinstance(code, ReasonCode) else code or 0


def topic_matches(topic: str, topic_filter: str) -> bool:
    """Return whether a subscription to the filter matches the topic."""
    return topic_matches_sub(topic_filter, topic)


def subscribe_options(qos: int, as_published: bool) -> SubscribeOptions:
    """Return the options of a SUBSCRIBE; see ``AckedClient.subscribe_to``."""
    return SubscribeOptions(qos, retainAsPublished=as_published)


def will_properties() -> Properties:
    """Return the properties of the will, which is plain text."""
    return _properties(PacketTypes.WILLMESSAGE, None, None)


def connect_properties(session_s: int) -> Properties:
    """Return the properties of CONNECT, which limit how much the broker sends ahead.

    Args:
        session_s: see ``Endpoint``.
    """
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = _RECEIVE_MAXIMUM_KEPT if session_s else _RECEIVE_MAXIMUM
    if session_s:
        properties.SessionExpiryInterval = session_s
    properties.MaximumPacketSize = LARGEST_PACKET
    return properties


def are_small(properties: Properties | None) -> bool:
    """Return whether properties of ``publish_properties`` have no data from anyone else."""
    return properties is None or type(properties) is _Packed


def publish_properties(
    schema: str | None, expiry_s: int | None, correlation: bytes | None
) -> Properties:
    """Return the properties of a PUBLISH; see ``AckedClient.send``."""
    if correlation is None:
        return _packed(schema, expiry_s)
    properties = _properties(PacketTypes.PUBLISH, schema, expiry_s)
    properties.CorrelationData = correlation
    return properties


# There are as many as there are kinds of messages. Encoding them again for every message, as paho
# does, costs more CPU than everything else between callback and PUBACK: a sample would take 4.1
# times the CPU of a bare paho instead of 2.3 times.
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
