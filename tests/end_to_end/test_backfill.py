"""From a meter's memory through the daemon and a broker to Home Assistant's statistics."""

import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from healthd.backfill.service import Backfill
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.simulator.health import glucose
from healthd.simulator.peripheral import VirtualPeripheral
from tests.end_to_end.simulated_gateway import add, address, gateway, until_runs
from tests.support.hass_statistics import TOKEN, HassStatistics
from tests.support.subscriber import Subscriber


def measured(record: bytes) -> tuple[int, float]:
    """Return the hour and the mmol/L of a result (Glucose Service 1.0.1, section 3.1)."""
    *clock, offset_min, sfloat = struct.unpack_from("<HBBBBBhH", record, 3)
    moment = datetime(*clock, tzinfo=UTC) + timedelta(minutes=offset_min)
    exponent = (sfloat >> 12) - 16
    # In kg/L; 1 mmol of glucose is 180.156 mg.
    mmol_per_l = (sfloat & 0xFFF) * 10.0**exponent * 1e6 / 180.156
    return int(moment.replace(minute=0, second=0).timestamp()), mmol_per_l


async def test_a_meters_memory_is_at_the_hours_of_its_measurements(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    # The meter's clock is on the local time of the gateway.
    now = datetime.now(UTC).replace(tzinfo=None)
    memory = glucose.Memory(random.Random(7), stored=12, until=now)
    meter = VirtualPeripheral("Meter", address(1), [glucose.meter_part(memory)])
    (tmp_path / "token").write_text(TOKEN)
    async with HassStatistics() as hass:
        own = {"url": hass.url, "token_file": tmp_path / "token"}
        outbox = {"directory": tmp_path / "backfill"}
        whole = Settings.model_validate({**settings, "hass": own, "outbox": outbox})

        async def import_once() -> bool:
            return await Backfill(whole, registry.load(), {"TZ": "UTC"}).once()

        assert await import_once()  # the broker keeps what follows
        entry = {"id": "meter", "address": address(1), "every": "1h", "window": "20s"}
        async with gateway(subscriber, settings, [entry]) as air:
            await add(air, meter)
            await until_runs(subscriber, meter=1)
        assert await import_once()
    # The newest result is live, and so is not late.
    expected = dict(measured(record.payloads[0][1]) for record in memory.records[:-1])
    rows = hass.rows["healthd:gateway_meter_glucose_mmol_per_l"]
    assert rows.keys() == expected.keys()
    for hour, row in rows.items():
        values = (row["mean"], row["min"], row["max"])
        # One decimal, or more: the meter's step is 1 mg/dL, 0.056 mmol/L.
        assert values == pytest.approx([expected[hour]] * 3, abs=0.06)
