"""The requests that a gateway accepts: one model per verb, as other programs write them.

The models validate requests, describe them in the contract, and are announced to Home Assistant.
``healthd.gateway.handlers`` carries the requests out.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, ClassVar, cast

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from healthd.bounded_json import Bounds, parsed
from healthd.errors import HealthdError
from healthd.samples import quantity

# Long enough for a peripheral that advertises every ten seconds, short enough to wait for.
_LONGEST_SCAN_S = 60.0

Handler = Callable[[Any], Awaitable[Mapping[str, Any]]]
"""Carries out a request of its verb; returns the data of the response.

Raises ``RequestRefused`` if it cannot; the text says why, and what would be accepted.
"""

LONGEST_TRANSACTION = 128
"""In characters; a UUID has 36. It is sent back with the response."""

# By type of pydantic error: what JSON calls the expected value, where pydantic uses Python's name.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "missing": "a value: this key is required",
    "string_too_long": f"text of at most {LONGEST_TRANSACTION} characters",
}

BUG = "a bug in healthd: its log has the details"
"""The error of a request whose handler crashed."""

LONGEST_REQUEST = 4096
"""In bytes. A request is a few numbers."""

# A request is an object of numbers and texts; more levels and keys only make an error clearer.
_BOUNDS = Bounds(LONGEST_REQUEST, depth=8, values=1000)

# A larger integer is read as a float, which is another number.
_LARGEST_FLOAT = 2.0**63

# Characters of a found value in an error: enough to recognise it.
_LONGEST_VALUE = 60

# Keys explained in one error. No request has more; hundreds of bad keys have one common cause.
_MOST_EXPLAINED = 8


OLDEST_CONTROL_S = 5.0
"""Age at which a request to move a machine is refused: its sender may have left by then.

Longer than a slow broker and a link that is busy with another request take, and shorter than it
takes to step off a treadmill that did not start.
"""


class RequestRefused(HealthdError):
    """The request cannot be carried out; the text says why."""


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    with suppress(TypeError, ValueError):
        instant = datetime.fromisoformat(cast("str", value))
        if instant.tzinfo is not None:
            return instant
    raise PydanticCustomError("instant", "a time with its zone, such as 2026-11-30T12:00:00Z")


class Request(BaseModel):
    """Base of all requests: one JSON object. A number written as text is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    verb: ClassVar[str]
    """Last level of the topic."""
    kind: ClassVar[str]
    """Name in the schema, made from the verb, because an event may have the same name."""
    schema_version: ClassVar[int] = 1
    """Incremented when a key changes its meaning or is removed."""

    transaction: (
        Annotated[str, Field(max_length=LONGEST_TRANSACTION)]
        | int
        | Annotated[float, Field(gt=-_LARGEST_FLOAT, lt=_LARGEST_FLOAT)]
        | None
    ) = None
    """Returned in the response, for clients that cannot send correlation data."""
    time: Annotated[AwareDatetime | None, BeforeValidator(_instant)] = None
    """When the request was made: a request to control a machine is refused if it is old."""

    # On the clock of ``uptime_s``; None: just made. It may have been made between them.
    _made_after_s: float | None = PrivateAttr(default=None)
    _made_before_s: float | None = PrivateAttr(default=None)
    _expires_s: float | None = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Name it."""
        super().__pydantic_init_subclass__(**kwargs)
        if verb := cls.__dict__.get("verb"):
            cls.kind = f"request_{verb}"

    def note_age(self, seconds: float, at_most: float = 0.0) -> None:
        """Note how old the request is now, and how old it may be if it has waited somewhere."""
        now = uptime_s()
        self._made_before_s = now - seconds
        self._made_after_s = now - max(seconds, at_most)

    def note_expiry(self, expires_s: float) -> None:
        """Note until when it may be carried out, on the clock of ``uptime_s``."""
        self._expires_s = expires_s

    @property
    def has_expired(self) -> bool:
        """Whether its sender does not want it any more."""
        return self._expires_s is not None and self._expires_s <= uptime_s()

    @property
    def age_s(self) -> float:
        """How old the request is, at most; the time that the computer slept counts."""
        return 0.0 if self._made_after_s is None else uptime_s() - self._made_after_s

    @property
    def known_age_s(self) -> float:
        """How old the request is, at least."""
        return 0.0 if self._made_before_s is None else uptime_s() - self._made_before_s


class Scan(Request):
    """List the devices in range."""

    verb: ClassVar[str] = "scan"

    seconds: Annotated[float, Field(gt=0, le=_LONGEST_SCAN_S), quantity("s")] = 10.0
    """How long to listen, up to a minute."""


class OfPeripheral(Request):
    """Base of all requests to one peripheral."""

    peripheral: str
    """Id of the peripheral in the settings."""


class Fetch(OfPeripheral):
    """Run a periodic peripheral now."""

    verb: ClassVar[str] = "fetch"


class Reconnect(OfPeripheral):
    """End the link to a peripheral and connect again."""

    verb: ClassVar[str] = "reconnect"


class ResetEnergyExpended(OfPeripheral):
    """Reset the energy counter of a heart-rate sensor to zero."""

    verb: ClassVar[str] = "reset_energy_expended"


class Control(OfPeripheral):
    """Base of all requests that move a machine, or release it.

    They are refused at an age of ``OLDEST_CONTROL_S``, also while they wait for their turn.
    """

    always: ClassVar[bool] = False
    """Whether it is carried out however old it is, because it makes the machine safer."""

    @property
    def is_too_old(self) -> bool:
        """Whether it must not be carried out any more."""
        return not self.always and self.age_s >= OLDEST_CONTROL_S


class SetTargetPower(Control):
    """Make a trainer hold this power, whatever the cadence."""

    verb: ClassVar[str] = "set_target_power"

    power_w: Annotated[int, quantity("W")]


class SetTargetResistance(Control):
    """Set the resistance of a machine."""

    verb: ClassVar[str] = "set_target_resistance"

    resistance_level: Annotated[float, quantity("1")]
    """On the machine's own scale."""


