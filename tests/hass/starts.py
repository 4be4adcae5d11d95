"""First starts of all programs, and what is to be said about each."""

from pathlib import Path
from typing import NamedTuple

from tests.hass.rig import First, Rig
from tests.hass.snapshot import Snapshot
from tests.hass.verdict import missing, unknown

# Home Assistant finds all announcements when it starts, or gets them one by one, or all at once.
STARTS: tuple[First, ...] = ("hass", "gateway", "both", "busy hass", "busy hass")


class Start(NamedTuple):
    """A first start of all programs.

    Attributes:
        snapshot: once everything had settled.
        warnings: in Home Assistant's log.
        problems: warnings and errors in the gateway's log.
    """

    snapshot: Snapshot
    warnings: list[str]
    problems: list[str]


class Figures(NamedTuple):
    """A row of the table: one start of all programs."""

    start: str
    devices: int
    entities: int
    enabled: int
    on_dashboards: int
    missing: int
    unknown: int
    warnings: int
    same_ids: str


async def start(folder: Path, seed: int, first: First) -> Start:
    """Start everything from nothing, and look at it once it has settled."""
    async with Rig(folder, seed, first) as rig:
        snapshot = await rig.settled()
        problems = [str(one) for one in rig.gateway.log if one["level"] not in ("debug", "info")]
        return Start(snapshot, rig.hass.complaints, problems)


def figures(name: str, start: Start, one: Start) -> Figures:
    """Return the row of a start; its ids are compared with those of another one."""
    shown = start.snapshot
    return Figures(
        start=name,
        devices=len(shown.devices),
        entities=len(shown.entities),
        enabled=sum(entity.is_enabled for entity in shown.entities.values()),
        on_dashboards=sum(entity.is_on_dashboard for entity in shown.entities.values()),
        missing=len(missing(shown)),
        unknown=len(unknown(shown)),
        warnings=len(start.warnings),
        same_ids="yes" if shown.ids == one.snapshot.ids else "NO",
    )
