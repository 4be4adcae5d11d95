"""A chest strap: Heart Rate, Battery and Device Information."""

import asyncio
import struct
import time
from collections.abc import AsyncGenerator, Callable, Mapping

from bumble.att import ATT_Error

from healthd.simulator.attributes import notifying, readable, service, writeable
from healthd.simulator.feed import paced
from healthd.simulator.heart import (
    CAPTURES,
    Capture,
    HeartSource,
    ReplayedHeart,
    SyntheticHeart,
)
from healthd.simulator.part import Part, Sent
from healthd.simulator.peripheral import VirtualPeripheral

__all__ = [
    "CAPTURES",
    "Battery",
    "Capture",
    "HeartSource",
    "ReplayedHeart",
    "SyntheticHeart",
    "battery_part",
    "chest_strap",
    "device_information_part",
    "heart_rate_part",
    "strap_parts",
]

# Heart Rate Service 1.0: sensor location, control point command and its error.
_LOCATION_CHEST = bytes([1])
_RESET_ENERGY = bytes([1])
_CONTROL_POINT_NOT_SUPPORTED = 0x80
# Battery Level Status: the level is present; a battery is present, discharging, charge level good.
_BATTERY_STATUS = struct.pack("<BH", 1 << 1, 1 << 0 | 2 << 5 | 1 << 7)
# A strap runs for about 400 hours on a coin cell.
_SECONDS_PER_PERCENT = 400 * 3600 / 100
# Strings of Device Information by characteristic.
DEVICE_INFORMATION = {
    0x2A29: "healthd",
    0x2A24: "Virtual Strap",
    0x2A25: "SIM-0001",
    0x2A26: "1.0.0",
    0x2A27: "1",
    0x2A28: "1.0.0",
}


class Battery:
    """A battery that discharges in steps of one per cent, down to one per cent."""

    def __init__(self, level: int, seconds_per_percent: float = _SECONDS_PER_PERCENT) -> None:
        """Start discharging now.

        Args:
            level: The initial level in per cent.
            seconds_per_percent: How long one per cent lasts.
        """
        self._initial = level
        self._seconds_per_percent = seconds_per_percent
        self._since = time.monotonic()

    @property
    def level(self) -> int:
        """The remaining charge in per cent."""
        used = (time.monotonic() - self._since) / self._seconds_per_percent
        return max(1, self._initial - int(used))

    async def changes(self) -> AsyncGenerator[bytes, None]:
        """Generate each new level when it is reached."""
        known = self.level
        while known > 1:
            reached_at = self._since + (self._initial - known + 1) * self._seconds_per_percent
            await asyncio.sleep(max(0.0, reached_at - time.monotonic()))
            if self.level != known:
                known = self.level
                yield bytes([known])


def heart_rate_part(heart: HeartSource, period: float) -> Part:
    """Return the Heart Rate service, with one measurement every `period` seconds."""

    def control(command: bytes) -> None:
        if command != _RESET_ENERGY:
            raise ATT_Error(_CONTROL_POINT_NOT_SUPPORTED)
        heart.reset_energy()

    measurement = notifying(0x2A37)
    location = readable(0x2A38, _LOCATION_CHEST)
    return Part(
        service(0x180D, [measurement, location, writeable(0x2A39, control)]),
        {measurement: paced(lambda elapsed: [heart.payload(elapsed)], period)},
        advertised=True,
    )


def battery_part(battery: Battery) -> Part:
    """Return the Battery service."""
    level = notifying(0x2A19, lambda: bytes([battery.level]))
    return Part(service(0x180F, [level]), {level: battery.changes})


def battery_part_with_status(battery: Battery) -> Part:
    """Return the Battery service of a newer device, which also has the Battery Level Status."""
    level = notifying(0x2A19, lambda: bytes([battery.level]))
    status = notifying(0x2BED, lambda: _BATTERY_STATUS + bytes([battery.level]))
    return Part(service(0x180F, [level, status]), {level: battery.changes})


def device_information_part(strings: Mapping[int, str] = DEVICE_INFORMATION) -> Part:
    """Return the Device Information service with the given strings by characteristic."""
    return Part(
        service(0x180A, [readable(number, text.encode()) for number, text in strings.items()])
    )


def chest_strap(
    name: str,
    address: str,
    heart: HeartSource,
    *,
    period: float = 1.0,
    record: Callable[[Sent], None] | None = None,
) -> VirtualPeripheral:
    """Create a chest strap.

    Args:
        name: The advertised name.
        address: Its Bluetooth address.
        heart: The source of its measurements.
        period: Seconds between two measurements.
        record: Called with every notification when it is handed to the link.
    """
    return VirtualPeripheral(name, address, strap_parts(heart, period), record=record)


def strap_parts(heart: HeartSource, period: float) -> tuple[Part, ...]:
    """Return the parts of a chest strap, with one measurement every ``period`` seconds."""
    return heart_rate_part(heart, period), battery_part(Battery(95)), device_information_part()
