"""Imports the hours that are due into Home Assistant, and reads back what it has stored."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from healthd.backfill.hass import RETRY, CommandRefused, HomeAssistant
from healthd.backfill.hours import HOUR_S, Aggregate, Values, equal, latest_settled, utc_text
from healthd.backfill.plan import Destination, Unfit, destination, plan
from healthd.backfill.series import Kind, Series, unique_id
from healthd.backfill.store import Store, Target
from healthd.errors import Transient
from healthd.log import get_logger
from healthd.mqtt.homeassistant.components import gateway_id

# An import is a job of the recorder, which may be busy with others.
_STORED_WITHIN_S = 60.0
_READ_EVERY_S = 0.5

# What is wrong with a target, a person has to change.
_AGAIN_AFTER_S = 3600.0


class NotStored(Transient):
    """Home Assistant accepted an import, but does not show it."""

    def __init__(self, statistic_id: str) -> None:
        """Name the statistics."""
        problem = f"Home Assistant accepted hours of {statistic_id}, but has not stored them"
        super().__init__("not_stored", problem, RETRY)


class Rounds:
    """Connects when hours are due; nothing stays open in between."""

    def __init__(
        self,
        store: Store,
        kinds: Mapping[str, Kind],
        gateway: str,
        connect: Callable[[], HomeAssistant],
        *,
        entities: Collection[str] = (),
        replace: bool = False,
    ) -> None:
        """Prepare.

        Args:
            store: what is imported.
            kinds: what can be imported; see ``series.kinds``.
            gateway: id of the gateway.
            connect: makes a connection to enter.
            entities: import into the own statistics of these as well.
            replace: replace hours that Home Assistant has recorded itself.
        """
        self._store = store
        self._kinds = kinds
        self._gateway = gateway
        self._connect = connect
        self._entities = entities
        self._replace = replace
        self._entities_known = not entities
        self._unfit: dict[str, float] = {}
        self._logged: set[tuple[str, str]] = set()
        self._log = get_logger(service="hass-backfill")

    async def run(self) -> bool:
        """Import what is due; return whether all of it is in Home Assistant now.

        Raises:
            Transient: Home Assistant cannot be reached, or is not ready.
        """
        # This machine's clock only decides whether to ask.
        if self._entities_known and not self._fit(self._store.targets(latest_settled(time.time()))):
            return not self._unfit
        async with self._connect() as hass:
            try:
                await self._require_recorder(hass)
                until = latest_settled(await hass.now())
                await self._find_entities(hass)
            except CommandRefused as error:
                raise Transient("hass_not_ready", str(error), RETRY) from error
            hours = await self._import_all(hass, self._fit(self._store.targets(until)), until)
        if hours:
            self._log.info("imported", hours=hours)
        return not self._unfit

    def _fit(self, targets: Collection[Target]) -> list[Target]:
        """Return the targets that had no problem within the last hour."""
        now = time.monotonic()
        return [target for target in targets if self._unfit.get(target.name, -1.0) < now]

    async def _require_recorder(self, hass: HomeAssistant) -> None:
        info = cast("Mapping[str, Any]", await hass.command("recorder/info"))
        if not info["thread_running"] or info["migration_in_progress"]:
            raise Transient("hass_not_ready", "Home Assistant's recorder is not running yet", RETRY)

    async def _find_entities(self, hass: HomeAssistant) -> None:
        """Find out which series the entities of the settings show."""
        if not self._entities:
            return
        rows: list[dict[str, Any]] = await hass.command("config/entity_registry/list")
        ids = {row["entity_id"]: row["unique_id"] for row in rows if row["platform"] == "mqtt"}
        series = {unique_id(self._gateway, one): one for one in self._store.series()}
        found: dict[str, Series] = {}
        for entity in self._entities:
            unique = ids.get(entity, "")
            if unique in series:
                found[entity] = series[unique]
            elif not unique.startswith(f"{gateway_id(self._gateway)}_"):
                self._refuse(entity, "not an entity that this gateway has announced")
        self._store.set_entities(found)
        self._entities_known = True

    async def _import_all(
        self, hass: HomeAssistant, targets: Collection[Target], until: int
    ) -> int:
        """Import into all targets; return how many hours were imported."""
        if not targets:
            return 0
        rows: list[dict[str, Any]] = await hass.command(
            "recorder/get_statistics_metadata", statistic_ids=[target.name for target in targets]
        )
        stored = {row["statistic_id"]: row for row in rows}
        hours = 0
        for target in targets:
            try:
                hours += await self._import(hass, target, stored.get(target.name), until)
            except (Unfit, CommandRefused) as error:
                self._refuse(target.name, str(error))
            else:
                self._unfit.pop(target.name, None)
        return hours

    async def _import(
        self, hass: HomeAssistant, target: Target, stored: Mapping[str, Any] | None, until: int
    ) -> int:
        """Import the hours of a target; return how many were imported."""
        series = target.series
        kind = self._kinds.get(series.stream)
        if kind is None or series.key not in kind.quantities:
            raise Unfit("this version of healthd does not measure it")
        into = destination(target.name, series, kind.quantities[series.key], stored)
        imported = left = 0
        while hours := self._store.due(target, until):
            existing = await _read(hass, target, into, hours)
            sent = self._store.sent(target, hours)
            made = plan(hours, existing, sent, replace=self._replace)
            if made.send:
                await self._send(hass, target, into, made.send)
            self._store.settle(target, hours, made.stored | made.send)
            imported += len(made.send)
            left += len(made.left)
        if left:
            # Home Assistant records most hours of an entity itself.
            write = self._log.warning if into.is_own else self._log.debug
            write(
                "hours left",
                statistic_id=target.name,
                hours=left,
                error="Home Assistant has values of these hours that are not from here",
                hint="to replace them, set [hass] replace = true",
            )
        return imported

    async def _send(
        self, hass: HomeAssistant, target: Target, into: Destination, hours: Mapping[int, Values]
    ) -> None:
        """Import hours, and return once Home Assistant shows them."""
        # Before they are sent: after a kill it must be known that they are our own.
        self._store.note_sent(target, hours)
        await hass.command(
            "recorder/import_statistics", metadata=into.metadata, stats=into.rows(hours)
        )
        # The answer comes before the job has run.
        try:
            async with asyncio.timeout(_STORED_WITHIN_S):
                while not _has_all(await _read(hass, target, into, hours), hours):  # noqa: ASYNC110
                    await asyncio.sleep(_READ_EVERY_S)
        except TimeoutError as error:
            raise NotStored(target.name) from error

    def _refuse(self, name: str, problem: str) -> None:
        """Leave a target alone for a while, and log why, once."""
        self._unfit[name] = time.monotonic() + _AGAIN_AFTER_S
        if (name, problem) not in self._logged:
            self._logged.add((name, problem))
            self._log.warning("not imported", statistic_id=name, error=problem)


async def _read(
    hass: HomeAssistant, target: Target, into: Destination, hours: Mapping[int, Aggregate | Values]
) -> dict[int, Values]:
    """Return what Home Assistant has of these hours."""
    answer: dict[str, list[dict[str, Any]]] = await hass.command(
        "recorder/statistics_during_period",
        statistic_ids=[target.name],
        period="hour",
        start_time=utc_text(min(hours)),
        end_time=utc_text(max(hours) + HOUR_S),
        types=["mean", "min", "max"],
        units=into.units,
    )
    rows = {row["start"] // 1000: into.values(row) for row in answer.get(target.name, [])}
    return {hour: row for hour, row in rows.items() if hour in hours}


def _has_all(found: Mapping[int, Values], wanted: Mapping[int, Values]) -> bool:
    return all(hour in found and equal(found[hour], values) for hour, values in wanted.items())
