"""What a gateway can be asked for: the request of each verb, as another program writes it.

The same models check requests, describe them in the contract and tell Home Assistant what may be
asked. Who carries a verb out is wired in ``healthd.daemon``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from healthd.samples import quantity

# Long enough for a peripheral that advertises every ten seconds, short enough that an answer comes.
_LONGEST_SCAN_S = 60.0

Handler = Callable[[Any], Awaitable[Mapping[str, Any]]]
"""Does what a request of its verb asks for; returns the data of the response.

Raises ``control.Refused`` for what cannot be done; the text says why, and what would be accepted.
"""


class Request(BaseModel):
    """Base of them: one JSON object. Numbers are numbers: text that spells one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    verb: ClassVar[str]
    """Last level of its topic."""

    transaction: str | int | float | None = None
    """Given back in the response, for clients that cannot send correlation data."""


class Scan(Request):
    """What is in range."""

    verb: ClassVar[str] = "scan"

    seconds: Annotated[float, Field(gt=0, le=_LONGEST_SCAN_S), quantity("s")] = 10.0
    """How long to listen."""


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
