"""When a device has delivered everything: the end of a periodic peripheral's run."""

import asyncio
import time

from healthd.central.faults import AdapterGone, LinkLost
from healthd.sessions.opening import Openings
from healthd.sessions.subscriptions import Subscriptions
from healthd.supervision.deadline import timeout_at

# Devices send stored values without pauses. The longest usual pause is about 5 s: a scale that
# measures the body's impedance between the weight and the other values.
QUIET_S = 10.0

# A device that was asked and has said that it is done sends nothing more. One that was asked to
# stream (PMD) sends more often than this, and so continues until the run's time is over.
SETTLED_S = 3.0


async def wait_until_collected(
    opening: "asyncio.Task[None]",
    openings: Openings,
    lost: "asyncio.Future[None]",
    values: Subscriptions,
) -> None:
    """Return when the device is done: it was asked everything and is quiet, or it disconnected.

    If it has sent no value and there was nothing to ask, it may still be measuring, so wait on.

    Args:
        opening: the task that runs ``openings``.
        openings: what the device is asked.
        lost: raises when the link ends.
        values: what the device sends.

    Raises:
        LinkLost: the link ended before the device was done.
        LinkFault: it stopped answering.
    """
    try:
        await asyncio.wait({opening, lost}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
        if openings.stopped is not None:
            raise openings.stopped
        since = time.monotonic()
        while not lost.done():
            try:
                async with timeout_at(_quiet_at(openings, since, values)):
                    await asyncio.wait({lost})
            except TimeoutError:
                if _quiet_at(openings, since, values) <= time.monotonic():
                    break
        if lost.done():
            lost.result()
    except AdapterGone:
        raise
    except LinkLost:
        # Scales and cuffs disconnect by themselves, which is a failure only if an answer was due. A
        # device that refused would refuse again, and some forget their bond each time.
        has_answered = values.last_value_at is not None or openings.denied
        if not has_answered or openings.broke_off or openings.unfinished:
            raise


def _quiet_at(openings: Openings, since: float, values: Subscriptions) -> float:
    """Return when the device counts as quiet, always in the future if it may still be measuring."""
    last_value_at = values.last_value_at
    if openings.asked or values.only_answers:
        return max(since, last_value_at or since) + SETTLED_S
    return (time.monotonic() if last_value_at is None else last_value_at) + QUIET_S
