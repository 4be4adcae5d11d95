import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.packet.dates import date_text
from healthd.profiles.packet.layout import Fact, Field, Layout, Present, Tail, bit, both, no_bit
from healthd.profiles.packet.wires import (
    DATE_TIME,
    FLOAT,
    S24,
    SFLOAT,
    U8,
    U16,
    U24,
    medical_float,
    number,
    scaled,
    sfloat,
    word,
    words,
)


def halves(rest: bytes) -> tuple[list[int], int]:
    count = len(rest) // 2
    return list(struct.unpack_from(f"<{count}H", rest)), count * 2


LAYOUT = Layout(
    Field("rate", U8, no_bit(0), required=True),
    Field("rate", U16, bit(0), required=True),
    Field("energy", U16, bit(3), number(0xFFFF)),
    Field("distance", U24, bit(1), scaled(10)),
    flags=U8,
    facts=(Fact("contact", lambda flags: bool(flags & 0x04), bit(5)),),
    tail=Tail("intervals", halves, bit(4)),
)


@pytest.mark.parametrize(
    ("packet", "fields"),
    [
        ("0048", {"rate": 72}),
        ("014800", {"rate": 72}),
        ("0848ffff", {"rate": 72, "energy": None}),
        ("0a480100ff0000", {"rate": 72, "energy": 1, "distance": 25.5}),
        ("2448", {"rate": 72, "contact": True}),
        ("2048", {"rate": 72, "contact": False}),
        ("10480100020003", {"rate": 72, "intervals": [1, 2], "trailing_bytes": 1}),
        ("1048", {"rate": 72, "intervals": []}),
        ("0048ffff", {"rate": 72, "trailing_bytes": 2}),
        ("0a48010001", {"rate": 72, "energy": 1, "truncated": True}),
        ("1a48", {"rate": 72, "truncated": True}),
    ],
)
def test_reads(packet: str, fields: dict[str, object]) -> None:
    assert LAYOUT.read(bytes.fromhex(packet)) == fields


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        ("", "offset 0: expected u8, found 0 of 1 bytes"),
        ("00", "offset 1: expected u8, found 0 of 1 bytes"),
        ("0148", "offset 1: expected u16, found 1 of 2 bytes"),
    ],
)
def test_a_missing_required_field_is_named(packet: str, error: str) -> None:
    with pytest.raises(DecodeError, match=error):
        LAYOUT.read(bytes.fromhex(packet))


def test_size_includes_the_announced_fields() -> None:
    assert LAYOUT.size(bytes.fromhex("0a")) == 7
    assert LAYOUT.size(bytes.fromhex("1048aabb")) == 2


@given(st.binary(max_size=12))
def test_both_ways_of_reading_agree(packet: bytes) -> None:
    """A complete packet gives the same fields on the fast path and on the path for cut packets."""
    try:
        whole = LAYOUT.read(packet)
        announced = LAYOUT.size(packet)
    except DecodeError:
        return
    for length in range(len(packet)):
        try:
            part = LAYOUT.read(packet[:length])
        except DecodeError:
            continue
        kept = part.keys() - {"truncated", "trailing_bytes", "intervals"}
        assert {key: part[key] for key in kept} == {key: whole[key] for key in kept}
        assert ("truncated" in part) == (length < announced)


def test_a_layout_may_start_after_an_opcode_and_have_no_flags() -> None:
    date = Field("at", DATE_TIME, meaning=date_text)
    layout = Layout(Field("low", U16, meaning=scaled(100)), date)
    assert layout.read(bytes.fromhex("6400e4070000000000"))["low"] == 1.0
    after_opcode = Layout(Field("value", S24), start=1)
    assert after_opcode.read(bytes.fromhex("07ffffff")) == {"value": -1}


def test_conditions() -> None:
    condition = both(bit(1), no_bit(2))
    assert condition == Present(0b110, 0b010)
    assert [condition(flags) for flags in range(8)] == [
        *(False, False, True, True),
        *(False, False, False, False),
    ]


def test_unknown_flags_create_no_plans() -> None:
    layout = Layout(Field("rate", U8, bit(0)), flags=U16)
    for flags in range(0, 1 << 16, 2):
        layout.read(flags.to_bytes(2, "little"))
    assert layout.plans == 1


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (0xFF6C, -14.8),
        (0xB06F, 0.00111),
        (0x07FF, None),
        (0x0800, None),
        (0x07FE, None),
        (0x0802, None),
        (0x0801, None),
        (0x07FD, 2045.0),
        (0x0803, -2045.0),
        (0x1800, -20480.0),
        (0xF0BD, 18.9),
        (0xFFFF, -0.1),
    ],
)
def test_sfloat(raw: int, value: float | None) -> None:
    assert sfloat(raw) == value


def test_sfloat_in_other_decimal_units_is_exact() -> None:
    assert sfloat(0xB070) == 0.00112
    assert sfloat(0xB070, 5) == 112.0
    assert sfloat(0x07FF, 5) is None


@given(mantissa=st.integers(-2045, 2045), exponent=st.integers(-8, 7))
def test_every_sfloat_is_the_float_nearest_to_its_decimal_value(
    mantissa: int, exponent: int
) -> None:
    raw = (exponent & 0x0F) << 12 | mantissa & 0x0FFF
    assert sfloat(raw) == float(Decimal(mantissa).scaleb(exponent))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (0xFF00016C, 36.4),
        (0xFE000EB0, 37.6),
        (0x007FFFFF, None),
        (0x00800000, None),
        (0x007FFFFE, None),
        (0x00800002, None),
        (0x00800001, None),
        (0x007FFFFD, 8388605.0),
        (0x01FFFFFF, -10.0),
    ],
)
def test_medical_float(raw: int, value: float | None) -> None:
    assert medical_float(raw) == value


def test_a_meaning_is_not_called_for_unavailable_floats() -> None:
    layout = Layout(Field("a", SFLOAT, meaning=scaled(2)), Field("b", FLOAT, meaning=scaled(2)))
    assert layout.read(bytes.fromhex("ff07ffff7f00")) == {"a": None, "b": None}


def test_meanings() -> None:
    assert scaled(360)(1136) == 3.156
    assert scaled(4, factor=3)(6) == 4.5
    assert scaled(10, none=0x7FFF)(0x7FFF) is None
    assert word({1: "one"})(1) == "one"
    assert word({1: "one"})(2) == 2
    assert words({3: "three", 0: "zero"})(0b11001) == ("zero", "three")
