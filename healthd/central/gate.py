"""Keeps the advertisements of foreign devices away from bleak, before anything is decoded."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from healthd.central.batches import Batches
from healthd.central.device import device_of
from healthd.central.interest import Interest

_DEVICE = "org.bluez.Device1"

# What each advertisement may change in BlueZ. A change of anything else, such as the name, is
# always passed on, because it may show that the device is wanted after all.
_ADVERTISED = frozenset(
    ("RSSI", "TxPower", "ManufacturerData", "ServiceData", "AdvertisingFlags", "AdvertisingData")
)

# Objects of foreign devices that are remembered. BlueZ forgets a device 30 s after it was heard; a
# room that is full has hundreds.
_MOST_FOREIGN = 5000


class Signal(Protocol):
    """A message of D-Bus, as far as it is looked at."""

    path: str | None
    member: str | None
    body: list[Any]


class Gate:
    """Stops signals of devices that are not wanted.

    For each advertisement, BlueZ signals a change of a device's properties. bleak copies all
    properties of the device for it, and makes several objects. Most advertisements in a house are
    from devices of neighbours, so it pays to look at the signal first.

    Attributes:
        changed: the properties that the current signal changes; None if it has a whole object.
        batches: paused after each signal that was stopped, if nothing is urgent.
    """

    def __init__(self, interest: Interest, on_foreign: Callable[[], None]) -> None:
        """Prepare.

        Args:
            interest: what is wanted of advertisements; it may change at any time.
            on_foreign: called for each advertisement that is stopped.
        """
        self._interest = interest
        self._on_foreign = on_foreign
        self._foreign: set[str] = set()
        self._version = interest.version
        self.changed: Mapping[str, Any] | None = None
        self.batches: Batches | None = None

    def on_signal(self, signal: Signal) -> bool:
        """Return True if the signal goes no further."""
        self.changed = None
        if signal.member != "PropertiesChanged":
            return False
        interface, changed, _ = signal.body
        if interface != _DEVICE:
            return False
        self.changed = changed
        if self._version != self._interest.version:
            self._forget_all()
        if signal.path not in self._foreign or not self._is_dull(changed):
            return False
        self._on_foreign()
        if self.batches is not None and not self._interest.is_urgent:
            self.batches.rest()
        return True

    def admits(self, path: str, properties: dict[str, Any]) -> bool:
        """Return whether an advertisement is wanted, judged by all properties of its device.

        Args:
            path: the object of the device.
            properties: its properties, with no data but that of this advertisement.
        """
        if self._interest.wants(device_of(path, properties)):
            self._foreign.discard(path)
            return True
        if len(self._foreign) >= _MOST_FOREIGN:
            self._forget_all()
        self._foreign.add(path)
        services = properties.get("ServiceData", {})
        if self._interest.data.pick(services, properties.get("ManufacturerData", {})):
            return True
        self._on_foreign()
        return False

    def remove(self, path: str) -> None:
        """Forget a device."""
        self._foreign.discard(path)

    def _forget_all(self) -> None:
        """Judge all devices again."""
        self._foreign.clear()
        self._version = self._interest.version

    def _is_dull(self, changed: Mapping[str, Any]) -> bool:
        """Whether only what each advertisement changes has changed, without data for us."""
        if not _ADVERTISED.issuperset(changed):
            return False
        wanted, companies = self._interest.data, changed.get("ManufacturerData")
        if companies is not None and not wanted.companies.keys().isdisjoint(companies.value):
            return False
        services = changed.get("ServiceData")
        return services is None or wanted.services.keys().isdisjoint(services.value)
