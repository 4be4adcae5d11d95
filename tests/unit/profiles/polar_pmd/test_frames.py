import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.polar_pmd.compression import decompress
from healthd.profiles.polar_pmd.frames import decode_data
from healthd.profiles.polar_pmd.raw import decimal, numbers_of_24_bits


def frame(number: int, form: int, payload: bytes, timestamp_ns: int = 1) -> bytes:
    return struct.pack("<BQB", number, timestamp_ns, form) + payload


@pytest.mark.parametrize("timestamp_ns", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_time_fills_64_bits(timestamp_ns: int) -> None:
    decoded = decode_data(frame(0, 0, b"\1\0\0", timestamp_ns))
    assert decoded.timestamp_ns == timestamp_ns
    assert decoded.samples_uv == [1]


def test_nan_is_null() -> None:
    payload = struct.pack("<4f", 36.5, float("nan"), float("inf"), float("-inf"))
    assert decode_data(frame(7, 0, payload)).temperature_c == [36.5, None, None, None]
    assert decode_data(frame(12, 0x80, payload[4:8])).temperature_c == [None]
    assert decode_data(frame(5, 0x81, payload[:12])).samples_dps == [[36.5, None, None]]


@given(st.lists(st.integers(-(2**23), 2**23 - 1)), st.binary(max_size=2))
def test_numbers_of_24_bits_are_decoded(values: list[int], rest: bytes) -> None:
    data = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    read = numbers_of_24_bits(data + rest)
    assert list(read.values) == values
    assert read.used == len(data)


@st.composite
def compressed(draw: st.DrawFn) -> tuple[bytes, int, int, list[tuple[int, ...]]]:
    """Draw a payload made bit by bit; return it, its channels, bytes per number, and samples."""
    channels, size = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    limit = 1 << 8 * size - 1
    start = draw(st.tuples(*[st.integers(-limit, limit - 1)] * channels))
    data = b"".join(number.to_bytes(size, "little", signed=True) for number in start)
    samples = [start]
    for width in draw(st.lists(st.integers(1, 32), max_size=4)):
        half = 1 << width - 1
        deltas = draw(st.lists(st.tuples(*[st.integers(-half, half - 1)] * channels), max_size=9))
        bits = "".join(
            f"{delta & (1 << width) - 1:0{width}b}"[::-1] for each in deltas for delta in each
        )
        filled = bits + "0" * (-len(bits) % 8)
        octets = [int(filled[at : at + 8][::-1], 2) for at in range(0, len(filled), 8)]
        data += bytes([width, len(deltas), *octets])
        for delta in deltas:
            samples.append(tuple(a + b for a, b in zip(samples[-1], delta, strict=True)))
    return data, channels, size, samples


@given(compressed())
def test_compressed_samples_are_decompressed(
    made: tuple[bytes, int, int, list[tuple[int, ...]]],
) -> None:
    data, channels, size, samples = made
    assert decompress(data, channels, size) == (samples, False)


@given(compressed(), st.data())
def test_a_cut_keeps_the_blocks_before_it(
    made: tuple[bytes, int, int, list[tuple[int, ...]]], draw: st.DataObject
) -> None:
    data, channels, size, samples = made
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]
    kept, _ = decompress(cut, channels, size)
    assert kept == samples[: len(kept)]
    assert bool(kept) == (len(cut) >= channels * size)


def test_a_frame_has_at_most_as_many_numbers_as_bits() -> None:
    # A block without bits repeats the sample before it, in two bytes for any number of samples.
    kept, truncated = decompress(bytes(6) + b"\0\x05", 3, 2)
    assert (len(kept), truncated) == (6, False)
    assert all(first == second for first, second in pairwise(kept))
    with pytest.raises(DecodeError, match="at most 16 numbers, found 18"):
        decompress(bytes(6) + b"\0\x06", 3, 2)
    # D6: 50 bytes became 5,355 samples, which are 49 kB of JSON.
    with pytest.raises(DecodeError):
        decode_data(bytes.fromhex("02" + "01" * 8 + "81") + bytes(6) + b"\0\xff" * 17)


@pytest.mark.parametrize("value", [0.061, 36.6, -1013.2, 0.0, 1e-9, 3.4e38])
def test_a_4_byte_float_becomes_its_shortest_decimal(value: float) -> None:
    (read,) = struct.unpack("<f", struct.pack("<f", value))
    assert decimal(read) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_decimal_makes_the_same_float(value: float) -> None:
    assert struct.pack("<f", decimal(value)) == struct.pack("<f", value)


def test_a_binary_fraction_stays_exact() -> None:
    assert decimal(2.0**-12) == 2.0**-12
