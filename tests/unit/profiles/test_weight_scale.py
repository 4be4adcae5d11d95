"""Scales with steps of the weight that differ from the standard."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.weight_scale import (
    Weight,
    decode_tenths,
    decode_twentieths,
    decode_xiaomi,
)


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


@pytest.mark.parametrize(
    ("text", "kg", "stabilized", "load_removed"),
    [
        ("02b009ea070114071e0b", 12.4, False, False),  # openScale PR #1294
        # Captures of its advertisements, which have the same layout (ble_monitor, miscale.py).
        ("223e30e607020e10293a", 61.75, True, False),
        ("627607e607020e10293a", 9.55, True, False),
        ("821400e507040b101708", 0.1, False, True),
        ("a24c63e20702010f2f1c", 127.1, True, True),
        # 164.60 jin of 0.5 kg; 100.00 lb, to the digits of its step.
        ("324c40e607020e10293a", 82.3, True, False),
        ("231027e607020e10293a", 45.359, True, False),
    ],
)
def test_xiaomi(text: str, kg: float, stabilized: bool, load_removed: bool) -> None:
    weight = decode_xiaomi(bytes.fromhex(text))
    assert weight.weight_kg == pytest.approx(kg, abs=1e-9)
    assert (weight.stabilized, weight.load_removed) == (stabilized, load_removed)
    assert weight.trailing_bytes == 0
    assert not weight.truncated


@pytest.mark.parametrize("decode", [decode_tenths, decode_twentieths, decode_xiaomi])
@given(data=st.binary(max_size=40))
def test_any_bytes_give_the_model_or_a_decode_error(decode: Any, data: bytes) -> None:
    with suppress(DecodeError):
        assert type(decode(data)) is Weight
