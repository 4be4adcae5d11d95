"""What is done with an hour, from what Home Assistant has of it."""

from typing import Any

import pytest

from healthd.backfill.conversion import conversion
from healthd.backfill.hours import Aggregate, Values
from healthd.backfill.plan import Unfit, destination, plan
from healthd.backfill.series import Quantity, Series

HOUR = 1_796_032_800  # 2026-11-30T10:00:00Z
OURS = Aggregate(4, 290.0, 60.0, 90.0)
VALUES = Values(72.5, 60.0, 90.0)
OTHER = Values(70.0, 50.0, 80.0)

WEIGHT = Quantity("kg", "mass", "Weight")
SERIES = Series("scale", "weight", "weight_kg")
OWN = "healthd:gw_scale_weight_kg"

# As recorder/get_statistics_metadata answers (Home Assistant 2026.11.0).
STORED: dict[str, Any] = {
    "statistic_id": "sensor.scale_weight",
    "statistics_unit_of_measurement": "kg",
    "unit_class": "mass",
    "mean_type": 1,
    "has_sum": False,
    "name": None,
    "source": "recorder",
}


class TestHours:
    """One hour, by what is there."""

    def test_an_hour_that_is_missing_is_imported(self) -> None:
        made = plan({HOUR: OURS}, {}, {}, replace=False)
        assert (made.send, made.stored, made.left) == ({HOUR: VALUES}, {}, set())

    def test_an_hour_that_is_there_already_is_not_sent_again(self) -> None:
        for replace in (False, True):
            made = plan({HOUR: OURS}, {HOUR: VALUES}, {}, replace=replace)
            assert (made.send, made.stored, made.left) == ({}, {HOUR: VALUES}, set())

    def test_an_hour_of_ours_is_replaced_by_a_newer_sum(self) -> None:
        made = plan({HOUR: OURS}, {HOUR: OTHER}, {HOUR: [OTHER]}, replace=False)
        assert (made.send, made.left) == ({HOUR: VALUES}, set())

    def test_an_hour_that_home_assistant_recorded_is_left(self) -> None:
        made = plan({HOUR: OURS}, {HOUR: OTHER}, {HOUR: [VALUES]}, replace=False)
        assert (made.send, made.stored, made.left) == ({}, {}, {HOUR})

    def test_a_row_without_extremes_is_not_ours(self) -> None:
        row = Values(72.5, None, None)
        assert plan({HOUR: OURS}, {HOUR: row}, {}, replace=False).left == {HOUR}

    def test_replaced_on_request_with_the_extremes_of_both(self) -> None:
        made = plan({HOUR: OURS}, {HOUR: OTHER}, {}, replace=True)
        assert made.send == {HOUR: Values(72.5, 50.0, 90.0)}
        empty = plan({HOUR: OURS}, {HOUR: Values(70.0, None, None)}, {}, replace=True)
        assert empty.send == {HOUR: VALUES}


class TestDestination:
    """The description that goes with every import."""

    def test_our_own_statistics_that_do_not_exist_yet(self) -> None:
        made = destination(OWN, SERIES, WEIGHT, None)
        # All that 2026.11.0 wants, mean_type and unit_class included, or it logs a warning.
        assert made.metadata == {
            "source": "healthd",
            "statistic_id": OWN,
            "name": "Scale: weight",
            "unit_of_measurement": "kg",
            "unit_class": "mass",
            "mean_type": 1,
            "has_sum": False,
        }
        assert made.rows({HOUR: VALUES}) == [
            {"start": "2026-11-30T10:00:00+00:00", "mean": 72.5, "min": 60.0, "max": 90.0}
        ]

    def test_an_entity_keeps_its_description_and_its_unit(self) -> None:
        # An import in another unit would show 72.5 kg as 32.9 kg.
        pounds = STORED | {"statistics_unit_of_measurement": "lb", "name": "Renamed"}
        made = destination("sensor.scale_weight", SERIES, WEIGHT, pounds)
        assert made.metadata["unit_of_measurement"] == "lb"
        assert (made.metadata["name"], made.metadata["source"]) == ("Renamed", "recorder")
        assert made.units == {"mass": "lb"}
        (row,) = made.rows({HOUR: Values(72.5, 45.359237, 90.718474)})
        # 1 lb is 0.45359237 kg.
        assert row["min"] == pytest.approx(100)
        assert row["max"] == pytest.approx(200)
        assert made.values(row) == pytest.approx((72.5, 45.359237, 90.718474))

    def test_a_value_that_is_shown_in_another_unit_than_it_is_published_in(self) -> None:
        speed = Quantity("km/h", "speed", "Speed", 3.6)
        series = Series("bike", "indoor_bike", "speed_mps")
        made = destination("healthd:gw_bike_speed", series, speed, None)
        (row,) = made.rows({HOUR: Values(10, 5, 10)})
        assert row == pytest.approx(row | {"mean": 36, "min": 18, "max": 36})
        assert made.values(row) == pytest.approx((10, 5, 10))
        # An older version of healthd announced it in m/s, and the statistics are kept in that.
        old = STORED | {"statistics_unit_of_measurement": "m/s", "unit_class": "speed"}
        made = destination("sensor.bike_speed", series, speed, old)
        (row,) = made.rows({HOUR: Values(10, 5, 10)})
        assert row == pytest.approx(row | {"mean": 10, "min": 5, "max": 10})

    def test_a_unit_without_a_class_is_read_as_it_is(self) -> None:
        made = destination(OWN, SERIES, WEIGHT, STORED | {"unit_class": None})
        assert made.metadata["unit_class"] is None
        assert made.units == {}

    @pytest.mark.parametrize(
        "stored",
        [
            None,
            STORED | {"statistics_unit_of_measurement": "°C", "unit_class": "temperature"},
            STORED | {"statistics_unit_of_measurement": None},
            STORED | {"has_sum": True},
            STORED | {"mean_type": 0},
            STORED | {"mean_type": 2},  # of angles
        ],
    )
    def test_statistics_that_do_not_fit(self, stored: dict[str, Any] | None) -> None:
        with pytest.raises(Unfit):
            destination("sensor.scale_weight", SERIES, WEIGHT, stored)


# Values that everyone knows, or NIST SP 811.
@pytest.mark.parametrize(
    ("value", "ours", "other", "expected"),
    [
        (100.0, "kg", "lb", 220.462262),
        (63.5029318, "kg", "st", 10.0),
        (10.0, "m/s", "km/h", 36.0),
        (44.704, "m/s", "mph", 100.0),
        (100.0, "km/h", "mph", 62.137119),
        (1609.344, "m", "mi", 1.0),
        (36.6, "°C", "°F", 97.88),
        (-40.0, "°C", "°F", -40.0),
        (0.0, "°C", "K", 273.15),
        (3600.0, "kJ", "kWh", 1.0),
        (418.4, "kJ", "kcal", 100.0),
        (120.0, "mmHg", "kPa", 15.998687),
        (1013.25, "hPa", "kPa", 101.325),
        # Home Assistant counts 180.16 g of glucose per mol.
        (5.0, "mmol/L", "mg/dL", 90.08),
        (90.0, "s", "min", 1.5),
    ],
)
def test_conversions_there_and_back(value: float, ours: str, other: str, expected: float) -> None:
    found = conversion(ours, other)
    assert found is not None
    assert found.there(value) == pytest.approx(expected, rel=1e-7)
    assert found.back(expected) == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_other_units_are_not_converted() -> None:
    assert conversion("bpm", "°C") is None
    assert conversion("kg", None) is None
    assert conversion("bpm", "bpm") == (1, 0)
