"""When a device has given what it had: the end of a periodic peripheral's run."""

import asyncio
import time

from healthd.central.faults import AdapterGone, LinkLost
from healthd.sessions.opening import Openings
from healthd.sessions.subscriptions import Subscriptions

# Devices send what they have stored back to back. The longest usual pause is that of a scale
# which measures the body's impedance, some 5 s, between the weight and the rest.
QUIET_S = 10.0

# Where a device was asked and has said that it is done, nothing is owed any more. What was asked
# to stream (PMD) sends more often than this, and so goes on until the run's time is over.
SETTLED_S = 3.0


async def wait_until_collected(
    opening: "asyncio.Task[None]",
    openings: Openings,
    lost: "asyncio.Future[None]",
    values: Subscriptions,
) -> None:
    """Return when the device is done: asked all there is to ask, and quiet since; or it hung up.

    Without a value and without anything to ask there is no such moment: it may still measure.

    Args:
        opening: runs ``openings``.
        openings: what is asked of it.
        lost: raises when the link ends.
        values: what it sends.

    Raises:
        LinkLost: the link ended before the device was done.
    """
    try:
        await asyncio.wait({opening, lost}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
        since = time.monotonic()
        while not lost.done() and (left_s := _left_s(openings, since, values.spoke)) > 0:
            await asyncio.wait({lost}, timeout=left_s)
        if lost.done():
            lost.result()
    except AdapterGone:
        raise
    except LinkLost:
        # Scales and cuffs hang up by themselves; only one that owed an answer broke off. One that
        # has said no would say it again, and some forget their bond each time.
        has_answered = values.spoke is not None or openings.denied
        if not has_answered or openings.broke_off or openings.unfinished:
            raise


def _left_s(openings: Openings, since: float, spoke: float | None) -> float:
    """How much longer the device has to be quiet; the whole time while it has said nothing."""
    now = time.monotonic()
    if openings.asked:
        return max(since, spoke or since) + SETTLED_S - now
    return (now if spoke is None else spoke) + QUIET_S - now
