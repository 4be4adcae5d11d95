"""The radio side of a gateway: every part that works with Bluetooth."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from healthd.central.adapters import Adapters
from healthd.central.bonds import Bonds
from healthd.central.link import Backends, Follow, Report
from healthd.central.radio import Radio
from healthd.central.recovery import Recovery
from healthd.central.slots import Slots
from healthd.central.watch import Watch
from healthd.events import AdapterChange
from healthd.host.adapter_reset import REQUEST
from healthd.settings.model import BluetoothSettings
from healthd.supervision.supervisor import Service


@dataclass(frozen=True, slots=True)
class RadioSide:
    """The Bluetooth parts, connected to each other.

    Attributes:
        adapters: which adapters there are.
        bonds: which peripherals are paired.
        radio: finds peripherals and links to them.
        watch: follows BlueZ; None if the radio is simulated.
        follow: follows the adapter of another radio; None if there is always one.
    """

    adapters: Adapters
    bonds: Bonds
    radio: Radio
    watch: Watch | None
    follow: Service | None = None

    @classmethod
    def build(
        cls,
        settings: BluetoothSettings,
        backends: Backends | None,
        runtime: Path | None,
        on_adapter: Callable[[AdapterChange, str, str], None],
        on_bond: Callable[[str, bool], None],
    ) -> Self:
        """Build the parts; nothing runs yet.

        Args:
            settings: the ``[bluetooth]`` section.
            backends: replace the system's Bluetooth; None for BlueZ.
            runtime: the runtime folder, where a reset of the adapter is requested.
            on_adapter: called with each change of an adapter: what, its name, details.
            on_bond: called with a peripheral and whether it is bonded, on each change.
        """
        is_followed = backends is None or backends.follow is not None
        adapters, recovery = Adapters(settings.adapter, followed=is_followed), Recovery()
        bonds = Bonds(on_bond)
        radio = Radio(
            backends or Backends(),
            Slots(settings.slots),
            adapters,
            recovery,
            bonds,
            passive=settings.scanning == "passive",
        )
        if backends is not None:
            follow = (
                None if backends.follow is None else _service(backends.follow, adapters, on_adapter)
            )
            return cls(adapters, bonds, radio, None, follow)
        reset_file = None if runtime is None else runtime / REQUEST
        watch = Watch(
            radio,
            adapters,
            recovery,
            bonds,
            on_adapter,
            power_on=settings.power_on,
            reset_file=reset_file,
        )
        radio.attach(watch)
        return cls(adapters, bonds, radio, watch)

    @property
    def services(self) -> dict[str, Service]:
        """What runs as long as the gateway does, by name."""
        services: dict[str, Service] = {"radio": self.radio.run}
        if self.watch is not None:
            services["bluez"] = self.watch.run
        if self.follow is not None:
            services["adapter"] = self.follow
        return services


def _service(follow: Follow, adapters: Adapters, report: Report) -> Service:
    async def run(mark_healthy: Callable[[], None]) -> None:
        mark_healthy()
        await follow(adapters, report)

    return run
