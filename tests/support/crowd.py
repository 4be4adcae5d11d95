"""Very many foreign devices on the virtual radio: phones, beacons, and some that look like ours."""

import asyncio
import random
from collections.abc import Callable

from healthd.simulator.air import Air
from healthd.simulator.structures import advertised, complete_name, flags, service_list

# All that are due are sent at once, this often.
_TURN_S = 0.01


class Crowd:
    """A crowd that advertises; an address is used a few times, and then another one.

    They are reported to the scans directly: the virtual controller, HCI and bumble's host, which
    belong to the simulation and not to healthd, are left out, because they take 30 times as long as
    the rest.

    Attributes:
        heard: How many advertisements have been reported.
        addresses: How many different addresses they had.
    """

    def __init__(self, air: Air, rng: random.Random, per_s: float) -> None:
        """Prepare; ``run`` advertises ``per_s`` times a second."""
        self.heard = self.addresses = 0
        self._air, self._rng, self._per_s = air, rng, per_s
        self._kinds: tuple[Callable[[random.Random], bytes], ...] = (
            _apple,
            _apple,
            _microsoft,
            _google,
            _samsung,
            _named,
            _of_our_companies,
            _damaged,
        )

    async def run(self) -> None:
        """Advertise until this is cancelled; the rate is kept even if the loop is late."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        nearby = [self._next_address() for _ in range(200)]
        while True:
            await asyncio.sleep(_TURN_S)
            while self.heard < (loop.time() - since) * self._per_s:
                at = self._rng.randrange(len(nearby))
                if self._rng.random() < 0.2:
                    nearby[at] = self._next_address()
                self._air.report(nearby[at], self._rng.choice(self._kinds)(self._rng))
                self.heard += 1

    def _next_address(self) -> str:
        self.addresses += 1
        # Resolvable private: the two highest bits are 01.
        return bytes([0x40 | self._rng.randrange(64), *self._rng.randbytes(5)]).hex(":").upper()


def _apple(rng: random.Random) -> bytes:
    nearby = bytes([0x10, 5]) + rng.randbytes(5)
    return flags() + advertised({"manufacturer_data_004c": nearby})


def _microsoft(rng: random.Random) -> bytes:
    return advertised({"manufacturer_data_0006": bytes.fromhex("0109") + rng.randbytes(25)})


def _google(rng: random.Random) -> bytes:
    return service_list("fe2c") + advertised({"service_data_fe2c": rng.randbytes(20)})


def _samsung(rng: random.Random) -> bytes:
    return advertised({"manufacturer_data_0075": bytes.fromhex("4204") + rng.randbytes(20)})


def _named(rng: random.Random) -> bytes:
    return flags() + service_list("180d") + complete_name(f"Band {rng.randrange(10_000)}")


def _of_our_companies(rng: random.Random) -> bytes:
    """Return other data under the keys that healthd reads: other devices of the same makers.

    No data of ours begins like this, or is as short.
    """
    key = rng.choice(
        (
            "manufacturer_data_0157",
            "manufacturer_data_0102",
            "manufacturer_data_006b",
            "manufacturer_data_f60b",
            "manufacturer_data_12c0",
            "service_data_181d",
            "service_data_181b",
            "service_data_fcd2",
            "service_data_fee0",
        )
    )
    return advertised({key: b"\xff" + rng.randbytes(7)})


def _damaged(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(32))
