"""People who share a scale: Home Assistant shows the last weight of each of them."""

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.shared_scale import Scale
from tests.end_to_end.simulated_gateway import add, address, gateway
from tests.hass.home_assistant import HomeAssistant
from tests.hass.rig import SOON_S
from tests.support.mosquitto import Mosquitto
from tests.support.polling import until
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.timeout(400)

PEOPLE = [{"id": "anna", "weight_kg": 62.0}, {"id": "bert", "weight_kg": 81.5}]
EACH = {"sensor.scale_weight_anna": 61.4, "sensor.scale_weight_bert": 80.9}


async def weights(hass: HomeAssistant) -> dict[str, float]:
    """Return the weights that are shown, by entity."""
    found: list[dict[str, Any]] = await hass.api.get("/api/states")
    return {
        one["entity_id"]: float(one["state"])
        for one in found
        if one["entity_id"].startswith("sensor.scale_weight")
        and one["state"].replace(".", "").isdigit()
    }


async def shows(hass: HomeAssistant, expected: dict[str, float]) -> None:
    now: dict[str, float] = {}

    async def is_shown() -> bool:
        nonlocal now
        now = await weights(hass)
        return now == expected

    assert await until(is_shown, SOON_S, poll_s=1.0), now


@pytest.mark.usefixtures("usable")
async def test_each_person_keeps_the_last_weight_over_a_restart_of_home_assistant(
    tmp_path: Path,
) -> None:
    async with (
        Mosquitto(tmp_path) as broker,
        Subscriber(broker.port, "healthd/#") as subscriber,
        HomeAssistant(tmp_path / "hass", broker.port) as hass,
    ):
        settings = {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"], "discovery": "homeassistant"},
            "outbox": {"directory": tmp_path, "max_size": "4MB"},
            "people": PEOPLE,
        }
        scale, entry = Scale(), {"id": "scale", "address": address(4)}
        async with gateway(subscriber, settings, [entry]) as air:
            await add(air, scale.device)
            for kg in (61.4, 80.9, 71.0):  # Anna, Bert, a guest
                await scale.weigh(kg, subscriber)
            await shows(hass, {**EACH, "sensor.scale_weight": 71.0})
            await hass.stop()
            await hass.start()
            await shows(hass, {**EACH, "sensor.scale_weight": 71.0})
            assert hass.complaints == []
        # Bert leaves.
        async with gateway(subscriber, settings | {"people": PEOPLE[:1]}, [entry]):
            await shows(hass, {"sensor.scale_weight_anna": 61.4, "sensor.scale_weight": 71.0})
        assert hass.complaints == []
