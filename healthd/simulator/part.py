"""What a virtual peripheral is made of, and what it has sent."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from bumble.gatt import Characteristic, Service

Payloads = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A notification as it was handed to the link.

    Attributes:
        uuid: the characteristic's, 128 bits in lower case.
        payload: the value as it went out.
        at: when, in seconds of the monotonic clock.
    """

    uuid: str
    payload: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Part:
    """One service of a peripheral, and what it sends.

    Attributes:
        service: the GATT service; it belongs to one peripheral.
        payloads: for each characteristic that notifies, a generator that runs while a central is
            subscribed to it, and is closed when that ends.
        advertised: whether the service's UUID is in the advertisement, which has room for a name
            of 20 bytes beside a UUID of 16 bits, and of 8 beside one of 128.
        rests: whether the peripheral hangs up when any of the payloads has come to an end, and
            does not advertise until it appears again.
    """

    service: Service
    payloads: Mapping[Characteristic[bytes], Payloads] = field(
        default_factory=dict[Characteristic[bytes], Payloads]
    )
    advertised: bool = False
    rests: bool = False
