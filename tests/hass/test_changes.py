"""Home Assistant follows what happens to devices, programs and settings.

The tests share one run of all programs; each leaves everything online and unchanged but for what it
says.
"""

from collections.abc import AsyncGenerator, Callable

import pytest
import pytest_asyncio

from tests.hass import verdict
from tests.hass.rig import SOON_S, Rig
from tests.hass.settings import GATEWAY
from tests.hass.snapshot import Entity, Snapshot
from tests.support.polling import until

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

# A strap measures all the time, a scale when a person stands on it.
HEART_RATE = f"healthd_{GATEWAY}_heart-rate_heart_rate_heart_rate_bpm"
WEIGHT = f"healthd_{GATEWAY}_weight-scale_weight_weight_kg"
VARIABILITY = f"healthd_{GATEWAY}_heart-rate_heart_rate_variability_rmssd_ms"
TARGET = f"healthd_{GATEWAY}_fitness-machine_fitness_machine_status_power_w"
STATUS = f"healthd_{GATEWAY}_status"

# A link is lost after 2 s without an answer; then healthd looks for the device again.
_GONE = "unavailable"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(usable: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    # The variability comes late: after its first window of 30 s.
    late = {"hrv": "30s"}
    async with Rig(tmp_path_factory.mktemp("changes"), seed=7, heart_rate=late) as running:
        await shows(running, lambda now: VARIABILITY in now.ids, 90.0)
        await running.settled()
        yield running
        # Home Assistant warns when it loses the broker, which a test has killed; so does its paho
        # if that was just sending.
        expected = ("MQTT server", "Connection reset by peer")
        complaints = running.hass.complaints
        assert [one for one in complaints if not any(part in one for part in expected)] == []


async def shows(rig: Rig, is_shown: Callable[[Snapshot], bool], at_most: float = SOON_S) -> None:
    """Wait until Home Assistant shows something."""
    snapshot = await rig.look()

    async def holds() -> bool:
        nonlocal snapshot
        snapshot = await rig.look()
        return is_shown(snapshot)

    assert await until(holds, at_most, poll_s=1.0), [
        f"{one.id} is {one.value}" for one in snapshot.entities.values()
    ]


def value(snapshot: Snapshot, id_: str) -> str | None:
    return snapshot.entities[id_].value


def measured(snapshot: Snapshot) -> list[Entity]:
    """Return the entities of peripherals that have a state."""
    return [one for one in snapshot.entities.values() if one.device != GATEWAY and one.state]


async def test_what_a_device_measures_all_the_time_is_unavailable_while_it_is_away(
    rig: Rig,
) -> None:
    before = await rig.look()
    rig.gateway.send_command("vanish heart_rate")
    rig.gateway.send_command("vanish weight_scale")
    await shows(rig, lambda now: value(now, HEART_RATE) == _GONE)
    # The last weight stays a person's weight.
    assert float(value(await rig.look(), WEIGHT) or "nan") > 0
    rig.gateway.send_command("appear heart_rate")
    rig.gateway.send_command("appear weight_scale")
    await shows(rig, lambda now: value(now, HEART_RATE) != _GONE)
    assert (await rig.settled()).ids == before.ids


async def test_everything_is_unavailable_while_the_gateway_is_down(rig: Rig) -> None:
    before = await rig.settled()
    for end in (rig.gateway.stop, rig.gateway.kill):
        await end()
        # The gateway's goodbye, or the will that the broker publishes for it.
        await shows(
            rig,
            lambda now: (
                value(now, STATUS) == "off" and {one.value for one in measured(now)} == {_GONE}
            ),
        )
        await rig.gateway.start()
        after = await rig.settled()
        assert verdict.missing(after) == verdict.unknown(after) == []
        assert after.ids == before.ids


async def test_a_broker_that_forgets_everything_gets_it_again(rig: Rig) -> None:
    before = await rig.settled()
    await rig.broker.kill()
    await shows(rig, lambda now: {one.value for one in measured(now)} == {_GONE})
    await rig.broker.start()
    await rig.subscriber.subscribed()
    after = await rig.settled()
    assert verdict.missing(after) == verdict.unknown(after) == []
    assert after.ids == before.ids


async def test_a_persons_names_stay_over_restarts(rig: Rig) -> None:
    before = await rig.settled()
    named = {"entity_id": before.ids[HEART_RATE], "name": "Pulse", "new_entity_id": "sensor.pulse"}
    device = before.devices[f"healthd_{GATEWAY}_heart-rate"]["id"]
    await rig.hass.api.ask(
        {"type": "config/entity_registry/update", **named},
        {"type": "config/device_registry/update", "device_id": device, "name_by_user": "Anna"},
    )
    await rig.hass.stop()
    await rig.hass.start()
    await rig.gateway.stop()
    await rig.gateway.start()
    after = await rig.settled()
    assert verdict.missing(after) == verdict.unknown(after) == []
    assert after.ids == {**before.ids, HEART_RATE: "sensor.pulse"}
    row = after.entities[HEART_RATE].row
    assert row is not None
    assert (row["name"], row["original_name"]) == ("Pulse", after.entities[HEART_RATE].name)
    assert after.devices[f"healthd_{GATEWAY}_heart-rate"]["name_by_user"] == "Anna"


async def test_entities_that_a_person_enables_have_values(rig: Rig) -> None:
    before = await rig.settled()
    disabled = [
        one.row["entity_id"] for one in before.entities.values() if one.row and not one.is_enabled
    ]
    await rig.hass.api.ask(
        *(
            {"type": "config/entity_registry/update", "entity_id": one, "disabled_by": None}
            for one in disabled
        )
    )
    await rig.hass.stop()
    await rig.hass.start()
    after = await rig.settled()
    assert all(one.is_enabled for one in after.entities.values())
    assert verdict.missing(after) == verdict.unknown(after) == []
    assert verdict.long_numbers(after) == verdict.wrong_options(after) == []


async def test_a_button_and_a_number_send_requests(rig: Rig) -> None:
    snapshot = await rig.settled()
    button = snapshot.ids[f"healthd_{GATEWAY}_rower_request_reconnect"]
    number = snapshot.ids[f"healthd_{GATEWAY}_fitness-machine_request_set_target_power"]
    await rig.hass.api.call("button.press", button)
    await rig.hass.api.call("number.set_value", number, value=120)
    for verb in ("reconnect", "set_target_power"):
        response = await rig.subscriber.until(
            lambda _, verb=verb: rig.subscriber.at(f"healthd/{GATEWAY}/response/{verb}"), SOON_S
        )
        assert response[-1].json()["status"] == "ok", response
    # The machine reports the new target, which adds entities.
    await shows(rig, lambda now: TARGET in now.ids)


async def test_a_device_that_is_removed_from_the_settings_disappears(rig: Rig) -> None:
    before = await rig.settled()
    fewer = {model: entry for model, entry in rig.settings.items() if model != "rower"}
    rig.configure(fewer.values())
    rig.reload()
    rower = f"healthd_{GATEWAY}_rower"
    await shows(rig, lambda now: rower not in now.devices)
    after = await rig.look()
    others = {id_: entity for id_, entity in before.ids.items() if not id_.startswith(rower)}
    assert after.ids == others
    assert after.unannounced == []
    rig.configure(rig.settings.values())
    rig.reload()
    await shows(rig, lambda now: now.ids == before.ids)


async def test_a_device_with_another_id_is_another_device(rig: Rig) -> None:
    before = await rig.settled()
    rig.settings["pulse_oximeter"]["id"] = "finger"
    rig.configure(rig.settings.values())
    rig.reload()
    old, new = f"healthd_{GATEWAY}_pulse-oximeter", f"healthd_{GATEWAY}_finger"
    await shows(rig, lambda now: old not in now.devices and new in now.devices)
    after = await rig.settled()
    assert verdict.missing(after) == verdict.unknown(after) == after.unannounced == []
    assert {id_.replace(new, old) for id_ in after.ids} == before.ids.keys()
    assert {
        one.row["entity_id"].partition(".")[2].startswith("finger_")
        for id_, one in after.entities.items()
        if one.row is not None and id_.startswith(new)
    } == {True}


async def test_a_verb_that_is_no_longer_allowed_loses_its_button(rig: Rig) -> None:
    rig.configure(rig.settings.values(), requests=["scan"])
    rig.reload()

    def only_scan(now: Snapshot) -> bool:
        controls = [one.id for one in now.entities.values() if one.config["p"] == "button"]
        return controls == [f"healthd_{GATEWAY}_request_scan"] and now.unannounced == []

    await shows(rig, only_scan)


async def test_everything_disappears_when_discovery_is_switched_off(rig: Rig) -> None:
    rig.configure(rig.settings.values(), discovery=None)
    rig.reload()

    def nothing(now: Snapshot) -> bool:
        return not (now.entities or now.unannounced or now.devices)

    await shows(rig, nothing, 2 * SOON_S)
