"""Create the peripherals that the given settings look for."""

import random
import re
from collections.abc import Callable, Iterable

from healthd.settings.model import PeripheralSettings
from healthd.simulator.broadcaster import Broadcaster
from healthd.simulator.broadcasting.catalogue import BROADCASTING, BroadcastModel
from healthd.simulator.catalogue import CATALOGUE, Model, model_for_service
from healthd.simulator.part import Sent
from healthd.simulator.peripheral import VirtualPeripheral

# An advertisement has 31 bytes: this is left for a name after flags and service UUIDs.
_MAX_NAME_BYTES = 20

Record = Callable[[str, Sent], None]
"""A function that is called with the peripheral's id and what it has sent."""


def peripherals_for(
    wanted: Iterable[PeripheralSettings], rng: random.Random, record: Record | None = None
) -> dict[str, VirtualPeripheral | Broadcaster]:
    """Create a peripheral for each entry, with the service, address or name it looks for.

    An entry with a service gets the model for that service. An entry with only an address or a name
    gets a chest strap, a Polar H10 if the entry has ``pmd``, and a Mi Scale if it has
    ``connect = false``.

    Args:
        wanted: Entries of the settings.
        rng: The random generator for the values.
        record: Called with everything that they send.

    Returns:
        The peripherals by id; they do not advertise yet.
    """
    made: dict[str, VirtualPeripheral | Broadcaster] = {}
    for number, entry in enumerate(wanted, start=1):
        model = _model_for(entry)
        name = _name_for(entry.name) if entry.name else model.label and f"{model.label} {number}"
        made[entry.id] = model.make(
            entry.address or address_of(number), rng, name=name, record=_bind(record, entry.id)
        )
    return made


def address_of(number: int) -> str:
    """Return the address of the peripheral with this number, which must be below 65536."""
    # A static random address (the two highest bits are set), so it is no real device's public one.
    return f"C0:5E:5E:00:{number // 256:02X}:{number % 256:02X}"


def _model_for(entry: PeripheralSettings) -> Model | BroadcastModel:
    if entry.service and entry.service in BROADCASTING:
        return BROADCASTING[entry.service]
    if entry.connect is False:
        return BROADCASTING["mi_scale"]
    # An H10 advertises the heart rate service, too.
    if entry.pmd and entry.service in (None, "heart_rate"):
        return CATALOGUE["polar_pmd"]
    return model_for_service(entry.service or "heart_rate")


def _bind(record: Record | None, peripheral: str) -> Callable[[Sent], None] | None:
    return None if record is None else lambda sent: record(peripheral, sent)


def _name_for(pattern: str) -> str:
    """Return a name that matches the pattern: its literal characters without the wildcards."""
    # A wildcard that follows a backslash is part of the name.
    name = re.sub(
        r"\\([\\*?])|[*?]", lambda found: found[1] or ("x" if found[0] == "?" else ""), pattern
    ).strip()
    return name.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore") or "Strap"
