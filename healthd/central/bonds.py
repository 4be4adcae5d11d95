"""Bonds of the peripherals: which there are, those that the settings ask for, those that fail."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import BondLost, LinkFault, NotPaired, PairingFailed, Remedy
from healthd.central.match import Match
from healthd.log import get_logger

# Other peripherals wait meanwhile, as for a link that is made: for 20 s of connecting and for keys
# that are exchanged without anybody who types.
_PAIR_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the settings say of a peripheral's bond.

    Attributes:
        pair: whether it is paired with where there is no bond.
        passkey: the six digits it is answered; None for none.
    """

    pair: bool = False
    passkey: int | None = None


class Bonds:
    """Knows which peripheral BlueZ holds a bond with, and makes what is wished for."""

    def __init__(
        self, tell: Callable[[str, bool], None] = lambda _peripheral, _bonded: None
    ) -> None:
        """``tell`` is told whether a peripheral is bonded, at first and whenever it changes."""
        self._wishes: dict[str, Wish] = {}
        self._tell = tell
        self._known: dict[str, bool] = {}
        self._log = get_logger(service="bonds")
        self._bluez: BlueZ | None = None

    def use(self, bluez: BlueZ | None) -> None:
        """Pair over this connection from now on; None: there is none, and nothing is paired."""
        self._bluez = bluez

    def add(self, peripheral: str, wish: Wish) -> None:
        """What is wished for; those of whom nothing is known are never paired with."""
        self._wishes[peripheral] = wish

    def remove(self, peripheral: str) -> None:
        """Nothing is wished for any more, and nothing known."""
        self._wishes.pop(peripheral, None)
        self._known.pop(peripheral, None)

    def check_bonds(self, devices: Collection[Device], matches: Iterable[Match]) -> None:
        """Tell what has changed, now that BlueZ knows these devices."""
        for one in matches:
            self._note(
                one.peripheral, any(device.bonded and one.fits(device) for device in devices)
            )

    async def secure(self, peripheral: str, path: str | None) -> None:
        """Pair where it is wished for and there is no bond, before anybody else makes the link.

        Later it would be another's pairing: a cuff asks for it as soon as it is linked, and BlueZ
        answers that with the machine's default agent, which a gateway does not have. One try for
        a link, and the pace of its faults between them: a device that refuses is not hammered.

        Raises:
            PairingFailed: it did not work.
        """
        wish, bluez = self._wishes.get(peripheral, Wish()), self._bluez
        if not wish.pair or bluez is None or path is None:
            return
        if await self._is_bonded(bluez, path):
            return
        self._log.info("pairing", peripheral=peripheral)

        async def passkey() -> int | None:
            return wish.passkey

        agent = Agent(path, None if wish.passkey is None else passkey)
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
        """What a fault means, where that depends on whether there is a bond."""
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
        self._tell(peripheral, bonded)
