"""Encoded numbers of health devices. The expected bytes were worked out by hand."""

from datetime import datetime

import pytest

from healthd.simulator.health.cgm import with_checksum
from healthd.simulator.numbers import date_time, float32, int24, sfloat


@pytest.mark.parametrize(
    ("value", "exponent", "expected"),
    [
        (111 / 100_000, -5, "6fb0"),
        (120, 0, "7800"),
        (96.5, -1, "c5f3"),
        (-0.5, -1, "fbff"),
        (1200, 2, "0c20"),
    ],
)
def test_sfloat(value: float, exponent: int, expected: str) -> None:
    assert sfloat(value, exponent).hex() == expected


@pytest.mark.parametrize("value", [2046, -2046, 1e6])
def test_sfloat_refuses_values_out_of_range_and_reserved_mantissas(value: float) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        sfloat(value, 0)


@pytest.mark.parametrize(
    ("value", "exponent", "expected"),
    [(36.4, -1, "6c0100ff"), (37.6, -2, "b00e00fe"), (-1.0, 0, "ffffff00")],
)
def test_float32(value: float, exponent: int, expected: str) -> None:
    assert float32(value, exponent).hex() == expected


def test_date_time() -> None:
    moment = datetime(2026, 11, 24, 12, 5, 59)  # noqa: DTZ001 - devices have no time zone
    assert date_time(moment).hex() == "ea070b180c053b"


@pytest.mark.parametrize(("value", "expected"), [(1, "010000"), (-2, "feffff"), (70000, "701101")])
def test_int24(value: int, expected: str) -> None:
    assert int24(value).hex() == expected


def test_checksum_matches_the_published_check_value() -> None:
    # CRC-16/MCRF4XX: the check value of "123456789" is 0x6F91.
    assert with_checksum(b"123456789") == b"123456789\x91\x6f"
