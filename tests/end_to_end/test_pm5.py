"""A Concept2 PM5 in all its forms -> daemon -> broker: each value once, at the wanted rate."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from healthd.simulator.part import Part
from healthd.simulator.peripheral import VirtualPeripheral
from healthd.simulator.vendor.pm5 import Monitor, pm5, pm5_of_old_firmware, pm5_with_0080_only
from tests.end_to_end.simulated_gateway import BOUND_S, add, address, gateway, live
from tests.support.subscriber import Subscriber

NAME = "PM5 430000000 Row"
# Faster than a real one, so that a test takes seconds.
PERIOD_S = 0.2


async def row(
    subscriber: Subscriber,
    settings: dict[str, Any],
    parts: tuple[Part, ...],
    entry: Mapping[str, Any],
    strokes: int = 3,
) -> None:
    """Run the daemon with this monitor until it has published some strokes."""
    device = VirtualPeripheral(NAME, address(1), parts)
    async with gateway(subscriber, settings, [{"id": "erg", **entry}]) as air:
        await add(air, device)
        await subscriber.until(
            lambda _: len(live(subscriber, "erg", "ergometer_stroke")) >= strokes, BOUND_S
        )


@pytest.mark.parametrize("parts", [pm5, pm5_of_old_firmware, pm5_with_0080_only])
@pytest.mark.parametrize("entry", [{"name": "PM5 *"}, {"service": "pm5"}], ids=str)
async def test_each_form_of_it_is_read(
    subscriber: Subscriber,
    settings: dict[str, Any],
    parts: Callable[[random.Random, float], tuple[Part, ...]],
    entry: Mapping[str, Any],
) -> None:
    await row(subscriber, settings, parts(random.Random(7), PERIOD_S), entry)
    records = live(subscriber, "erg", "ergometer")
    rowed = [each for each in records if each.get("active")]
    assert {"elapsed_time_s", "speed_mps", "interval", "average_power_w"} <= rowed[-1].keys()
    times = [each["elapsed_time_s"] for each in rowed]
    assert times == sorted(set(times))
    counts = [each["stroke_count"] for each in live(subscriber, "erg", "ergometer_stroke")]
    assert counts == list(range(1, len(counts) + 1))
    assert all("power_w" in each for each in live(subscriber, "erg", "ergometer_stroke"))


async def test_what_is_a_fitness_machine_too_is_not_read_twice(
    subscriber: Subscriber, settings: dict[str, Any]
) -> None:
    await row(subscriber, settings, pm5(random.Random(7), PERIOD_S), {"name": "PM5 *"})
    assert not live(subscriber, "erg", "rower")
    info = subscriber.at("healthd/gateway/device/erg/info")[-1].json()
    assert info["model"] == "PM5"
    assert info["serial"] == "430000000"
    assert info["ergometer_machine"] == {"machine": "rower"}


@pytest.mark.parametrize(
    ("wanted", "rate"),
    [({}, 1), ({"sample_interval": "0.25s"}, 2), ({"sample_interval": "0.6s"}, 0)],
    ids=str,
)
async def test_the_rate_is_that_of_the_settings_or_the_next_slower_one(
    subscriber: Subscriber, settings: dict[str, Any], wanted: dict[str, str], rate: int
) -> None:
    monitor = Monitor(random.Random(7), PERIOD_S, (0x31, 0x32, 0x33, 0x35, 0x36))
    rates: list[int] = []
    device = VirtualPeripheral(
        NAME, address(1), (monitor.part(),), record=lambda _: rates.append(monitor.rate)
    )
    async with gateway(subscriber, settings, [{"id": "erg", "name": "PM5 *", **wanted}]) as air:
        await add(air, device)
        await subscriber.until(
            lambda _: len(live(subscriber, "erg", "ergometer_stroke")) >= 1, BOUND_S
        )
    assert rates[-1] == rate
