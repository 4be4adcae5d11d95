"""Imports the profiles of a device before they are needed."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from healthd.profiles.index import declared_in
from healthd.profiles.registry import Registry


async def load_profiles(registry: Registry, uuids: Iterable[str]) -> None:
    """Load what a device needs, in a thread: other devices send meanwhile.

    A profile takes 2 to 20 ms on a fast machine. It happens once for each kind of device.

    Args:
        registry: what healthd reads.
        uuids: of its services and characteristics, in the canonical form.
    """
    uuids = frozenset(uuids)
    if modules := registry.modules(uuids):
        await asyncio.to_thread(_import, modules)
    registry.use_on(uuids)


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        # The registry imports it once more, and handles what is wrong.
        with suppress(Exception):
            declared_in(module)
