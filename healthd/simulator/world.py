"""Peripherals for given settings: whatever they look for is there to be found."""

import random
from collections.abc import Callable, Iterable

from healthd.settings.model import PeripheralSettings
from healthd.simulator.catalogue import CATALOGUE, Model, with_service
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral

# The advertisement holds 31 bytes: flags and service UUIDs leave this much for a name.
_MAX_NAME_BYTES = 20

Record = Callable[[str, Sent], None]
"""Called with the peripheral's id and what it sent."""


def peripherals_for(
    wanted: Iterable[PeripheralSettings], rng: random.Random, record: Record | None = None
) -> dict[str, VirtualPeripheral]:
    """One for each entry: with the service, the address or a name that the entry looks for.

    Only a service says what is wanted; whoever looks for an address or a name gets a chest strap,
    which is a Polar H10 where raw signals are wanted of it.

    Args:
        wanted: entries of the settings.
        rng: where their values come from.
        record: told of everything that is sent.

    Returns:
        The peripherals by id; none of them advertises yet.
    """
    made: dict[str, VirtualPeripheral] = {}
    for number, entry in enumerate(wanted, start=1):
        model = _model_for(entry)
        name = _name_for(entry.name) if entry.name else f"{model.label} {number}"
        made[entry.id] = model.make(
            entry.address or address_of(number), rng, name=name, record=_bind(record, entry.id)
        )
    return made


def address_of(number: int) -> str:
    """The address of the peripheral with this number, below 65536."""
    # Two highest bits set: a static random address, which no real device is given by chance.
    return f"C0:5E:5E:00:{number // 256:02X}:{number % 256:02X}"


def _model_for(entry: PeripheralSettings) -> Model:
    # Heart rate is what an H10 advertises, too.
    if entry.pmd and entry.service in (None, "heart_rate"):
        return CATALOGUE["polar_pmd"]
    return with_service(entry.service or "heart_rate")


def _bind(record: Record | None, peripheral: str) -> Callable[[Sent], None] | None:
    return None if record is None else lambda sent: record(peripheral, sent)


def _name_for(pattern: str) -> str:
    """A name that the pattern matches: what it spells out, without its wildcards."""
    name = pattern.replace("*", "").replace("?", "x").strip()
    return name.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore") or "Strap"
