"""Measurements in two packets, and the non-standard layouts of some scales."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.body_composition.measurement import (
    BodyComposition,
    decode_body_composition,
    decode_feature,
    decode_tenths,
    decode_twentieths,
    decode_xiaomi,
)
from healthd.profiles.body_composition.packets import PacketJoiner
from healthd.profiles.link_state import Timed

# Flags, then 19.4 %: the date, user 1 and the basal metabolism; the user and the impedance.
FIRST = "0e10c200e807010203040501df1a"
SECOND = "0412c20001a811"
JOINED = {
    "body_fat_pct": 19.4,
    "multiple_packet": True,
    "device_time": "2024-01-02T03:04:05",
    "user_id": 1,
    "basal_metabolism_kj": 6879,
    "impedance_ohm": 452.0,
}


def packet(text: str) -> BodyComposition:
    return decode_body_composition(bytes.fromhex(text))


def played(*packets: str) -> list[list[Timed]]:
    """Return what is published for each packet; they arrive at 1, 2, 3 … ns."""
    state = PacketJoiner()
    return [list(state.take(packet(text), at)) for at, text in enumerate(packets, 1)]


def test_two_packets_are_one_measurement_with_the_time_of_the_first() -> None:
    held, published = played(FIRST, SECOND)
    assert held == []
    assert [(timed.measurement.fields(), timed.mono_ns) for timed in published] == [(JOINED, 1)]


def test_a_single_packet_is_published_at_once() -> None:
    (published,) = played("0000c200")
    assert published == [Timed(packet("0000c200"), 1)]


@pytest.mark.parametrize(
    "second",
    [
        "0412c20002a811",  # another user
        "0412c200ffa811",  # an unknown user
        "0212c200e8070102030406a811",  # a second later
        "0412c30001a811",  # another body fat
        "0c10c20001df1a",  # the same field again
        "0c10c200010000",  # the same field with another value
    ],
)
def test_packets_that_do_not_belong_together_are_published_separately(second: str) -> None:
    held, published = played(FIRST, second)
    assert held == []
    assert published == [Timed(packet(FIRST), 1)]


def test_a_half_that_does_not_match_is_held_for_its_own_partner() -> None:
    other = "0412c20002a811"
    third = "0c10c20002df1a"
    *_, published = played(FIRST, other, third)
    (joined,) = published
    assert joined.mono_ns == 2
    assert joined.measurement.fields() == {
        "body_fat_pct": 19.4,
        "multiple_packet": True,
        "user_id": 2,
        "impedance_ohm": 452.0,
        "basal_metabolism_kj": 6879,
    }


def test_a_repeated_packet_is_not_a_pair() -> None:
    assert played(FIRST, FIRST, SECOND)[1] == [Timed(packet(FIRST), 1)]
    assert [timed.measurement.fields() for timed in played(FIRST, FIRST, SECOND)[2]] == [JOINED]


def test_a_single_packet_releases_the_held_half() -> None:
    *_, published = played(FIRST, "0000c200")
    assert published == [Timed(packet(FIRST), 1), Timed(packet("0000c200"), 2)]


def test_the_body_fat_may_be_in_only_one_half() -> None:
    *_, (joined,) = played(FIRST, "0412ffff01a811")
    assert joined.measurement.fields() == JOINED
    *_, (joined,) = played("0e10ffffe807010203040501df1a", SECOND)
    assert joined.measurement.fields() == JOINED


def test_a_cut_or_too_long_half_marks_the_joined_measurement() -> None:
    *_, (joined,) = played(FIRST + "aa", SECOND[:-2])
    fields = joined.measurement.fields()
    assert fields["truncated"] is True
    assert fields["trailing_bytes"] == 1
    assert "impedance_ohm" not in fields


def test_each_link_starts_without_a_held_half() -> None:
    assert played(FIRST) == [[]]
    assert played(SECOND) == [[]]


def test_the_end_of_the_link_releases_the_held_half() -> None:
    state = PacketJoiner()
    assert list(state.end()) == []
    assert list(state.take(packet(FIRST), 1)) == []
    assert list(state.end()) == [Timed(packet(FIRST), 1)]
    assert list(state.end()) == []
    assert list(state.take(packet(SECOND), 2)) == []


def test_other_measurements_are_published_as_they_are() -> None:
    features = decode_feature(bytes(4))
    state = PacketJoiner()
    assert list(state.take(packet(FIRST), 1)) == []
    assert list(state.take(features, 2)) == [Timed(features, 2)]
    assert [timed.measurement.fields() for timed in state.take(packet(SECOND), 3)] == [JOINED]


def half(flags: int, fat: int, user: int, values: bytes) -> bytes:
    """Return one of two packets, with user, basal metabolism, muscle and impedance by the flags."""
    fields = 2 * (flags & 0x0218).bit_count()
    user_id = bytes((user,)) if flags & 0x0004 else b""
    return (flags | 0x1000).to_bytes(2, "little") + bytes((fat, 0)) + user_id + values[:fields]


halves = st.builds(
    half,
    st.sampled_from([0x0000, 0x0004, 0x0008, 0x000C, 0x0010, 0x0200, 0x0204, 0x0218]),
    st.integers(0, 1),
    st.integers(0, 1),
    st.binary(min_size=6, max_size=6),
)


def contents(measurement: Any) -> set[tuple[str, Any]]:
    return {(key, value) for key, value in measurement.fields().items() if value is not None}


@given(st.lists(halves | st.just(bytes.fromhex("0000c200")), max_size=12))
def test_nothing_is_lost_and_nothing_invented(packets: list[bytes]) -> None:
    state = PacketJoiner()
    sent = [decode_body_composition(data) for data in packets]
    published = [timed for at, each in enumerate(sent) for timed in state.take(each, at)]
    published += state.end()
    assert len(published) >= len(sent) / 2
    every = [contents(timed.measurement) for timed in published]
    assert set().union(*every) == set().union(*map(contents, sent))
    assert all(any(contents(each) <= found for found in every) for each in sent)
    times = [timed.mono_ns for timed in published]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        # Captures of openScale #392, with the values that the scale showed.
        (
            "0204e307011d1135010000282d",
            {"device_time": "2019-01-29T17:53:01", "weight_kg": 57.8, "stabilized": False},
        ),
        (
            "0204e307011d11350100004c40",
            {"device_time": "2019-01-29T17:53:01", "weight_kg": 82.3, "stabilized": False},
        ),
        (
            "0226e307011d113501f401282d",
            {"impedance_ohm": 500.0, "weight_kg": 57.8, "stabilized": True},
        ),
        ("0226e307011d1135010000282d", {"impedance_ohm": None, "weight_kg": 57.8}),
        ("0320e307011d11350100001027", {"weight_kg": 45.359}),
        # 100.00 catty of 0.5 kg.
        ("0260e307011d11350100001027", {"weight_kg": 50.0, "stabilized": True}),
        ("02a0e307011d1135010000282d", {"load_removed": True, "stabilized": True}),
        ("0204000000000000000000282d", {"device_time": None, "weight_kg": 57.8}),
        # Captures of lolouk44/hassio-addons #14 and of stackoverflow 68571845.
        (
            "02a6e40709060d2614e9015a37",
            {"device_time": "2020-09-06T13:38:20", "impedance_ohm": 489.0, "weight_kg": 70.85},
        ),
        ("0624b2070101002e3800004c04", {"device_time": "1970-01-01T00:46:56", "weight_kg": 5.5}),
    ],
)
def test_xiaomi(text: str, fields: dict[str, Any]) -> None:
    decoded = decode_xiaomi(bytes.fromhex(text)).fields()
    assert fields.items() <= decoded.items()
    always = {"device_time", "weight_kg", "stabilized", "load_removed"}
    assert decoded.keys() == always | (fields.keys() & {"impedance_ohm"})


def test_xiaomi_short_and_long() -> None:
    whole = bytes.fromhex("0204e307011d1135010000282d")
    for length in range(len(whole)):
        with pytest.raises(DecodeError, match="offset"):
            decode_xiaomi(whole[:length])
    assert decode_xiaomi(whole + b"\0").trailing_bytes == 1


def test_twentieths() -> None:
    # Fat 19.4 %, muscle mass 30.00 kg, impedance 332.8 Ohm, weight 94.9 kg, height 1.83 m.
    fields = decode_twentieths(bytes.fromhex("200ec2005802000d6a072607")).fields()
    assert fields == {
        "body_fat_pct": 19.4,
        "multiple_packet": False,
        "muscle_mass_kg": 30.0,
        "impedance_ohm": 332.8,
        "weight_kg": 94.9,
        "height_m": 1.83,
    }


def test_tenths() -> None:
    # Captures of a Soehnle Shape Sense Connect 50 (openScale #1303), of 74.4 kg.
    fields = decode_tenths(bytes.fromhex("1e055c00ea07020f062f2201310bf501bf02e802")).fields()
    assert fields == {
        "body_fat_pct": 9.2,
        "multiple_packet": False,
        "device_time": "2026-02-15T06:47:34",
        "user_id": 1,
        "basal_metabolism_kj": 2865,
        "muscle_pct": 50.1,
        "weight_kg": 74.4,
    }
    early = decode_tenths(bytes.fromhex("1e050000ea07020f062e2201000000000000e802"))
    assert (early.weight_kg, early.body_fat_pct, early.body_water_mass_kg) == (74.4, 0.0, None)


def test_twentieths_without_an_announced_field_are_an_error() -> None:
    with pytest.raises(DecodeError, match="expected 6 bytes, found 4"):
        decode_twentieths(bytes.fromhex("0002c200"))


@pytest.mark.parametrize("decode", [decode_xiaomi, decode_twentieths])
@given(data=st.binary(max_size=40))
def test_any_bytes_give_the_model_or_a_decode_error(decode: Any, data: bytes) -> None:
    with suppress(DecodeError):
        assert type(decode(data)) is BodyComposition
