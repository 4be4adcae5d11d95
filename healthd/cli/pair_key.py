"""Agrees on a key with a device, for ``healthd pair``."""

import asyncio
import secrets
from collections.abc import Generator
from contextlib import contextmanager

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import AdapterGone, LinkFault, LinkLost
from healthd.central.link import Backends, Link, advertisement_of
from healthd.cli import console
from healthd.cli.pair_search import HINT, HINTS, PASSING_S, Failed
from healthd.profiles.dialogue import Pairing
from healthd.profiles.registry import Registry
from healthd.sessions.agreement import NotAgreed, agree, pairing_of
from healthd.settings.keys import Keys

# How often to try. The daemon may link the same device at this moment, and hang up because it has
# no key; and the radio has bad moments.
_TRIES = 3


class KeyPairing:
    """Agrees on the key of one peripheral."""

    def __init__(
        self,
        bluez: BlueZ,
        registry: Registry,
        keys: Keys,
        peripheral: str,
        backends: Backends | None = None,
    ) -> None:
        """Prepare.

        Args:
            bluez: to answer what BlueZ asks.
            registry: what healthd reads.
            keys: where the key is stored.
            peripheral: its id.
            backends: replace the system's Bluetooth.
        """
        self._bluez = bluez
        self._registry = registry
        self._keys = keys
        self._peripheral = peripheral
        self._backends = backends or Backends()

    def may_apply(self, device: Device) -> bool:
        """Whether a device seems to be of a kind that has a key."""
        return bool(self._pairings(device))

    @property
    def is_stored(self) -> bool:
        """Whether there is a key, as far as this user may look."""
        return self._keys.exists(self._peripheral)

    def make_folder(self) -> None:
        """Make sure that a key can be stored, before the device gets it.

        Raises:
            Failed: it cannot.
        """
        with self._files():
            self._keys.make_folder()

    async def run(self, device: Device, agent: Agent) -> bool:
        """Link the device, agree on a key with it and store it.

        Args:
            device: which one; it is not linked.
            agent: answers what BlueZ asks.

        Returns:
            Whether it is a device with a key. If not, nothing has happened but a link.

        Raises:
            Failed: the device did not accept the key, or it could not be stored.
        """
        hint = next((pairing.hint for pairing in self._pairings(device)), HINT)
        if device.bonded:
            hint += "; --again also removes its bond"
        for tries_left in reversed(range(_TRIES)):
            try:
                is_agreed = await self._try(device, agent)
            except NotAgreed as error:
                raise Failed(str(error), hint) from error
            except LinkFault as fault:
                if not _may_pass(fault) or not tries_left:
                    raise Failed(str(fault), HINTS.get(fault.reason, hint)) from fault
                console.say(f"{fault}: trying again")
                await asyncio.sleep(PASSING_S)
            else:
                if is_agreed:
                    await self._trust(device)
                return is_agreed
        raise AssertionError("the last try returns or raises")

    async def _try(self, device: Device, agent: Agent) -> bool:
        """Agree on a key over one link.

        An agent answers as the machine's default one meanwhile, as the device may ask for an
        ordinary bond, too.
        """
        link = Link(advertisement_of(device))
        try:
            async with self._bluez.answering(agent, is_default=True):
                await link.open(self._backends)
                pairing = pairing_of(link, self._registry)
                if pairing is None:
                    return False
                key = secrets.token_bytes(pairing.size_bytes)
                await agree(link, self._registry, pairing, key)
            self._store(key)
        finally:
            await link.close()
        return True

    async def _trust(self, device: Device) -> None:
        """Let the device connect without asking, if it has asked for a bond."""
        _, devices = await self._bluez.state()
        if any(known.path == device.path and known.bonded for known in devices):
            await self._bluez.trust(device.path)

    def _store(self, key: bytes) -> None:
        with self._files():
            self._keys.store(self._peripheral, key)
        console.say(f"the key is stored in {self._keys.file(self._peripheral)}")

    def _pairings(self, device: Device) -> list[Pairing]:
        found = self._registry.recognised(device.services, device.name)
        profiles = [self._registry.profiles[each.name] for each in found]
        return [profile.pairing for profile in profiles if profile.pairing is not None]

    @contextmanager
    def _files(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            file = error.filename or self._keys.file(self._peripheral)
            hint = "run it with sudo, or as the user that the daemon runs as"
            if not isinstance(error, PermissionError):
                hint = "the key is stored there: see the folder of [outbox] in the settings"
            raise Failed(f"{file}: {error.strerror}", hint) from error


def _may_pass(fault: LinkFault) -> bool:
    """Whether the next try may not have this fault."""
    if isinstance(fault, LinkLost):
        return not isinstance(fault, AdapterGone)
    return fault.reason in ("busy", "connect_aborted")
