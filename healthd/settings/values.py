"""Types of single settings: they parse what a user writes, or report what is expected."""

import re
from datetime import time
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from healthd.schedule import Cadence
from healthd.settings.slug import is_slug
from healthd.verbs import REQUESTS

_DURATION_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")


def _seconds(value: object) -> float:
    text = value.strip() if isinstance(value, str) else ""
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)", text)
    if number is None or float(number[1]) == 0:
        raise ValueError('a duration such as "30s", "15min" or "2h", longer than zero')
    return float(number[1]) * _DURATION_UNITS[number[2]]


def is_no_shorter(duration: object, other: object) -> bool:
    """Return whether both are durations, as a user writes them, and the first is no shorter."""
    try:
        return _seconds(duration) >= _seconds(other)
    except ValueError:
        return False


def _slug(value: str) -> str:
    if not is_slug(value):
        raise ValueError('at most 64 characters of a-z, 0-9, "_" and "-", such as "living-room"')
    return value


def _address(value: str) -> str:
    address = value.upper().replace("-", ":")
    if not _ADDRESS.fullmatch(address):
        # No example: the log removes every address, even this one.
        raise ValueError('a Bluetooth address: six pairs of hex digits separated by ":"')
    return address


def _topic_prefix(value: str) -> str:
    levels = value.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+", level) for level in levels):
        raise ValueError('topic levels of letters, digits, "_" and "-", such as "healthd"')
    return value


def _hass_url(value: str) -> str:
    # A path is for a reverse proxy. A password does not belong here: the token has its own file.
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", value):
        raise ValueError('an address such as "http://homeassistant.local:8123"')
    return value


def _entity_id(value: str) -> str:
    if not re.fullmatch(r"sensor\.[a-z0-9_]+", value):
        raise ValueError('the id of a sensor, such as "sensor.chest_strap_heart_rate"')
    return value


def _adapter(value: str) -> str:
    if not re.fullmatch(r"hci\d{1,3}", value):
        raise ValueError('an adapter name such as "hci0"')
    return value


def _wheel(value: object) -> float:
    # From a child's 12-inch wheel to a penny-farthing; a value in millimetres is far outside.
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if not 0.5 <= number <= 4:
        raise ValueError("a wheel circumference in metres, 0.5 to 4, such as 2.105")
    return float(number)


def _speed_factor(value: object) -> float:
    # A mile is 1.609 km; a factor far from 1 is another mistake, such as km/h for m/s.
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if not 0.1 <= number <= 10:
        raise ValueError("a factor from 0.1 to 10, such as 1.609344 for a machine that sends mph")
    return float(number)


def _user(value: object) -> int:
    # 255 is "unknown" on the wire.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 254:
        raise ValueError("the number that the device assigned to the user, 0 to 254")
    return value


def _between(value: object, least: float, most: float, what: str) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    # Written so that NaN is refused too.
    if number is None or not least <= number <= most:
        raise ValueError(f"{what}, {least:g} to {most:g}")
    return float(number)


def number_between(least: float, most: float, what: str) -> BeforeValidator:
    """Return a validator of a number within bounds; ``what`` names it in the error."""
    return BeforeValidator(partial(_between, least=least, most=most, what=what))


def _window(value: float) -> float:
    # A shorter window holds too few beats, and SDNN is not defined over more than a day.
    if not 30 <= value <= 86400:
        raise ValueError('a duration from "30s" to "1d", such as "5min"')
    return value


def _sample_interval(value: float) -> float:
    # What a PM5 can do, the only device so far whose interval can be chosen.
    if not 0.1 <= value <= 1:
        raise ValueError('a duration from "100ms" to "1s", such as "0.25s"')
    return value


