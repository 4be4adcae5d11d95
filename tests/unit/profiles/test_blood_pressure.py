"""Cuffs that send plain integers."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.blood_pressure import BloodPressure, decode_plain_integers

PRESSURES = {"systolic_mmhg": 120.0, "diastolic_mmhg": 80.0, "mean_arterial_pressure_mmhg": 93.0}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("00780050005d00", PRESSURES),
        # The structure of a capture in the notes of github.com/ignisf/sbm69, with made-up values.
        (
            "1e780050005d00e70702190d35004800010000",
            {
                **PRESSURES,
                "device_time": "2023-02-25T13:53:00",
                "pulse_rate_bpm": 72.0,
                "user_id": 1,
                "status": [],
                "pulse_rate_range": "within",
            },
        ),
        # Values that an SFLOAT would read as an exponent or "not available" are numbers here.
        (
            "00000850ffff07",
            {
                "systolic_mmhg": 2048.0,
                "diastolic_mmhg": 65360.0,
                "mean_arterial_pressure_mmhg": 2047.0,
            },
        ),
        (
            "01100008000c00",
            {
                "systolic_mmhg": 120.0,
                "diastolic_mmhg": 60.0,
                "mean_arterial_pressure_mmhg": 90.0,
            },
        ),
    ],
)
def test_plain_integers(text: str, fields: dict[str, Any]) -> None:
    assert decode_plain_integers(bytes.fromhex(text)).fields() == fields


@pytest.mark.parametrize(
    ("text", "offset"), [("00780050005d", 5), ("04780050005d0048", 7), ("10780050005d0001", 7)]
)
def test_plain_integers_cut_short(text: str, offset: int) -> None:
    with pytest.raises(DecodeError, match=f"offset {offset}: expected u16, found 1 of 2 bytes"):
        decode_plain_integers(bytes.fromhex(text))


@given(data=st.binary(max_size=40))
def test_any_bytes_give_the_model_or_a_decode_error(data: bytes) -> None:
    with suppress(DecodeError):
        assert type(decode_plain_integers(data)) is BloodPressure
