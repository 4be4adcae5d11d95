"""A part of a virtual peripheral, and the record of what it has sent."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from bumble.gatt import Characteristic, Service

Payloads = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A notification as it was handed to the link, or data as it was advertised.

    Attributes:
        uuid: UUID of the characteristic, 128 bits in lower case; of advertised data, its key, such
            as ``service_data_181d``.
        payload: The value as it was sent.
        at: The time in seconds of the monotonic clock.
    """

    uuid: str
    payload: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Part:
    """A service of a peripheral, and the payloads it sends.

    Attributes:
        service: The GATT service; it belongs to one peripheral.
        payloads: For each characteristic that notifies, a function that returns a generator. The
            generator runs while a central is subscribed, and is closed when the subscription ends.
        advertised: Whether the advertisement contains the service's UUID. It has room for a name of
            20 bytes and a 16-bit UUID, or for a name of 8 bytes and a 128-bit UUID.
        rests: Whether the peripheral disconnects when one of the generators ends, and does not
            advertise until it appears again.
        wakes_after_s: After how many seconds of rest it appears by itself; None: it does not.
    """

    service: Service
    payloads: Mapping[Characteristic[bytes], Payloads] = field(
        default_factory=dict[Characteristic[bytes], Payloads]
    )
    advertised: bool = False
    rests: bool = False
    wakes_after_s: float | None = None
