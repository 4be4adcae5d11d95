"""Results before they become samples: whose they are, over restarts, reloads and wrong clocks."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from healthd.gateway.attribution import FILE_NAME, Attribution
from healthd.host.clock import Clock
from healthd.profiles.blood_pressure import BloodPressure
from healthd.profiles.body_composition import BodyComposition
from healthd.profiles.health_thermometer import BodyTemperature
from healthd.profiles.link_state import Timed
from healthd.profiles.weight_scale import Weight
from healthd.samples import ClockState, Measurement, Stamp
from healthd.settings.people import PersonSettings

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def zone() -> tzinfo:
    return UTC


class SetClock(Clock):
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = NOON
        self.state: ClockState = "synced"

    def now(self) -> Stamp:
        return Stamp(round(self.time.timestamp()) * 1_000_000_000, 0, self.state)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


Start = Callable[..., Attribution]


@pytest.fixture
def start(tmp_path: Path, clock: SetClock) -> Start:
    def started(*people: PersonSettings) -> Attribution:
        attribution = Attribution(tmp_path, clock, zone)
        attribution.use(people)
        return attribution

    return started


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def person(id_: str, weight_kg: float | None = None, **keys: Any) -> PersonSettings:
    return PersonSettings.model_validate({"id": id_, "weight_kg": weight_kg, **keys})


ANNA, BERT = person("anna", 62), person("bert", 81.5)


def finished(made: Measurement, *, stored: bool = False) -> Timed:
    return Timed(made, 0, stored=stored, finished=True)


def weight(kg: float | None, **keys: Any) -> Weight:
    return Weight.of({"weight_kg": kg, **keys})


def keys(attribution: Attribution, made: Measurement, *, stored: bool = False) -> dict[str, Any]:
    fields = attribution.finish("scale", finished(made, stored=stored)).fields()
    return {key: fields[key] for key in ("person", "unattributed") if key in fields}


def test_a_result_says_whose_it_is_or_why_that_is_not_certain(start: Start) -> None:
    attribution = start(ANNA, BERT, person("clara", 80))
    assert keys(attribution, weight(61.2)) == {"person": "anna"}
    assert keys(attribution, weight(81.0)) == {"person": None, "unattributed": "ambiguous"}
    assert keys(attribution, weight(70.0)) == {"person": None, "unattributed": "no_match"}
    assert keys(attribution, weight(None)) == {"person": None, "unattributed": "no_weight"}


def test_the_rest_of_the_result_is_unchanged(start: Start) -> None:
    made = weight(61.2, device_time="2026-11-20T07:00:00", user_id=None)
    found = start(ANNA).finish("scale", finished(made)).fields()
    assert {key: value for key, value in found.items() if key != "person"} == made.fields()


def test_without_people_nothing_is_added(start: Start, tmp_path: Path) -> None:
    made = weight(61.2)
    assert start().finish("scale", finished(made)) is made


def test_a_temperature_belongs_to_no_one(start: Start) -> None:
    made = BodyTemperature.of({"temperature_c": 36.6})
    assert start(ANNA).finish("thermometer", finished(made)) is made


def test_the_devices_own_number_wins(start: Start) -> None:
    attribution = start(person("anna", 62, users={"scale": 2}), BERT)
    assert keys(attribution, weight(81.5, user_id=2)) == {"person": "anna"}
    # A number that no one has is not Anna's, whatever the weight.
    assert keys(attribution, weight(62.0, user_id=1)) == {
        "person": None,
        "unattributed": "no_match",
    }
    assert keys(attribution, weight(81.5, user_id=1)) == {"person": "bert"}
    # The device does not know the user.
    assert keys(attribution, weight(62.0, user_id=None)) == {"person": "anna"}


def test_a_blood_pressure_has_the_number_only(start: Start) -> None:
    def made(user: int | None) -> BloodPressure:
        fields = {"systolic_mmhg": 123, "diastolic_mmhg": 80, "mean_arterial_pressure_mmhg": 94}
        return BloodPressure.of({**fields, "user_id": user})

    attribution = start(person("anna", users={"scale": 1}), BERT)
    assert keys(attribution, made(1)) == {"person": "anna"}
    unknown = {"person": None, "unattributed": "unknown_user"}
    assert keys(attribution, made(2)) == unknown
    assert keys(attribution, made(None)) == unknown
    assert keys(start(ANNA), made(1)) == {}


def test_both_results_of_one_weighing_get_the_same_answer_and_count_once(
    start: Start, clock: SetClock
) -> None:
    attribution = start(ANNA, BERT)
    assert keys(attribution, weight(60.0)) == {"person": "anna"}
    clock.time += timedelta(seconds=12)
    # Its weight is missing or rounded, and would not be enough by itself.
    assert keys(attribution, BodyComposition.of({"body_fat_pct": 21.5})) == {"person": "anna"}
    assert attribution.people.estimates["anna"].kg == 61.0
    clock.time += timedelta(seconds=40)
    assert keys(attribution, BodyComposition.of({"body_fat_pct": 21.5})) == {
        "person": None,
        "unattributed": "no_weight",
    }


def test_a_body_composition_before_the_weight_of_the_same_weighing(start: Start) -> None:
    """Many scales send no weight with it, and which of the two comes first depends on the scale."""
    attribution = start(ANNA, BERT)
    time = "2026-11-20T07:00:00"
    composition = BodyComposition.of({"body_fat_pct": 21.5, "device_time": time})
    held = weight(61.2, device_time=time)
    attribution.note_held("scale", [finished(composition), finished(held)])
    assert keys(attribution, composition) == {"person": "anna"}
    assert keys(attribution, held) == {"person": "anna"}
    assert attribution.people.estimates["anna"].kg == pytest.approx(61.6)  # half way, once


def test_a_body_composition_long_before_the_weight_does_not_spoil_it(start: Start) -> None:
    attribution = start(ANNA, BERT)
    for number, kg in enumerate((61.5, 81.0), start=1):
        time = f"2026-11-{number:02}T07:00:00"
        made = BodyComposition.of({"body_fat_pct": 20.0, "device_time": time})
        assert keys(attribution, made, stored=True)["unattributed"] == "no_weight"
        found = keys(attribution, weight(kg, device_time=time), stored=True)
        assert found["person"] == ("anna", "bert")[number - 1]


def test_the_other_results_of_a_memory_are_found_by_the_devices_time(start: Start) -> None:
    attribution = start(ANNA, BERT)
    times = [f"2026-11-{day:02}T07:00:00" for day in range(1, 11)]
    for number, time in enumerate(times):
        made = weight((61.5, 81.0)[number % 2], device_time=time)
        assert keys(attribution, made, stored=True)["person"] == ("anna", "bert")[number % 2]
    for number, time in enumerate(times):
        made = BodyComposition.of({"body_fat_pct": 20.0, "device_time": time})
        assert keys(attribution, made, stored=True)["person"] == ("anna", "bert")[number % 2]


def test_of_more_weighings_than_any_scale_remembers_the_oldest_are_forgotten(
    start: Start,
) -> None:
    attribution = start(ANNA, BERT)
    first = datetime(2026, 11, 1)  # noqa: DTZ001 - a scale knows no zone
    times = [(first + timedelta(minutes=number)).isoformat() for number in range(513)]
    for time in times:
        keys(attribution, weight(61.5, device_time=time), stored=True)

    def of_composition(time: str) -> dict[str, Any]:
        made = BodyComposition.of({"body_fat_pct": 20.0, "device_time": time})
        return keys(attribution, made, stored=True)

    assert of_composition(times[0])["unattributed"] == "no_weight"
    assert of_composition(times[2])["person"] == "anna"


@pytest.mark.parametrize("time", ["2026-11-20T11:59:59", "2020-01-01T00:00:00", None, "2027-05"])
def test_a_stored_result_that_is_older_or_has_no_time_teaches_nothing(
    start: Start, time: str | None
) -> None:
    attribution = start(ANNA)
    assert keys(attribution, weight(60.0, device_time=time), stored=True) == {"person": "anna"}
    assert attribution.people.estimates["anna"].kg == 62.0


def test_a_live_result_of_a_scale_with_a_wrong_clock_does(start: Start) -> None:
    attribution = start(ANNA)
    keys(attribution, weight(60.0, device_time="2010-01-01T00:00:00"))
    assert attribution.people.estimates["anna"].kg == 61.0


def test_nothing_is_learned_while_this_machines_clock_is_wrong(
    start: Start, clock: SetClock
) -> None:
    clock.state = "unsynced"
    attribution = start(ANNA)
    assert keys(attribution, weight(60.0)) == {"person": "anna"}
    assert attribution.people.estimates["anna"].kg == 62.0
    clock.state = "synced"
    assert keys(attribution, weight(60.0)) == {"person": "anna"}
    assert attribution.people.estimates["anna"].kg == 61.0


async def until_written(attribution: Attribution) -> None:
    running = asyncio.create_task(attribution.run(lambda: None))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    await attribution.save()


async def test_a_restart_continues_from_the_last_result(start: Start, clock: SetClock) -> None:
    attribution = start(ANNA, BERT)
    for kg in (60.0, 59.0, 58.0):
        clock.time += timedelta(days=1)
        assert keys(attribution, weight(kg)) == {"person": "anna"}
    keys(attribution, weight(70.0))
    await until_written(attribution)
    clock.time += timedelta(days=1)
    assert keys(start(ANNA, BERT), weight(56.8)) == {"person": "anna"}  # 5.2 kg below the setting


async def test_a_new_weight_in_the_settings_wins_at_a_start_and_at_a_reload(
    start: Start, clock: SetClock
) -> None:
    attribution = start(ANNA, BERT)
    keys(attribution, weight(60.0))
    await until_written(attribution)
    assert keys(start(person("anna", 68), BERT), weight(61.0))["person"] is None
    attribution.use([person("anna", 68), BERT])
    assert keys(attribution, weight(61.0))["person"] is None
    assert keys(attribution, weight(67.0)) == {"person": "anna"}
    # Bert's goes on.
    attribution.use([person("bert", 81.5)])
    assert attribution.people.estimates.keys() == {"bert"}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"anna": 5}', b'{"anna": {"kg": "x"}}'])
def test_an_unreadable_file_counts_as_absent(start: Start, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert keys(start(ANNA), weight(62.0)) == {"person": "anna"}


def test_the_log_has_neither_names_nor_weights(start: Start, logs: list[Any]) -> None:
    attribution = start(ANNA, BERT, person("clara", 80))
    for kg in (61.27, 80.83, 71.91, None):
        keys(attribution, weight(kg))
    assert {line["reason"] for line in logs} == {"ambiguous", "no_match", "no_weight"}
    written = orjson.dumps(logs).decode()
    assert not any(secret in written for secret in ("anna", "bert", "clara", "80.", "71.", "61."))
