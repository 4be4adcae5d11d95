"""Imports, over a real WebSocket, into a server with the rules of Home Assistant's recorder."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from healthd.backfill.hass import HomeAssistant
from healthd.backfill.reading import Reading
from healthd.backfill.rounds import Rounds
from healthd.backfill.series import Series, kinds
from healthd.backfill.store import Store
from healthd.errors import Transient
from healthd.mqtt.topics import Place
from healthd.profiles import registry
from tests.support.hass_statistics import TOKEN, HassStatistics, Row

KINDS = kinds(registry.load())
RATE = Series("strap", "heart_rate", "heart_rate_bpm")
WEIGHT = Series("scale", "weight", "weight_kg")
OWN = "healthd:gw_strap_heart_rate_bpm"

# Two hours ago: settled by every clock, whatever the present minute is.
HOUR = int(datetime.now(UTC).replace(minute=0, second=0, microsecond=0).timestamp()) - 2 * 3600


@pytest.fixture
async def hass() -> AsyncIterator[HassStatistics]:
    """A Home Assistant."""
    async with HassStatistics() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The store of a gateway without samples."""
    return Store(tmp_path / "store.sqlite3", "gw")


def rounds(
    store: Store, hass: HassStatistics, *entities: str, replace: bool = False, token: str = TOKEN
) -> Rounds:
    def connect() -> HomeAssistant:
        return HomeAssistant(hass.url, token)

    return Rounds(store, KINDS, "gw", connect, entities=entities, replace=replace)


def add(store: Store, seq: int, value: float, hour: int = HOUR, series: Series = RATE) -> None:
    place = Place("gw", series.peripheral, series.stream, history=True)
    store.add([Reading(place, "run", seq, hour + 60, {series: value})], durable=True)


def row(mean: float, least: float, most: float) -> Row:
    return {"mean": mean, "min": least, "max": most}


def announced(hass: HassStatistics, entity: str, series: Series = RATE) -> None:
    unique = f"healthd_gw_{series.peripheral}_{series.stream}_{series.key}"
    hass.registry.append({"entity_id": entity, "unique_id": unique, "platform": "mqtt"})


async def test_hours_are_imported_once_and_read_back(hass: HassStatistics, store: Store) -> None:
    for seq, value in enumerate((60, 70, 90, 70), 1):
        add(store, seq, value)
    importing = rounds(store, hass)
    assert await importing.run()
    assert hass.rows == {OWN: {HOUR: row(72.5, 60, 90)}}
    assert hass.metadata[OWN]["unit_of_measurement"] == "bpm"
    # A second run, and a repeat of the samples, change nothing: it does not even connect.
    add(store, 1, 60)
    assert await importing.run()
    assert await rounds(store, hass).run()
    assert (len(hass.imports), hass.connections) == (1, 1)
    assert (hass.warnings, hass.harmed) == ([], [])


async def test_the_running_hour_waits_by_home_assistants_clock(
    hass: HassStatistics, store: Store
) -> None:
    add(store, 1, 70, HOUR - 3600)
    add(store, 2, 80, HOUR)
    # This machine's clock is two hours ahead of it.
    hass.now = HOUR + 3600 + 314
    assert await rounds(store, hass).run()
    assert set(hass.rows[OWN]) == {HOUR - 3600}
    hass.now = HOUR + 3600 + 315
    assert await rounds(store, hass).run()
    assert set(hass.rows[OWN]) == {HOUR - 3600, HOUR}
    assert hass.harmed == []


async def test_later_samples_of_an_hour_are_merged(hass: HassStatistics, store: Store) -> None:
    add(store, 1, 60)
    await rounds(store, hass).run()
    add(store, 2, 90)
    add(store, 3, 80, HOUR - 3600)
    await rounds(store, hass).run()
    assert hass.rows == {OWN: {HOUR: row(75, 60, 90), HOUR - 3600: row(80, 80, 80)}}


async def test_hours_of_our_id_that_are_not_known_are_left(
    hass: HassStatistics, store: Store, tmp_path: Path
) -> None:
    add(store, 1, 60)
    add(store, 2, 80)
    await rounds(store, hass).run()
    # The file was lost: one late sample must not replace the mean of an hour.
    fresh = Store(tmp_path / "fresh.sqlite3", "gw")
    add(fresh, 3, 100)
    add(fresh, 4, 100, HOUR - 3600)
    await rounds(fresh, hass).run()
    assert hass.rows[OWN] == {HOUR: row(70, 60, 80), HOUR - 3600: row(100, 100, 100)}
    # It does not try again and again.
    connections = hass.connections
    await rounds(fresh, hass).run()
    assert hass.connections == connections


async def test_a_kill_between_import_and_reading_back(hass: HassStatistics, store: Store) -> None:
    add(store, 1, 60)
    hass.job_s = 3600.0  # the job waits
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await rounds(store, hass).run()
    hass.job_s = 0.05
    # The job ran after that, and before the next start another sample arrived.
    hass.record(OWN, "bpm", {HOUR: row(60, 60, 60)})
    hass.metadata[OWN]["source"] = "healthd"
    add(store, 2, 90)
    assert await rounds(store, hass).run()
    assert hass.rows[OWN] == {HOUR: row(75, 60, 90)}


