"""What a profile module declares: its characteristics and what healthd does with each."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from healthd.samples import Measurement


class Use(Enum):
    """What a session does with a characteristic."""

    STREAM = auto()
    """Subscribed (notify or indicate); every value is a sample."""
    STATUS = auto()
    """Read once, then subscribed where the device notifies it; every value is a sample."""
    STATIC = auto()
    """Read once per link; goes into the device's info, not into a stream."""
    CONTROL = auto()
    """Written on request; decodable for diagnosis, never read or subscribed by itself."""


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One characteristic of a profile.

    Attributes:
        uuid: 4 lower-case hex digits for a Bluetooth SIG number, else the 36-character UUID.
        model: the canonical measurement that ``decode`` returns.
        decode: bytes to measurement; raises DecodeError and nothing else, whatever the bytes.
        use: what a session does with it.
        silence_s: seconds without a value after which a stream counts as stalled; None where
            silence is normal.
    """

    uuid: str
    model: type[Measurement]
    decode: Callable[[bytes], Measurement]
    use: Use
    silence_s: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A GATT profile: a module of this package declares one as ``PROFILE``.

    Attributes:
        name: lower-case words with underscores, as users write it: ``service = "heart_rate"``.
        service: UUID of the service, in the form of ``Characteristic.uuid``.
        characteristics: what healthd reads of it.
    """

    name: str
    service: str
    characteristics: tuple[Characteristic, ...]
