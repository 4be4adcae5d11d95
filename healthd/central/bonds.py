"""The bonds of the peripherals: which exist, which the settings ask for, and which fail."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import BondLost, LinkFault, NotPaired, PairingFailed, Remedy
from healthd.central.match import Match
from healthd.log import get_logger

# The other peripherals wait meanwhile, as for any connect: 20 s to connect, and the exchange of
# keys, without a person who types.
_PAIR_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True)
class BondSettings:
    """What the settings say about a peripheral's bond.

    Attributes:
        pair: whether to pair with it if there is no bond.
        passkey: the six digits to answer with; None for none.
    """

    pair: bool = False
    passkey: int | None = None


class Bonds:
    """Tracks which peripherals BlueZ has a bond with, and makes those that the settings ask for."""

    def __init__(
        self, on_change: Callable[[str, bool], None] = lambda _peripheral, _bonded: None
    ) -> None:
        """``on_change`` receives whether a peripheral is bonded, once known and at each change."""
        self._settings: dict[str, BondSettings] = {}
        self._on_change = on_change
        self._known: dict[str, bool] = {}
        self._log = get_logger(service="bonds")
        self._bluez: BlueZ | None = None

    def use(self, bluez: BlueZ | None) -> None:
        """Pair over this connection from now on; None: there is none, and nothing is paired."""
        self._bluez = bluez

    def add(self, peripheral: str, settings: BondSettings) -> None:
        """Set what the settings say; healthd never pairs with a peripheral that was not added."""
        self._settings[peripheral] = settings

    def remove(self, peripheral: str) -> None:
        """Forget the peripheral's settings and state."""
        self._settings.pop(peripheral, None)
        self._known.pop(peripheral, None)

    def check_bonds(self, devices: Collection[Device], matches: Iterable[Match]) -> None:
        """Report every change, given all devices that BlueZ knows now."""
        for match in matches:
            bonded = any(device.bonded and match.fits(device) for device in devices)
            self._note(match.peripheral, bonded)

    async def secure(self, peripheral: str, path: str | None) -> None:
        """Pair if the settings ask for it and there is no bond, before the link is made.

        Once linked, it would be too late: a cuff asks for pairing itself as soon as it is linked,
        and BlueZ answers with the machine's default agent, which a gateway does not have. There is
        one try per link, and between tries the pause of the fault, so a device that refuses is
        not asked over and over.

        Raises:
            PairingFailed: the pairing failed.
        """
        settings, bluez = self._settings.get(peripheral, BondSettings()), self._bluez
        if not settings.pair or bluez is None or path is None:
            return
        if await self._is_bonded(bluez, path):
            return
        self._log.info("pairing", peripheral=peripheral)

        async def passkey() -> int | None:
            return settings.passkey

        agent = Agent(path, None if settings.passkey is None else passkey)
        is_paired = False
        try:
            await bluez.pair(path, agent, timeout_s=_PAIR_TIMEOUT_S)
            is_paired = True
        except LinkFault as fault:
            raise PairingFailed(peripheral, fault) from fault
        finally:
            if not is_paired:
                await bluez.cancel_pairing(path)
        self._note(peripheral, True)

    async def explain(self, peripheral: str, path: str | None, fault: LinkFault) -> LinkFault:
        """Return what a fault means, if that depends on whether there is a bond."""
        bluez = self._bluez
        if fault.remedy is not Remedy.BOND or bluez is None or path is None:
            return fault
        try:
            bonded = await self._is_bonded(bluez, path)
        except LinkFault:
            return fault
        self._note(peripheral, bonded)
        return (BondLost if bonded else NotPaired)(peripheral, fault)

    async def _is_bonded(self, bluez: BlueZ, path: str) -> bool:
        _, devices = await bluez.state()
        return any(device.bonded for device in devices if device.path == path)

    def _note(self, peripheral: str, bonded: bool) -> None:
        if self._known.get(peripheral) is bonded:
            return
        self._known[peripheral] = bonded
        self._log.info("bond", peripheral=peripheral, bonded=bonded)
        self._on_change(peripheral, bonded)
