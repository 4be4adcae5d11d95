"""What a gateway can be asked for: the request of each verb, as another program writes it.

The same models check requests, describe them in the contract and tell Home Assistant what may be
asked. Who carries a verb out is wired in ``healthd.gateway.daemon``.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import groupby
from typing import Annotated, Any, ClassVar, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthd.errors import HealthdError
from healthd.samples import quantity

# Long enough for a peripheral that advertises every ten seconds, short enough that an answer comes.
_LONGEST_SCAN_S = 60.0

Handler = Callable[[Any], Awaitable[Mapping[str, Any]]]
"""Does what a request of its verb asks for; returns the data of the response.

Raises ``RequestRefused`` for what cannot be done; the text says why, and what would be accepted.
"""

# What pydantic says in terms of Python, said in terms of JSON; by the type of its error.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "missing": "a value: this key is required",
}

BUG = "a bug in healthd: its log has the details"
"""What is said of a request over which its handler crashed."""

# As much of what was found as tells its writer which one is meant.
_SHOWN = 60

# No request has more keys; of hundreds that are wrong it is something else that is wrong.
_MOST_TOLD = 8


class RequestRefused(HealthdError):
    """The request cannot be met; the text says why."""


class Request(BaseModel):
    """Base of them: one JSON object. Numbers are numbers: text that spells one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    verb: ClassVar[str]
    """Last level of its topic."""
    kind: ClassVar[str]
    """Its name in the schema, made of the verb: an event may be called like that as well."""
    schema_version: ClassVar[int] = 1
    """Raised when a key changes its meaning or goes away."""

    transaction: str | int | float | None = None
    """Given back in the response, for clients that cannot send correlation data."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Name it."""
        super().__pydantic_init_subclass__(**kwargs)
        if verb := cls.__dict__.get("verb"):
            cls.kind = f"request_{verb}"


class Scan(Request):
    """What is in range."""

    verb: ClassVar[str] = "scan"

    seconds: Annotated[float, Field(gt=0, le=_LONGEST_SCAN_S), quantity("s")] = 10.0
    """How long to listen, up to a minute."""


class OfPeripheral(Request):
    """Base of what is asked of one peripheral."""

    peripheral: str
    """Its id in the settings."""


class Fetch(OfPeripheral):
    """A run of a periodic peripheral, now."""

    verb: ClassVar[str] = "fetch"


class Reconnect(OfPeripheral):
    """The link is ended, and made anew."""

    verb: ClassVar[str] = "reconnect"


class ResetEnergyExpended(OfPeripheral):
    """A heart-rate sensor counts its energy from zero again."""

    verb: ClassVar[str] = "reset_energy_expended"


class SetTargetPower(OfPeripheral):
    """A trainer's brake keeps this power, whatever the cadence."""

    verb: ClassVar[str] = "set_target_power"

    power_w: Annotated[int, quantity("W")]


class SetTargetResistance(OfPeripheral):
    """A machine's resistance."""

    verb: ClassVar[str] = "set_target_resistance"

    resistance_level: Annotated[float, quantity("1")]
    """As the machine shows it."""


class SetTargetSpeed(OfPeripheral):
    """A treadmill's speed."""

    verb: ClassVar[str] = "set_target_speed"

    speed_mps: Annotated[float, quantity("m/s")]


class SetTargetInclination(OfPeripheral):
    """A treadmill's inclination."""

    verb: ClassVar[str] = "set_target_inclination"

    inclination_pct: Annotated[float, quantity("%")]


class SetSimulation(OfPeripheral):
    """A road for a bike trainer to feel like."""

    verb: ClassVar[str] = "set_simulation"

    grade_pct: Annotated[float, quantity("%")]
    wind_speed_mps: Annotated[float, quantity("m/s")] = 0.0
    """From the front; negative from behind."""
    crr: Annotated[float, quantity("1")] = 0.004
    """Coefficient of rolling resistance."""
    cw_kg_per_m: Annotated[float, quantity("kg/m")] = 0.51
    """Coefficient of wind resistance."""


class Start(OfPeripheral):
    """A machine's session begins, or goes on."""

    verb: ClassVar[str] = "start"


class Stop(OfPeripheral):
    """A machine's session ends, and control of it is given back."""

    verb: ClassVar[str] = "stop"


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
    )
}
"""Every verb there is."""


def fields_of(text: bytes) -> dict[str, Any]:
    """The keys of a request as it was written; nothing at all has none.

    Raises:
        RequestRefused: it is not a JSON object.
    """
    try:
        value: object = orjson.loads(text or b"{}")
    except orjson.JSONDecodeError as error:
        raise RequestRefused(f"found no JSON ({error}), expected an object") from error
    if not isinstance(value, dict):
        raise RequestRefused(f"found {shown(value)}, expected an object")
    return cast("dict[str, Any]", value)


def request_of(verb: str, fields: Mapping[str, Any]) -> Request:
    """The request of a verb that has these keys.

    Raises:
        RequestRefused: it is none; the text says of each key what was found and what is expected.
    """
    model = REQUESTS[verb]
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        # One key may be several errors: one of each type that it could be.
        errors = groupby(error.errors(include_url=False), key=lambda one: str(one["loc"][0]))
        told = [_explained(model, key, of_key) for key, of_key in errors]
        more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
        raise RequestRefused("; ".join([*told[:_MOST_TOLD], *more])) from error


def shown(value: object) -> str:
    """A value as JSON, and no more of it than tells which one is meant."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _explained(model: type[Request], key: str, errors: Iterable[Mapping[str, Any]]) -> str:
    first, *others = errors
    if first["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"found the unknown key {shown(key)}, expected one of {known}"
    found = "nothing" if first["type"] == "missing" else shown(first["input"])
    return f"{key}: found {found}, expected {' or '.join(map(_expected, (first, *others)))}"


def _expected(error: Mapping[str, Any]) -> str:
    message: str = error["msg"]
    return _EXPECTED.get(error["type"], message.removeprefix("Input should be "))
