"""Reading from front to back, and what is kept if a packet ends too early."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.packet.cursor import Cursor, Truncated, optional_part


def test_reads_little_endian_front_to_back() -> None:
    cursor = Cursor(bytes.fromhex("ff 0201 aabbcc"))
    assert cursor.u8() == 0xFF
    assert cursor.u16() == 0x0102
    assert cursor.remaining == 3
    assert cursor.read_bytes(2) == b"\xaa\xbb"
    assert cursor.remaining == 1


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (Cursor.u16, "offset 1: expected u16, found 1 of 2 bytes"),
        (partial(Cursor.read_bytes, size=5), "offset 1: expected raw, found 1 of 5 bytes"),
    ],
    ids=["u16", "read_bytes"],
)
def test_running_out_names_the_offset_and_does_not_move(
    read: Callable[[Cursor], object], message: str
) -> None:
    cursor = Cursor(b"\x01\x02")
    cursor.u8()
    with pytest.raises(Truncated) as raised:
        read(cursor)
    assert str(raised.value) == message
    assert cursor.u8() == 2
    with pytest.raises(DecodeError):
        cursor.u8()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"H10", "H10"),
        (b"H10\0", "H10"),
        (b"H10\0\0old", "H10"),
        (b"\0", ""),
        ("é".encode(), "é"),
        (b"a\xffb", "a\ufffdb"),
        # What moves a terminal's cursor, turns a text around or cannot be seen is left out.
        (b"H10\x1b[2J\r\n", "H10[2J"),
        ("H\u202e01\u200b\ufeff\u2028".encode(), "H01"),
        ("心率 ♥".encode(), "心率 ♥"),
        (b"\xe2\x80\x8b", ""),
        (b"x" * 512, "x" * 100),
        (b"\xff" * 512, "\ufffd" * 100),
    ],
)
def test_text_ends_at_nul_and_replaces_invalid_utf8(data: bytes, text: str) -> None:
    cursor = Cursor(data)
    assert cursor.text() == text
    assert cursor.remaining == 0


@given(data=st.binary())
def test_text_accepts_any_bytes(data: bytes) -> None:
    # A lone surrogate could not be encoded.
    Cursor(data).text().encode()


def read_two(data: bytes) -> dict[str, Any]:
    cursor = Cursor(data)
    fields: dict[str, Any] = {"first": cursor.u8()}
    with optional_part(fields):
        fields["second"] = cursor.u16()
        fields["third"] = cursor.u16()
    return cursor.finish(fields)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ("01", {"first": 1, "truncated": True}),
        ("0102", {"first": 1, "truncated": True}),
        ("010200", {"first": 1, "second": 2, "truncated": True}),
        ("01020003", {"first": 1, "second": 2, "truncated": True}),
        ("0102000300", {"first": 1, "second": 2, "third": 3}),
        ("0102000300ffff", {"first": 1, "second": 2, "third": 3, "trailing_bytes": 2}),
    ],
)
def test_keeps_the_fields_before_the_cut(data: str, fields: dict[str, Any]) -> None:
    assert read_two(bytes.fromhex(data)) == fields


def test_missing_mandatory_part_is_an_error() -> None:
    with pytest.raises(DecodeError):
        read_two(b"")


def test_optional_part_hides_no_other_error() -> None:
    fields: dict[str, Any] = {}
    with pytest.raises(DecodeError, match="reserved"), optional_part(fields):
        raise DecodeError("reserved")
    assert fields == {}
