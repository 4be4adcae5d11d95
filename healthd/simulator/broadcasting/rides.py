"""A Keiser M Series bike, which advertises the ride and accepts no link.

Source of the layout: Keiser, "M Series Direct Communication" (dev.keiser.com), version 6.32.
"""

import random
import struct
from collections.abc import AsyncGenerator

from healthd.simulator.broadcaster import Frame, Frames
from healthd.simulator.feed import Ticker
from healthd.simulator.fitness.workout import Workout
from healthd.simulator.wander import Wander

_VERSION, _REAL_TIME = bytes.fromhex("0632"), 0
_GEAR, _METRIC = 12, 1 << 15
_METRES_PER_WATT_SECOND = 0.05


def keiser(rng: random.Random, period: float) -> Frames:
    """Return a ride: its state every ``period`` seconds."""
    bike = rng.randrange(1, 200)

    async def frames() -> AsyncGenerator[Frame, None]:
        cadence, power = Wander(rng, 82.0, 4.0), Wander(rng, 150.0, 15.0)
        ride, ticker = Workout(rng, power.value), Ticker(period)
        while True:
            elapsed = await ticker.tick()
            watts = power.step(elapsed)
            ride.advance(elapsed, watts, watts * _METRES_PER_WATT_SECOND)
            minutes, seconds = divmod(int(ride.elapsed_s), 60)
            yield {
                "manufacturer_data_0102": _VERSION
                + struct.pack(
                    "<BBHHHHBBHB",
                    _REAL_TIME,
                    bike,
                    round(cadence.step(elapsed) * 10),
                    round(ride.heart_rate_bpm * 10),
                    round(watts),
                    int(ride.energy_kcal),
                    minutes,
                    seconds,
                    _METRIC | int(ride.distance_m / 100),
                    _GEAR,
                )
            }

    return frames
