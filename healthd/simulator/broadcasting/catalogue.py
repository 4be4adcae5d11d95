"""All models of devices that only advertise, by name."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from healthd.simulator.broadcaster import Broadcaster, Frames
from healthd.simulator.broadcasting.rides import keiser
from healthd.simulator.broadcasting.rooms import bthome
from healthd.simulator.broadcasting.scales import mi_body_scale, mi_scale, okok
from healthd.simulator.broadcasting.wearables import core_broadcast, mi_band, polar_broadcast
from healthd.simulator.part import Sent

# A demo need not wait for hours; a weighing takes four seconds of these.
_WEIGHING_S = 10.0
_KEISER_S = 0.31875


def _no_link() -> Mapping[str, Any]:
    return {"connect": False}


@dataclass(frozen=True, slots=True)
class BroadcastModel:
    """A model of a device that only advertises.

    Attributes:
        name: That of the profile it demonstrates, too.
        label: The advertised name; empty for none.
        frames: Makes its advertisements from a random generator and a period in seconds.
        period: The default time between two changes, or two measurements, in seconds.
        services: The UUIDs that it lists.
        settings: The settings an entry needs so that healthd reads the device.
    """

    name: str
    label: str
    frames: Callable[[random.Random, float], Frames]
    period: float = 1.0
    services: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=_no_link)

    @property
    def profile(self) -> str:
        """Name of the profile that the model demonstrates."""
        return self.name

    def make(
        self,
        address: str,
        rng: random.Random,
        *,
        name: str | None = None,
        period: float | None = None,
        record: Callable[[Sent], None] | None = None,
    ) -> Broadcaster:
        """Create a device of this model.

        Args:
            address: Its Bluetooth address.
            rng: The random generator for its values.
            name: The advertised name; by default the model's label.
            period: Seconds between two changes; by default the model's period.
            record: Called with all data that it advertises.
        """
        return Broadcaster(
            self.label if name is None else name,
            address,
            self.frames(random.Random(rng.random()), period or self.period),
            services=self.services,
            record=record,
        )


_MODELS = (
    BroadcastModel("mi_scale", "MI SCALE2", mi_scale, _WEIGHING_S, ("181d",)),
    BroadcastModel("mi_body_scale", "MIBFS", mi_body_scale, _WEIGHING_S, ("181b",)),
    BroadcastModel("okok", "", okok, _WEIGHING_S),
    BroadcastModel("mi_band", "Mi Smart Band 4", mi_band),
    BroadcastModel("polar_broadcast", "Polar Sense SIM", polar_broadcast),
    BroadcastModel("keiser", "M3", keiser, _KEISER_S),
    BroadcastModel(
        "core_broadcast",
        "CORE M",
        core_broadcast,
        services=("00002100-5b1e-4347-b07c-97b514dae121",),
    ),
    BroadcastModel("bthome", "Room", bthome),
)

BROADCASTING: Mapping[str, BroadcastModel] = MappingProxyType(
    {model.name: model for model in _MODELS}
)
"""All models by name."""
