"""Scales with steps of the weight that differ from the standard."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.weight_scale import Weight, decode_tenths, decode_twentieths


def test_twentieths() -> None:
    # Capture of a Renpho ES-WBE28 (ble-scale-sync), which sets a reserved flag.
    fields = decode_twentieths(bytes.fromhex("4e6a07ea0707040c1a06aa00000000")).fields()
    assert fields["weight_kg"] == 94.9
    assert fields["device_time"] == "2026-07-04T12:26:06"
    assert fields["user_id"] == 170
    assert "trailing_bytes" not in fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("002f03", {"weight_kg": 40.75}),
        ("2e6a07", {"weight_kg": 94.9, "truncated": True}),
        ("00ffff", {"weight_kg": None}),
        ("01d007", {"weight_kg": 90.72}),
    ],
)
def test_twentieths_in_both_units(text: str, fields: dict[str, Any]) -> None:
    assert decode_twentieths(bytes.fromhex(text)).fields() == fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("002f03", {"weight_kg": 81.5}),
        ("00ffff", {"weight_kg": None}),
        ("082f03ee002607", {"weight_kg": 81.5, "bmi": 23.8, "height_m": 1.83}),
        ("011027", {"weight_kg": 45.359}),
    ],
)
def test_tenths(text: str, fields: dict[str, Any]) -> None:
    assert decode_tenths(bytes.fromhex(text)).fields() == fields


@pytest.mark.parametrize("decode", [decode_tenths, decode_twentieths])
@given(data=st.binary(max_size=40))
def test_any_bytes_give_the_model_or_a_decode_error(decode: Any, data: bytes) -> None:
    with suppress(DecodeError):
        assert type(decode(data)) is Weight
