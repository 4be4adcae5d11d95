"""The JSON of a sample, its time, and its protected envelope."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError, create_model

from healthd.samples import ENVELOPE_KEYS, Measurement, Sample, Stamp, quantity, utc_text

# 2026-11-24T02:03:31.123456789Z
WALL_NS = 1_795_485_811_123_456_789


class Weather(Measurement):
    """A measurement that only these tests have."""

    kind: ClassVar[str] = "weather"

    temperature_c: Annotated[float | None, quantity("Cel", mdc=150364, loinc="8310-5")]
    wind_mps: Annotated[float | None, quantity("m/s")] = None
    gusts_mps: Annotated[list[float] | None, quantity("m/s")] = None


def payload(measurement: Measurement) -> bytes:
    stamp = Stamp(wall_ns=WALL_NS, mono_ns=1, clock="synced")
    return Sample("roof", measurement.kind, "7f3a1c0e", 18233, stamp, measurement).payload()


def test_payload_is_flat_json_with_the_envelope_first() -> None:
    assert payload(Weather(temperature_c=36.4, gusts_mps=[1.5, 2.0])) == (
        b'{"id":"7f3a1c0e-18233","time":"2026-11-24T02:03:31.123456Z","clock":"synced",'
        b'"seq":18233,"temperature_c":36.4,"gusts_mps":[1.5,2.0]}'
    )


def test_null_is_not_available_and_absent_is_not_in_the_packet() -> None:
    fields = orjson.loads(payload(Weather(temperature_c=None)))
    assert fields["temperature_c"] is None
    assert "wind_mps" not in fields
    fields = orjson.loads(payload(Weather(temperature_c=1, wind_mps=None)))
    assert fields["wind_mps"] is None


def test_truncated_and_trailing_bytes_are_absent_unless_set() -> None:
    fields = orjson.loads(payload(Weather(temperature_c=1)))
    assert fields.keys().isdisjoint({"truncated", "trailing_bytes"})
    fields = orjson.loads(payload(Weather(temperature_c=1, truncated=True, trailing_bytes=2)))
    assert fields["truncated"] is True
    assert fields["trailing_bytes"] == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_a_finite_number_becomes_null(value: float) -> None:
    fields = orjson.loads(payload(Weather(temperature_c=value, gusts_mps=[value, 1.0])))
    assert fields["temperature_c"] is None
    assert fields["gusts_mps"] == [None, 1.0]


@pytest.mark.parametrize("key", sorted(ENVELOPE_KEYS))
def test_measurement_with_an_envelope_key_fails_at_class_creation(key: str) -> None:
    field: dict[str, Any] = {key: (int, ...)}
    with pytest.raises(TypeError, match=rf"^Conflict: {key} belong"):
        create_model("Conflict", __base__=Measurement, **field)


def test_envelope_keys_are_those_of_the_payload() -> None:
    fields = orjson.loads(payload(Weather(temperature_c=1)))
    assert fields.keys() - {"temperature_c"} == ENVELOPE_KEYS


def test_measurement_is_frozen_and_closed() -> None:
    measurement = Weather(temperature_c=1)
    with pytest.raises(ValidationError, match="frozen"):
        measurement.temperature_c = 2  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError, match=r"[Ee]xtra"):
        Weather.model_validate({"temperature_c": 1, "humidity": 2})


def test_quantity_puts_only_given_codes_into_the_schema() -> None:
    properties = Weather.model_json_schema()["properties"]
    temperature = properties["temperature_c"]
    assert (temperature["unit"], temperature["mdc"], temperature["loinc"]) == (
        "Cel",
        150364,
        "8310-5",
    )
    assert properties["wind_mps"]["unit"] == "m/s"
    assert properties["wind_mps"].keys().isdisjoint({"mdc", "loinc"})


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000000Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (999_999_999, "1970-01-01T00:00:00.999999Z"),
        (WALL_NS, "2026-11-24T02:03:31.123456Z"),
        (WALL_NS - 123_456_789, "2026-11-24T02:03:31.000000Z"),
        # Only damaged data has such times. It must not stop what reports it.
        (2**80, "9999-12-31T23:59:59.999999Z"),
        (-(2**80), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_utc_text_always_has_six_decimals(wall_ns: int, text: str) -> None:
    assert utc_text(wall_ns) == text


@given(wall_ns=st.integers(min_value=0, max_value=2**63 - 1))
def test_utc_text_round_trips_to_the_microsecond(wall_ns: int) -> None:
    moment = datetime.fromisoformat(utc_text(wall_ns))
    assert moment.tzinfo == UTC
    back = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (moment.resolution)
    assert back == wall_ns // 1000