class TestEntities:
    """Statistics that Home Assistant records itself."""

    ENTITY = "sensor.strap_heart_rate"

    async def test_they_are_never_touched_by_default(
        self, hass: HassStatistics, store: Store
    ) -> None:
        announced(hass, self.ENTITY)
        hass.record(self.ENTITY, "bpm", {})
        add(store, 1, 60)
        await rounds(store, hass).run()
        assert (set(hass.rows[OWN]), hass.rows[self.ENTITY]) == ({HOUR}, {})

    async def test_asked_for_it_fills_hours_that_are_missing(
        self, hass: HassStatistics, store: Store
    ) -> None:
        announced(hass, self.ENTITY)
        recorded = row(71, 50, 95)
        hass.record(self.ENTITY, "bpm", {HOUR: recorded})
        add(store, 1, 60)
        add(store, 2, 80, HOUR - 3600)
        await rounds(store, hass, self.ENTITY).run()
        expected = {HOUR: recorded, HOUR - 3600: row(80, 80, 80)}
        assert hass.rows[self.ENTITY] == expected
        # And what it has filled, it completes.
        add(store, 3, 90, HOUR - 3600)
        add(store, 4, 90)
        await rounds(store, hass, self.ENTITY).run()
        assert hass.rows[self.ENTITY] == expected | {HOUR - 3600: row(85, 80, 90)}

    async def test_hours_that_are_recorded_are_replaced_on_request(
        self, hass: HassStatistics, store: Store
    ) -> None:
        announced(hass, self.ENTITY)
        hass.record(self.ENTITY, "bpm", {HOUR: row(71, 50, 85)})
        add(store, 1, 60)
        add(store, 2, 90)
        await rounds(store, hass, self.ENTITY, replace=True).run()
        assert hass.rows[self.ENTITY] == {HOUR: row(75, 50, 90)}

    async def test_their_unit_stays(self, hass: HassStatistics, store: Store) -> None:
        announced(hass, "sensor.scale_weight", WEIGHT)
        hass.record("sensor.scale_weight", "lb", {}, "mass")
        add(store, 1, 45.359237, series=WEIGHT)
        importing = rounds(store, hass, "sensor.scale_weight")
        assert await importing.run()
        (filled,) = hass.rows["sensor.scale_weight"].values()
        assert filled == pytest.approx(row(100, 100, 100))
        assert hass.metadata["sensor.scale_weight"]["unit_of_measurement"] == "lb"
        assert hass.metadata["healthd:gw_scale_weight_kg"]["unit_of_measurement"] == "kg"

    @pytest.mark.parametrize(
        "entity", ["sensor.absent", "sensor.other", "sensor.strange_unit", "sensor.unrecorded"]
    )
    async def test_an_entity_that_does_not_fit_harms_nothing(
        self, hass: HassStatistics, store: Store, entity: str
    ) -> None:
        hass.registry += [
            {"entity_id": "sensor.other", "unique_id": "outside", "platform": "mqtt"},
            {"entity_id": "sensor.absent", "unique_id": "healthd_gw_x", "platform": "demo"},
        ]
        announced(hass, "sensor.strange_unit")
        announced(hass, "sensor.unrecorded")
        hass.record("sensor.other", "bpm", {})
        hass.record("sensor.strange_unit", "°C", {}, "temperature")
        add(store, 1, 60)
        importing = rounds(store, hass, entity)
        assert not await importing.run()
        assert hass.rows.pop(OWN) == {HOUR: row(60, 60, 60)}
        assert not any(hass.rows.values())
        # Once an hour is enough for what only a person can change.
        connections = hass.connections
        assert not await importing.run()
        assert hass.connections == connections


async def test_a_refused_import_does_not_stop_the_others(
    hass: HassStatistics, store: Store
) -> None:
    add(store, 1, 60)
    add(store, 1, 80, series=WEIGHT)
    # A unit that does not belong to its class: Home Assistant refuses the list.
    hass.record(OWN, "bpm", {}, "mass")
    hass.metadata[OWN]["source"] = "healthd"
    assert not await rounds(store, hass).run()
    assert hass.rows["healthd:gw_scale_weight_kg"] == {HOUR: row(80, 80, 80)}
    assert hass.rows[OWN] == {}


async def test_a_refused_token(hass: HassStatistics, store: Store) -> None:
    add(store, 1, 60)
    with pytest.raises(Transient, match="refuses the token: Invalid access token") as caught:
        await rounds(store, hass, token="wrong").run()
    # Home Assistant bans an address after some wrong tokens.
    assert caught.value.reason == "token_refused"
    assert caught.value.backoff.first_s >= 60


async def test_home_assistant_is_away_or_not_ready(hass: HassStatistics, store: Store) -> None:
    add(store, 1, 60)
    hass.recording = False
    with pytest.raises(Transient, match="recorder is not running"):
        await rounds(store, hass).run()
    hass.recording = True
    importing = rounds(store, hass)
    url = hass.url
    await hass.__aexit__(None, None, None)

    def away() -> HomeAssistant:
        return HomeAssistant(url, TOKEN)

    importing = Rounds(store, KINDS, "gw", away)
    with pytest.raises(Transient, match="no connection to Home Assistant") as caught:
        await importing.run()
    assert caught.value.reason == "hass_unreachable"
