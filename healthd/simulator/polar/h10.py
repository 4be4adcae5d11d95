"""The parts of a Polar H10: heart rate, raw signals, battery and device information."""

import random
from dataclasses import replace

from healthd.simulator.heart import SyntheticHeart
from healthd.simulator.part import Part
from healthd.simulator.polar.pmd import Pmd
from healthd.simulator.strap import Battery, battery_part, device_information_part, heart_rate_part

_INFORMATION = {
    0x2A29: "Polar Electro Oy",
    0x2A24: "H10",
    0x2A25: "SIM-0010",
    0x2A26: "5.0.0",
    0x2A27: "00760690.03",
    0x2A28: "3.1.1",
}


def polar_h10(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the parts of a Polar H10.

    Args:
        rng: The random generator.
        period: Seconds between two heart rates; it does not change the rates of the raw signals.
    """
    heart = SyntheticHeart(random.Random(rng.random()), mean_bpm=66.0)
    return (
        heart_rate_part(heart, period),
        Pmd(rng).part(),
        battery_part(Battery(90)),
        device_information_part(_INFORMATION),
    )


def polar_h10_of_raw_signals(rng: random.Random, period: float) -> tuple[Part, ...]:
    """Return the same parts; unlike a real H10, they advertise the service of the raw signals."""
    heart, pmd, *others = polar_h10(rng, period)
    return replace(heart, advertised=False), replace(pmd, advertised=True), *others
