"""What the settings and earlier links say to the profiles of one peripheral."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from healthd.profiles.identity import Identity
from healthd.profiles.records import Records


def _unknown_time() -> datetime | None:
    return None


def _no_key() -> bytes | None:
    return None


class Consent(NamedTuple):
    """What a device with several users needs to release the results of one user.

    Attributes:
        user: the number that the device assigned to this user, 0 to 254.
        code: 0 to 9999; known to the device and the user.
    """

    user: int
    code: int


@dataclass(frozen=True, slots=True)
class Options:
    """One peripheral's settings and stored state, as its profiles need them.

    Attributes:
        wheel_circumference_m: circumference of the wheel whose revolutions a speed sensor counts.
        speed_factor: by what the speeds of a fitness machine are multiplied.
        pmd: the measurements that a Polar sensor is asked to stream, by their kinds.
        hrv_window_s: the window over which heart-rate variability is computed; None: it is not
            computed.
        heart_rate_zones_bpm: where each zone begins, ascending; empty if there are none.
        records: which of the device's stored records were fetched.
        local_time: returns the time to set the device's clock to, or None to leave the clock alone,
            for example while this machine does not know the time.
        now: returns the present local time; None while this machine does not know it.
        consent: the user whose results are wanted; None for no particular user.
        bind_key: the key of a device that encrypts its advertisements; None if there is none.
        key: the key that ``healthd pair`` has agreed with the device; None if there is none.
        read_key: reads this key, which the command may replace at any time. Raises OSError or
            ValueError if that fails. For the session: it calls it on each link, and sets ``key``.
        device: how the device of the present link identifies itself.
        interval_s: how often the device is asked to send, for devices that let it be chosen; None:
            as often as it does by itself.
    """

    # 700x25C, the most common road tyre.
    wheel_circumference_m: float = 2.105
    speed_factor: float = 1.0
    pmd: tuple[str, ...] = ()
    hrv_window_s: float | None = None
    heart_rate_zones_bpm: tuple[int, ...] = ()
    records: Records = field(default_factory=Records, compare=False)
    local_time: Callable[[], datetime | None] = _unknown_time
    now: Callable[[], datetime | None] = _unknown_time
    consent: Consent | None = field(default=None, repr=False)
    bind_key: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    read_key: Callable[[], bytes | None] = field(default=_no_key, compare=False)
    device: Identity = field(default_factory=Identity, compare=False)
    interval_s: float | None = None
