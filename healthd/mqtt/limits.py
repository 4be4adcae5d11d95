"""What a broker accepts, as it says when a client connects (MQTT 5 section 3.2.2.3)."""

import time
from typing import Any, NamedTuple, Self

# The standard's values for a broker that names none; MQTT 3.1.1 has no way to name one.
_MOST_UNACKNOWLEDGED = 65_535
_LARGEST_PACKET = 268_435_460
_HIGHEST_QOS = 2


# A person has to raise a limit of the broker, and should not have to wait much longer than this.
_REMEMBERED_S = 900.0

# Hardly a sample is smaller, with its topic. If a broker complains about packets of this size, its
# reason is another one, and to hold back samples would not help.
_SMALL = 100


class LearnedSizes:
    """The packet sizes for which brokers have ended a connection without having named a limit."""

    def __init__(self) -> None:
        """Start without any."""
        self._learned: dict[str, tuple[int, float]] = {}

    def note_too_large(self, address: str, size: int) -> None:
        """Note that the broker ended a connection because of a packet of this size."""
        if size > _SMALL:
            self._learned[address] = (size - 1, time.monotonic() + _REMEMBERED_S)

    def limit(self, address: str) -> int | None:
        """Return the size of the largest packet that should be sent to the broker now.

        None: whatever the broker names.
        """
        size, until = self._learned.get(address, (0, 0.0))
        return size if until > time.monotonic() else None


class Limits(NamedTuple):
    """The limits of one broker for one connection.

    Attributes:
        receive_maximum: how many publishes may be unacknowledged at a time.
        largest_packet: bytes of the largest packet, including its header.
        maximum_qos: the highest quality of service of a publish.
        retain: whether it keeps retained messages.
        wildcards: whether a subscription may contain wildcards.
    """

    receive_maximum: int = _MOST_UNACKNOWLEDGED
    largest_packet: int = _LARGEST_PACKET
    maximum_qos: int = _HIGHEST_QOS
    retain: bool = True
    wildcards: bool = True

    @classmethod
    def of(cls, properties: Any) -> Self:
        """Return the limits in the properties of a CONNACK; None: MQTT 3.1.1, without any."""
        return cls(
            # Zero is a protocol error, and would stop everything.
            receive_maximum=getattr(properties, "ReceiveMaximum", 0) or _MOST_UNACKNOWLEDGED,
            largest_packet=getattr(properties, "MaximumPacketSize", 0) or _LARGEST_PACKET,
            maximum_qos=getattr(properties, "MaximumQoS", _HIGHEST_QOS),
            retain=bool(getattr(properties, "RetainAvailable", 1)),
            wildcards=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)),
        )

    def named(self) -> dict[str, Any]:
        """Return the limits that the broker has named, for the log."""
        return {
            name: value
            for name, value in self._asdict().items()
            if value != self._field_defaults[name]
        }


def packet_size(topic: str, payload: bytes, properties: Any) -> int:
    """Return the size of a PUBLISH with QoS 1, in bytes.

    Args:
        topic: where it is published.
        payload: its content.
        properties: of MQTT 5, or None; their packed form begins with their length.
    """
    rest = 2 + 2 + len(topic.encode()) + len(payload)
    if properties is not None:
        rest += len(properties.pack())
    length_bytes = max(1, -(-rest.bit_length() // 7))
    return 1 + length_bytes + rest
