"""Devices that only advertise, each advertisement at a moment that the test chooses."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from healthd.simulator.air import Air
from healthd.simulator.broadcaster import Broadcaster, Frame
from healthd.simulator.broadcasting.scales import Reading, mi_scale_frame, weighing
from healthd.simulator.health.clock import DeviceClock
from healthd.simulator.part import Sent
from tests.end_to_end.simulated_gateway import address
from tests.support.streams import streams
from tests.support.subscriber import Subscriber

# As often as a scale in use advertises, but for a slow machine.
PACE_S = 0.1


async def _nothing() -> AsyncGenerator[Frame, None]:
    await asyncio.Event().wait()
    yield {}  # never


def broadcaster(
    number: int, name: str = "", *, sent: list[Sent] | None = None, **options: Any
) -> Broadcaster:
    """Return a device that advertises only what the test sends."""
    record = None if sent is None else sent.append
    return Broadcaster(name, address(number), _nothing, record=record, **options)


async def send(
    air: Air, device: Broadcaster, frames: Iterable[Frame], pace_s: float = PACE_S
) -> None:
    """Put advertisements on air, one after the other, each while a scan is running."""
    for frame in frames:
        await air.scanned.wait()
        device.send(frame)
        await asyncio.sleep(pace_s)


def mi_weighing(weight_kg: float) -> list[Frame]:
    """Return the 40 advertisements of a weighing on a Mi Scale at this moment."""
    return [mi_scale_frame(reading) for reading in mi_readings(weight_kg)]


def mi_readings(weight_kg: float) -> list[Reading]:
    """Return the readings of the same."""
    return list(weighing(DeviceClock().now, weight_kg, 500))


def delivered(subscriber: Subscriber, topic: str) -> list[dict[str, Any]]:
    """Return the samples of a stream in order, each one once: the broker may get one twice."""
    found = [each.samples for each in streams(subscriber.messages, topic).values()]
    return [samples[number] for samples in found for number in sorted(samples)]


def distinct(frames: Iterable[Frame]) -> list[bytes]:
    """Return the payloads without immediate repetitions."""
    values = [value for frame in frames for value in frame.values()]
    return [value for at, value in enumerate(values) if at == 0 or value != values[at - 1]]
