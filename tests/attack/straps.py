"""Well-behaved straps whose samples can be counted: each one carries its number."""

import struct
from collections.abc import Callable

from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.strap import chest_strap

# Sensor contact, and the energy that was spent, in which the number travels.
_FLAGS = 0x0E
_HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"


class CountingHeart:
    """Measurements at 72 bpm; the energy is the number of the measurement, modulo 65536."""

    def __init__(self) -> None:
        self._number = 0

    def payload(self, elapsed: float) -> bytes:
        """See `HeartSource`."""
        self._number += 1
        return struct.pack("<BBH", _FLAGS, 72, self._number % 0x10000)

    def reset_energy(self) -> None:
        """See `HeartSource`."""


def counting_strap(
    number: int, address: str, per_s: float, note: Callable[[int, float], None]
) -> VirtualPeripheral:
    """Return a strap; ``note`` is called with the number and time of each measurement it sends."""

    def record(sent: Sent) -> None:
        if sent.uuid == _HEART_RATE:
            note(struct.unpack_from("<H", sent.payload, 2)[0], sent.at)

    return chest_strap(f"Strap {number}", address, CountingHeart(), period=1 / per_s, record=record)