def _zones(value: object) -> object:
    bounds = cast("list[object] | tuple[object, ...]", value if _is_list(value) else ())
    rates = [rate for rate in bounds if isinstance(rate, int) and 30 <= rate <= 250]
    ascend = all(lower < upper for lower, upper in pairwise(rates))
    if not 1 <= len(rates) == len(bounds) <= 10 or not ascend:
        raise ValueError("the lower bound of each zone: 1 to 10 ascending rates from 30 to 250")
    return rates


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _limits(value: object, least: float, most: float, what: str) -> tuple[float, float]:
    listed = cast("list[object] | tuple[object, ...]", value if _is_list(value) else ())
    numbers = [
        item for item in listed if isinstance(item, int | float) and not isinstance(item, bool)
    ]
    # Written so that NaN is refused too.
    if len(listed) != 2 or len(numbers) != 2 or not least <= numbers[0] <= numbers[1] <= most:
        raise ValueError(f"{what}: minimum and maximum, from {least:g} to {most:g}")
    return float(numbers[0]), float(numbers[1])


def _limits_of(least: float, most: float, what: str) -> BeforeValidator:
    return BeforeValidator(partial(_limits, least=least, most=most, what=what))


def _lease(value: float) -> float:
    # A shorter lease ends at the first radio disturbance; a longer one protects no one.
    if not 1 <= value <= 300:
        raise ValueError('a duration from "1s" to "5min", such as "30s"')
    return value


def _every(value: object) -> Cadence:
    texts = cast("list[object] | tuple[object, ...]", value if _is_list(value) else (value,))
    times = [parsed for text in texts if (parsed := _time_of_day(text)) is not None]
    if texts and len(times) == len(texts):
        return tuple(sorted(set(times)))
    try:
        return _seconds(value)
    except ValueError:
        expected = 'a duration such as "15min", or one or more times of the day such as "08:00"'
        raise ValueError(f'{expected} or ["08:00", "20:00"]') from None


def _time_of_day(value: object) -> time | None:
    digits = re.fullmatch(r"(\d\d):(\d\d)", value) if isinstance(value, str) else None
    if digits is None or int(digits[1]) > 23 or int(digits[2]) > 59:
        return None
    return time(int(digits[1]), int(digits[2]))


def _verb(value: object) -> object:
    if not isinstance(value, str) or value not in REQUESTS:
        raise ValueError(f"one of {', '.join(REQUESTS)}")
    return value


def _written(value: Cadence) -> str | list[str]:
    """Return a duration or times as a user writes them."""
    if isinstance(value, tuple):
        return [each.strftime("%H:%M") for each in value]
    return f"{value:.15g}s"


_AS_WRITTEN = PlainSerializer(_written, when_used="json")

Slug = Annotated[str, AfterValidator(_slug)]
Seconds = Annotated[float, BeforeValidator(_seconds), _AS_WRITTEN]
Address = Annotated[str, AfterValidator(_address)]
Adapter = Annotated[str, AfterValidator(_adapter)]
HassUrl = Annotated[str, AfterValidator(_hass_url)]
EntityId = Annotated[str, AfterValidator(_entity_id)]
TopicPrefix = Annotated[str, AfterValidator(_topic_prefix)]
Wheel = Annotated[float, BeforeValidator(_wheel)]
SpeedFactor = Annotated[float, BeforeValidator(_speed_factor)]
User = Annotated[int, BeforeValidator(_user)]
Window = Annotated[Seconds, AfterValidator(_window)]
SampleInterval = Annotated[Seconds, AfterValidator(_sample_interval)]
Zones = Annotated[tuple[int, ...], BeforeValidator(_zones)]
Every = Annotated[Cadence, BeforeValidator(_every), _AS_WRITTEN]
Lease = Annotated[Seconds, AfterValidator(_lease)]
# Far above real values, but low enough to catch a wrong unit: 12 km/h are not 12 m/s.
PowerLimits = Annotated[tuple[float, float], _limits_of(0, 3000, "two powers in W")]
ResistanceLimits = Annotated[tuple[float, float], _limits_of(-100, 1000, "two levels")]
SpeedLimits = Annotated[tuple[float, float], _limits_of(0, 8, "two speeds in m/s")]
InclinationLimits = Annotated[tuple[float, float], _limits_of(-20, 40, "two inclinations in %")]
GradeLimits = Annotated[tuple[float, float], _limits_of(-40, 40, "two grades in %")]
RequestVerb = Annotated[str, BeforeValidator(_verb)]

PolarStream = Literal[
    "ecg",
    "ppg",
    "acceleration",
    "pp_interval",
    "gyroscope",
    "magnetometer",
    "skin_temperature",
    "pressure",
    "temperature",
]
