"""Advertisements of very many devices that do not exist: random addresses, random names."""

import asyncio
import random
import time

from bumble.core import UUID, AdvertisingData
from bumble.data_types import CompleteListOf16BitServiceUUIDs, CompleteLocalName
from bumble.hci import Address
from bumble.ll import AdvInd

from healthd.simulator.air import Air
from healthd.simulator.backend import ScannerBackend

# bluetoothd forgets a device that it has not heard for this long; the simulator's parts never do.
_FORGOTTEN_S = 30.0
_BURST = 10
_LETTERS = "abcdefg \x1b\u202e\u200b🙂*?[]\"'"


async def spam(air: Air, rng: random.Random, per_s: float) -> None:
    """Advertise until this is cancelled, each time as another device."""
    controller, central = air._powered()  # pyright: ignore[reportPrivateUsage]
    forget_at = time.monotonic() + _FORGOTTEN_S
    while True:
        for _ in range(_BURST):
            controller.on_ll_advertising_pdu(AdvInd(_address(rng), _data(rng)))
        if time.monotonic() > forget_at:
            forget_at = time.monotonic() + _FORGOTTEN_S
            central.advertisement_accumulators.clear()
            for listener in air._listeners:  # pyright: ignore[reportPrivateUsage]
                scanner = getattr(listener, "__self__", None)
                if isinstance(scanner, ScannerBackend):
                    scanner.seen_devices.clear()
        await asyncio.sleep(_BURST / per_s)


def _address(rng: random.Random) -> Address:
    return Address(
        bytes([*rng.randbytes(5), 0xC0 | rng.randrange(64)]), Address.RANDOM_DEVICE_ADDRESS
    )


def _data(rng: random.Random) -> bytes:
    name = "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(8))).encode()[:20]
    uuid = CompleteListOf16BitServiceUUIDs(
        [UUID.from_16_bits(rng.choice((0x180D, 0x1826, 0x1808)))]
    )
    return bytes(AdvertisingData([uuid, CompleteLocalName(name.decode(errors="ignore"))]))
