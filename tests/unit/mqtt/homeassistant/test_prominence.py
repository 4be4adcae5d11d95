"""Which entities of a device with very many values people see at first."""

import pytest

from healthd.mqtt.homeassistant.fields import shown, shown_keys
from healthd.profiles.vendor.pm5 import models
from healthd.samples import Measurement


def enabled(model: type[Measurement]) -> set[str]:
    fields = {key: shown(model, key) for key in shown_keys(model)}
    return {key for key, field in fields.items() if field and field.config.get("en", True)}


def test_of_a_workout_people_see_what_a_monitor_shows() -> None:
    assert enabled(models.Ergometer) == {
        "active",
        "distance_m",
        "drag_factor",
        "elapsed_time_s",
        "heart_rate_bpm",
        "interval",
        "pace_s_per_500m",
        "power_w",
        "speed_mps",
        "stroke_count",
        "stroke_rate_spm",
        "total_energy_kj",
        "workout_state",
        "workout_type",
    }


def test_averages_are_results_of_a_workout() -> None:
    assert enabled(models.ErgometerWorkout) == {
        "average_heart_rate_bpm",
        "average_pace_s_per_500m",
        "average_power_w",
        "average_stroke_rate_spm",
        "elapsed_time_s",
        "max_heart_rate_bpm",
        "total_distance_m",
        "total_energy_kj",
        "workout_type",
    }


@pytest.mark.parametrize(
    "model", [models.ErgometerStroke, models.ErgometerSplit, models.ErgometerForceCurve]
)
def test_the_parts_of_a_workout_are_disabled_at_first(model: type[Measurement]) -> None:
    assert enabled(model) == set()


def test_values_of_one_workout_are_no_counters() -> None:
    for key in ("total_energy_kj", "total_distance_m", "elapsed_time_s"):
        for model, state_class in (
            (models.Ergometer, "total_increasing"),
            (models.ErgometerWorkout, None),
        ):
            if field := shown(model, key):
                assert field.config.get("stat_cla") == state_class
