"""``healthd hass-backfill`` with the recorder of a real Home Assistant."""

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from healthd.backfill.hours import Values
from healthd.backfill.plan import destination
from healthd.backfill.series import Series, kinds, statistic_id
from healthd.profiles import registry
from tests.hass.home_assistant import HomeAssistant
from tests.support.mosquitto import HOST, Mosquitto
from tests.support.polling import until
from tests.support.process import Healthd
from tests.support.subscriber import publish

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("usable")]

# An hour that has been over for more than an hour, and the one before it.
_NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
RUNNING = int(_NOW.timestamp())
HOUR, EARLIER = RUNNING - 2 * 3600, RUNNING - 3 * 3600

RATE, GLUCOSE, WEIGHT = "strap/heart_rate", "meter/glucose", "scale/weight"
OWN = "healthd:home_strap_heart_rate_bpm"
ENTITY, SCALE = "sensor.strap_heart_rate", "sensor.scale_weight"

SETTINGS = """
[gateway]
id = "home"
[mqtt]
brokers = ["{broker}"]
[outbox]
directory = "{folder}/state"
[hass]
url = "http://{hass}"
token_file = "{folder}/hass-token"
{more}
"""

Row = tuple[int, float | None, float | None, float | None]


class Rig:
    """Home Assistant, a broker, and the command between them."""

    def __init__(self, folder: Path, broker: Mosquitto, hass: HomeAssistant) -> None:
        self.broker = broker
        self.hass = hass
        self._folder = folder
        (folder / "hass-token").write_text(f"{hass.api.token}\n")

    async def run_once(self, more: str = "") -> Healthd:
        address = self.hass.api.url.removeprefix("ws://").partition("/")[0]
        text = SETTINGS.format(
            broker=self.broker.address, folder=self._folder, hass=address, more=more
        )
        config = self._folder / "healthd.toml"
        config.write_text(text)
        arguments = ("hass-backfill", "--config", str(config), "--once")
        # Devices' clocks are on local time; here that is UTC.
        async with Healthd(*arguments, environ={"TZ": "UTC"}) as healthd:
            await healthd.ended()
        return healthd

    async def publish(self, stream: str, seq: int, at: int, **values: object) -> None:
        time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        sample = {"id": f"7f3a1c0e-{seq}", "time": time, "clock": "synced", "seq": seq, **values}
        topic = f"healthd/home/device/{stream}"
        await publish(self.broker.port, topic, json.dumps(sample))

    async def announce(self, component: str, config: Mapping[str, object], value: object) -> None:
        """Announce an entity as healthd does, and give it a state."""
        peripheral, stream, key = component.split("/")
        topic = f"healthd/home/device/{peripheral}/{stream}"
        entity = {
            "p": "sensor",
            "uniq_id": f"healthd_home_{peripheral}_{stream}_{key}",
            "def_ent_id": f"sensor.{peripheral}_{stream}",
            "name": None,
            "stat_t": topic,
            "val_tpl": f"{{{{ value_json.{key} }}}}",
            "stat_cla": "measurement",
            **config,
        }
        payload = {
            "dev": {"ids": [f"healthd_home_{peripheral}"], "name": peripheral},
            "o": {"name": "healthd"},
            "cmps": {key: entity},
        }
        discovery = f"homeassistant/device/home_{peripheral}/config"
        await publish(self.broker.port, discovery, json.dumps(payload), retain=True)

        async def has_state() -> bool:
            await publish(self.broker.port, topic, json.dumps({key: value}))
            states = await self.hass.api.get("/api/states")
            found = {one["entity_id"]: one["state"] for one in states}
            return found.get(entity["def_ent_id"], "unknown") not in ("unknown", "unavailable")

        assert await until(has_state, 30)

    def rows(self, statistic_id: str) -> list[Row]:
        """Return the hours of long-term statistics, from the database itself."""
        query = (
            "SELECT start_ts, mean, min, max FROM statistics JOIN statistics_meta"
            " ON statistics_meta.id = metadata_id WHERE statistic_id = ? ORDER BY start_ts"
        )
        with closing(sqlite3.connect(self.hass.folder / "home-assistant_v2.db")) as db:
            return [(int(start), *row) for start, *row in db.execute(query, (statistic_id,))]  # pyright: ignore[reportReturnType]

    def everything(self) -> list[Any]:
        """Return all rows of long-term statistics as they are, with their ids and times."""
        with closing(sqlite3.connect(self.hass.folder / "home-assistant_v2.db")) as db:
            return [
                *db.execute("SELECT * FROM statistics ORDER BY id"),
                *db.execute("SELECT * FROM statistics_meta ORDER BY id"),
            ]

    async def metadata(self, statistic_id: str) -> dict[str, Any]:
        (found,) = await self.hass.api.ask(
            {"type": "recorder/get_statistics_metadata", "statistic_ids": [statistic_id]}
        )
        (metadata,) = found
        return metadata

    async def record(self, entity: str, unit: str, hour: int, mean: float) -> None:
        """Let Home Assistant have an hour of an entity's own, as if it had recorded it."""
        metadata = {
            "statistic_id": entity,
            "source": "recorder",
            "name": None,
            "unit_of_measurement": unit,
            "unit_class": None,
            "has_sum": False,
            "mean_type": 1,
        }
        start = datetime.fromtimestamp(hour, UTC).isoformat()
        row = {"start": start, "mean": mean, "min": mean - 5, "max": mean + 5}
        await self.hass.api.ask(
            {"type": "recorder/import_statistics", "metadata": metadata, "stats": [row]}
        )

        async def has_row() -> bool:
            return any(start == hour for start, *_ in self.rows(entity))

        assert await until(has_row, 30)


