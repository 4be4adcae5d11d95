"""Refuses requests that arrive too late to be meant for now."""

import math

from healthd.mqtt.arrivals import Message
from healthd.mqtt.freshness import PING_S
from healthd.samples import Stamp
from healthd.verbs import OLDEST_CONTROL_S, Control, Request, RequestRefused, uptime_s

# What arrives at once can have waited for this long as far as is known: since the last PINGREQ that
# was answered, and a slow network.
_USUAL_S = PING_S + 1.0

_AGAIN = "send it again if it is still wanted"


def check_age(request: Request, message: Message, now: Stamp) -> None:
    """Refuse a request that has expired, or would move a machine and may be old; note its age.

    How old it is can be known from the message, and from the request's own time if both clocks
    are right. What stops or releases a machine is never refused.

    Raises:
        RequestRefused: it is too old, or how old it is cannot be known.
    """
    controls = isinstance(request, Control)
    if controls and request.always:
        return
    uptime = uptime_s()
    waited_s = 0.0 if message.sent_after_s is None else uptime - message.sent_after_s
    if message.expires_s is not None:
        # The broker counts only until it sends the message.
        stall_s = waited_s - _USUAL_S if math.isfinite(waited_s) else 0.0
        request.note_expiry(message.expires_s - max(0.0, stall_s))
        if request.has_expired:
            raise RequestRefused(f"the request has expired while it waited; {_AGAIN}")
    if not controls:
        return
    if waited_s == math.inf:
        raise RequestRefused(
            f"healthd has just connected and cannot know how old the request is; {_AGAIN}"
        )
    if waited_s >= OLDEST_CONTROL_S:
        raise RequestRefused(
            f"the request may have waited for {waited_s:.0f} s, expected at most "
            f"{OLDEST_CONTROL_S:.0f} s; {_AGAIN}"
        )
    request.note_age(_age_by_its_time_s(request, now), at_most=waited_s)


def _age_by_its_time_s(request: Request, now: Stamp) -> float:
    """Return how old a request is by its own time; 0 if that or this clock says nothing."""
    if request.time is None or now.clock != "synced":
        return 0.0
    age_s = now.wall_ns / 1e9 - request.time.timestamp()
    if age_s >= OLDEST_CONTROL_S:
        raise RequestRefused(
            f"the request is {age_s:.0f} s old by its time, expected at most "
            f"{OLDEST_CONTROL_S:.0f} s; {_AGAIN}"
        )
    if age_s <= -OLDEST_CONTROL_S:
        raise RequestRefused(
            f"the request's time is {-age_s:.0f} s ahead of this gateway's: set both clocks, or "
            "leave out the time"
        )
    return max(age_s, 0.0)
