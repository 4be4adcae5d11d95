"""Agrees on a key with a device, for ``healthd pair``."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from healthd.central.agent import Agent
from healthd.central.bluez import BlueZ
from healthd.central.device import Device
from healthd.central.faults import LinkFault
from healthd.central.link import Backends, Link, advertisement_of
from healthd.cli import console
from healthd.cli.pair_search import HINTS, Failed
from healthd.profiles.characteristic import Pairing
from healthd.profiles.registry import Registry
from healthd.sessions.agreement import NotAgreed, agree, pairing_of
from healthd.settings.keys import Keys

# Reasons of a failed connect that the next try often does not have: another program, such as the
# daemon, connects to the device at this moment, or the radio had a bad one.
_PASSING = frozenset(("busy", "connect_aborted"))

PASSING_TRIES = 5
PASSING_S = 2.0
"""The daemon may be linking the same device at this moment; that takes seconds."""


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
        profiles = self._registry.recognised(device.services, device.name)
        return any(profile.pairing is not None for profile in profiles)

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

        An agent answers as the machine's default one meanwhile, as such a device may ask for an
        ordinary bond, too.

        Args:
            device: which one; it is not linked.
            agent: answers what BlueZ asks.

        Returns:
            Whether it is a device with a key. If not, nothing has happened but a link.

        Raises:
            Failed: the device did not accept the key, or it could not be stored.
            LinkFault: there was no link.
        """
        async with (
            self._bluez.answering(agent, is_default=True),
            self._linked(device) as link,
        ):
            pairing = pairing_of(link, self._registry)
            if pairing is None:
                return False
            await self._agree(link, pairing)
            _, devices = await self._bluez.state()
            if any(known.path == device.path and known.bonded for known in devices):
                # With trust, BlueZ accepts connections from the device without asking.
                await self._bluez.trust(device.path)
        return True

    async def _agree(self, link: Link, pairing: Pairing) -> None:
        key = secrets.token_bytes(pairing.size_bytes)
        try:
            await agree(link, self._registry, pairing, key)
        except NotAgreed as error:
            raise Failed(str(error), pairing.hint) from error
        except LinkFault as fault:
            raise Failed(str(fault), HINTS.get(fault.reason, pairing.hint)) from fault
        with self._files():
            self._keys.store(self._peripheral, key)
        console.say(f"the key is stored in {self._keys.file(self._peripheral)}")

    @asynccontextmanager
    async def _linked(self, device: Device) -> AsyncGenerator[Link]:
        """Link the device while the block runs; try again if the fault may be gone then."""
        link = Link(advertisement_of(device))
        try:
            for tries_left in reversed(range(PASSING_TRIES)):
                try:
                    await link.open(self._backends)
                except LinkFault as fault:
                    if fault.reason not in _PASSING or not tries_left:
                        raise
                    await link.close()
                    await asyncio.sleep(PASSING_S)
                    link = Link(advertisement_of(device))
                else:
                    break
            yield link
        finally:
            await link.close()

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