@pytest.fixture
async def rig(usable: None, tmp_path: Path) -> AsyncIterator[Rig]:
    """The rig, with the broker keeping a session for the command."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(tmp_path))
        hass = HomeAssistant(tmp_path / "hass", broker.port, recorder=True)
        rig = Rig(tmp_path, broker, await stack.enter_async_context(hass))
        await rig.run_once()
        yield rig


async def test_late_samples_are_at_the_hours_they_belong_to(rig: Rig) -> None:
    for seq, rate in enumerate((60, 70, 90, 70), 1):
        await rig.publish(f"{RATE}/history", seq, HOUR + seq, heart_rate_bpm=rate)
    await rig.publish(f"{RATE}/history", 5, EARLIER + 3599, heart_rate_bpm=50)
    # From a meter's memory: received now, measured in the hour of ``device_time``.
    made = datetime.fromtimestamp(EARLIER + 1800, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    glucose = {"glucose_mmol_per_l": 5.4, "device_time": made}
    await rig.publish(f"{GLUCOSE}/history", 1, RUNNING + 1, **glucose)
    await rig.run_once()
    assert rig.rows(OWN) == [(EARLIER, 50, 50, 50), (HOUR, 72.5, 60, 90)]
    meter = "healthd:home_meter_glucose_mmol_per_l"
    assert rig.rows(meter) == [(EARLIER, 5.4, 5.4, 5.4)]
    metadata = await rig.metadata(meter)
    unit_class = "blood_glucose_concentration"
    assert (metadata["statistics_unit_of_measurement"], metadata["unit_class"]) == (
        "mmol/L",
        unit_class,
    )
    assert (metadata["mean_type"], metadata["has_sum"], metadata["source"]) == (1, False, "healthd")
    # A second run changes nothing, and neither does a second delivery.
    before = rig.everything()
    await rig.publish(f"{RATE}/history", 4, HOUR + 4, heart_rate_bpm=70)
    await rig.run_once()
    assert rig.everything() == before
    # Another late sample completes its hour.
    await rig.publish(f"{RATE}/history", 6, HOUR + 60, heart_rate_bpm=110)
    await rig.run_once()
    assert rig.rows(OWN) == [(EARLIER, 50, 50, 50), (HOUR, 80, 60, 110)]
    assert rig.hass.complaints == []


async def test_the_running_hour_is_never_imported(rig: Rig) -> None:
    now = int(datetime.now(UTC).timestamp())
    await rig.publish(f"{RATE}/history", 1, now, heart_rate_bpm=60)
    await rig.publish(f"{RATE}/history", 2, now + 7200, heart_rate_bpm=60)
    await rig.publish(f"{RATE}/history", 3, HOUR, heart_rate_bpm=70)
    await rig.run_once()
    assert rig.rows(OWN) == [(HOUR, 70, 70, 70)]


async def test_statistics_of_entities_only_on_request(rig: Rig) -> None:
    await rig.announce("strap/heart_rate/heart_rate_bpm", {"unit_of_meas": "bpm"}, 72)
    await rig.record(ENTITY, "bpm", HOUR, 65)
    recorded = [(HOUR, 65, 60, 70)]
    for seq, hour in ((1, HOUR), (2, EARLIER)):
        await rig.publish(f"{RATE}/history", seq, hour, heart_rate_bpm=80)
    await rig.run_once()
    assert rig.rows(OWN) == [(EARLIER, 80, 80, 80), (HOUR, 80, 80, 80)]
    assert rig.rows(ENTITY) == recorded
    # Asked for, it fills the missing hour and leaves the other one.
    asked = f'entities = ["{ENTITY}"]'
    await rig.run_once(asked)
    filled = [(EARLIER, 80, 80, 80)]
    assert rig.rows(ENTITY) == filled + recorded
    before = rig.everything()
    await rig.run_once(asked)
    assert rig.everything() == before
    # And it completes what it has filled.
    await rig.publish(f"{RATE}/history", 3, EARLIER + 1, heart_rate_bpm=100)
    await rig.run_once(asked)
    assert rig.rows(ENTITY) == [(EARLIER, 90, 80, 100), *recorded]
    # With ``replace`` it has the mean of what it knows, and the extremes of both.
    await rig.publish(f"{RATE}/history", 4, HOUR + 1, heart_rate_bpm=100)
    await rig.run_once(f"{asked}\nreplace = true")
    assert rig.rows(ENTITY) == [(EARLIER, 90, 80, 100), (HOUR, 90, 60, 100)]
    assert rig.hass.complaints == []


async def test_an_entity_that_a_person_shows_in_pounds(rig: Rig) -> None:
    unit = {"unit_of_meas": "kg", "dev_cla": "weight"}
    await rig.announce("scale/weight/weight_kg", unit, 72.5)
    options = {"options_domain": "sensor", "options": {"unit_of_measurement": "lb"}}
    await rig.hass.api.ask({"type": "config/entity_registry/update", "entity_id": SCALE, **options})

    async def is_in_pounds() -> bool:
        await publish(rig.broker.port, f"healthd/home/device/{WEIGHT}", '{"weight_kg": 72.5}')
        return (await rig.metadata(SCALE))["statistics_unit_of_measurement"] == "lb"

    assert await until(is_in_pounds, 30)
    # 100 lb (1 lb is 0.45359237 kg).
    await rig.publish(f"{WEIGHT}/history", 1, HOUR, weight_kg=45.359237)
    await rig.run_once(f'entities = ["{SCALE}"]')
    ((start, *values),) = rig.rows(SCALE)
    assert start == HOUR
    assert values == pytest.approx([100, 100, 100])
    assert (await rig.metadata(SCALE))["statistics_unit_of_measurement"] == "lb"
    assert rig.rows("healthd:home_scale_weight_kg") == [(HOUR, 45.359237, 45.359237, 45.359237)]
    assert rig.hass.complaints == []


async def test_it_accepts_every_quantity_of_every_stream(rig: Rig) -> None:
    for kind, known in kinds(registry.load()).items():
        for key, quantity in known.quantities.items():
            series = Series("device", kind, key)
            into = destination(statistic_id("home", series), series, quantity, None)
            message = {"metadata": dict(into.metadata), "stats": into.rows({HOUR: Values(1, 1, 1)})}
            # Refused if the unit is not one of its class, or the id is not valid.
            await rig.hass.api.ask({"type": "recorder/import_statistics", **message})
    assert rig.hass.complaints == []


async def test_a_token_that_home_assistant_does_not_know(rig: Rig, tmp_path: Path) -> None:
    await rig.publish(f"{RATE}/history", 1, HOUR, heart_rate_bpm=60)
    (tmp_path / "hass-token").write_text("not-a-token")
    healthd = await rig.run_once()
    failed = await healthd.logged("failed")
    assert failed["reason"] == "token_refused"
    assert f"http://{HOST}" in failed["error"]