class SetTargetSpeed(Control):
    """Set the speed of a treadmill."""

    verb: ClassVar[str] = "set_target_speed"

    speed_mps: Annotated[float, quantity("m/s")]


class SetTargetInclination(Control):
    """Set the inclination of a treadmill."""

    verb: ClassVar[str] = "set_target_inclination"

    inclination_pct: Annotated[float, quantity("%")]


class SetSimulation(Control):
    """Make a bike trainer simulate a road."""

    verb: ClassVar[str] = "set_simulation"

    grade_pct: Annotated[float, quantity("%")]
    wind_speed_mps: Annotated[float, quantity("m/s")] = 0.0
    """Positive: headwind; negative: tailwind."""
    crr: Annotated[float, quantity("1")] = 0.004
    """Coefficient of rolling resistance."""
    cw_kg_per_m: Annotated[float, quantity("kg/m")] = 0.51
    """Coefficient of wind resistance."""


class Start(Control):
    """Start the session of a machine, or resume it."""

    verb: ClassVar[str] = "start"


class Stop(Control):
    """Stop the session of a machine and release control."""

    verb: ClassVar[str] = "stop"
    always: ClassVar[bool] = True


class Release(Control):
    """Release control of a machine without stopping its session."""

    verb: ClassVar[str] = "release"
    always: ClassVar[bool] = True


REQUESTS: Mapping[str, type[Request]] = {
    model.verb: model
    for model in (
        Scan,
        Fetch,
        Reconnect,
        ResetEnergyExpended,
        SetTargetPower,
        SetTargetResistance,
        SetTargetSpeed,
        SetTargetInclination,
        SetSimulation,
        Start,
        Stop,
        Release,
    )
}
"""All requests, by verb."""

STOPS = frozenset(
    verb for verb, model in REQUESTS.items() if issubclass(model, Control) and model.always
)
"""The verbs of requests that are carried out however old they are, and before all others."""


def fields_of(text: bytes) -> dict[str, Any]:
    """Return the keys of a request; empty text has none.

    Raises:
        RequestRefused: the text is not a JSON object.
    """
    if len(text) > LONGEST_REQUEST:
        raise RequestRefused(f"request is longer than {LONGEST_REQUEST} bytes")
    try:
        value = parsed(text or b"{}", _BOUNDS)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(f"expected a JSON object, found invalid JSON: {error}") from error
    except ValueError as error:
        raise RequestRefused(f"expected a JSON object of a few keys, found one {error}") from error
    if not isinstance(value, dict):
        raise RequestRefused(f"found {short_json(value)}, expected a JSON object")
    return cast("dict[str, Any]", value)


def request_of(verb: str, fields: Mapping[str, Any]) -> Request:
    """Make the request of a verb from its keys.

    Raises:
        RequestRefused: a key is wrong; the text says for each one what was found and expected.
    """
    model = REQUESTS[verb]
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        # A key has several errors if it accepts several types: one error for each type.
        errors = groupby(error.errors(include_url=False), key=lambda found: str(found["loc"][0]))
        texts = [_explained(model, key, of_key) for key, of_key in errors]
        more = len(texts) - _MOST_EXPLAINED
        rest = [f"and {more} more"] if more > 0 else []
        raise RequestRefused("; ".join([*texts[:_MOST_EXPLAINED], *rest])) from error


def uptime_s() -> float:
    """Return the seconds since the computer was switched on; the time that it slept counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def short_json(value: object) -> str:
    """Return a value as JSON, cut short if it is long."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _explained(model: type[Request], key: str, errors: Iterable[Mapping[str, Any]]) -> str:
    first, *others = errors
    if first["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"found the unknown key {short_json(key)}, expected one of {known}"
    found = "nothing" if first["type"] == "missing" else short_json(first["input"])
    return f"{key}: found {found}, expected {' or '.join(map(_expected, (first, *others)))}"


def _expected(error: Mapping[str, Any]) -> str:
    message: str = error["msg"]
    return _EXPECTED.get(error["type"], message.removeprefix("Input should be "))
