"""What a capture says about the machine: kernel, BlueZ and adapter, as far as they are known."""

import os
import re

from healthd.central.bluez import BlueZ
from healthd.central.faults import LinkFault
from healthd.supervision.deadline import timeout

# BlueZ answers at once; a capture must not wait for one that is stuck.
_TIMEOUT_S = 3.0

# The Device ID of the machine is BlueZ's own, with its version, unless main.conf has another one:
# vendor 1D6B is the Linux Foundation, and 0246 BlueZ.
_BLUEZ_ID = re.compile(r"usb:v1D6Bp0246d(?P<major>[0-9A-F]{2})(?P<minor>[0-9A-F]{2})")


async def describe(adapter: str | None, *, has_bluez: bool) -> dict[str, str]:
    """Return ``kernel``, ``bluez``, ``adapter``, ``modalias`` and ``manufacturer``, if known.

    Args:
        adapter: the name of the adapter in use; None if there is none.
        has_bluez: whether the radio is BlueZ's.
    """
    found = {"kernel": os.uname().release}
    if not has_bluez or adapter is None:
        return found
    found["adapter"] = adapter
    try:
        async with timeout(_TIMEOUT_S), BlueZ.connected() as bluez:
            adapters, _ = await bluez.objects()
    except (LinkFault, TimeoutError):
        return found
    properties = adapters.get(adapter, {})
    modalias = properties.get("Modalias")
    if isinstance(modalias, str):
        found["modalias"] = modalias
        if version := _BLUEZ_ID.fullmatch(modalias):
            # BlueZ 5.66 has d0542.
            found["bluez"] = f"{int(version['major'], 16)}.{int(version['minor'], 16)}"
    manufacturer = properties.get("Manufacturer")
    if isinstance(manufacturer, int):
        found["manufacturer"] = f"0x{manufacturer:04x}"
    return found
