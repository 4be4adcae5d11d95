"""How much the bytes of one value may become: JSON, and objects in memory.

D6: 50 bytes of a Polar frame became 49 kB of JSON and 400 kB of memory. A device may send some
thousand values a second, so what a value becomes has to be bounded by its size.
"""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.characteristic import Characteristic
from healthd.profiles.options import Options
from healthd.profiles.polar_pmd.requests import start
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import QUIRKS
from healthd.profiles.reader import Reader
from healthd.profiles.registry import load
from healthd.samples import Sample, Stamp
from tests.support.effort import effort

REGISTRY = load()
DECLARED = [
    (profile, characteristic)
    for profile in REGISTRY.profiles.values()
    for characteristic in (*profile.characteristics, *profile.broadcasts)
]
PMD_DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
PMD_CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
CGM = "2aa7"
LONGEST = 512

# All names of all bits, in a sample with an envelope of 150 bytes: a CGM status has the most, 21.
FIXED_BYTES = 1_500
# Two hex digits for each byte; "63999.0, " and its offset for an RR interval of two bytes.
BYTES_PER_BYTE = 12
BYTES_PER_BYTE_OF = {
    # Each reading of 6 bytes or more is a sample with an envelope, and 9 bytes can name 21 states.
    CGM: 90,
    # A bit can be a number: "-1.23456789e-35,".
    PMD_DATA: 8 * 17,
}
# Some packets are mostly flags, each of which is a word.
FIXED_OBJECTS = 64
OBJECTS_PER_BYTE = 9


def arriving(profile: Profile, characteristic: Characteristic, value: bytes) -> list[Sample]:
    """Return the samples of a value, which arrives after all streams of a Polar were started."""
    reader = Reader(REGISTRY, Options(), "any", [profile.name], "C0:00:00:00:00:01")
    if characteristic.uuid == PMD_DATA:
        control = REGISTRY.characteristics[PMD_CONTROL]
        for kind in ("ecg", "acceleration", "gyroscope", "magnetometer", "ppg", "temperature"):
            request = start(kind, sample_rate_hz=50)
            answer = bytes([0xF0, 2, request[1], 0, 0]) + struct.pack("<BBf", 5, 1, 1e-6)
            for message in (request, answer):
                assert not list(reader.take(control, message, 0))
    try:
        timed = list(reader.take(characteristic, value, 10**12))
    except DecodeError:
        return []
    timed += reader.end()
    stamp = Stamp(10**18, 10**12, "synced")
    return [
        Sample("strap", each.measurement.kind, "00000000", 10**6, stamp, each.measurement)
        for each in timed
    ]


def leaves(value: Any) -> Iterator[Any]:
    """Yield everything in a JSON value that is neither a list nor an object."""
    if isinstance(value, dict):
        for each in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from leaves(each)
    else:
        yield value


def assert_bounded(characteristic: Characteristic, value: bytes, samples: list[Sample]) -> None:
    size = sum(len(sample.payload()) for sample in samples)
    per_byte = BYTES_PER_BYTE_OF.get(characteristic.uuid, BYTES_PER_BYTE)
    assert size <= FIXED_BYTES + per_byte * len(value)
    objects = sum(1 for sample in samples for _ in leaves(sample.measurement.fields()))
    assert objects <= FIXED_OBJECTS + OBJECTS_PER_BYTE * len(value)


def deltas(channels: int, size: int) -> st.SearchStrategy[bytes]:
    """Return the payloads of compressed frames: whole blocks, with few bits for each number."""
    block = st.tuples(st.integers(0, 8), st.integers(0, 255)).flatmap(
        lambda drawn: st.binary(
            min_size=(drawn[0] * drawn[1] * channels + 7) // 8,
            max_size=(drawn[0] * drawn[1] * channels + 7) // 8,
        ).map(lambda bits: bytes(drawn) + bits)
    )
    first = st.binary(min_size=channels * size, max_size=channels * size)
    return st.tuples(first, st.lists(block, max_size=8)).map(
        lambda drawn: drawn[0] + b"".join(drawn[1])
    )


def frame(kind: int, form: int, payload: bytes) -> bytes:
    return struct.pack("<BQB", kind, 599_616_000 * 10**9, form) + payload


FRAMES = st.one_of(
    deltas(3, 2).map(lambda payload: frame(2, 0x81, payload)),
    deltas(4, 3).map(lambda payload: frame(1, 0x80, payload)),
    deltas(1, 4).map(lambda payload: frame(12, 0x80, payload)),
    deltas(3, 4).map(lambda payload: frame(5, 0x81, payload)),
    st.binary().map(lambda payload: frame(1, 0x09, payload)),
    st.binary().map(lambda payload: frame(3, 0x00, payload)),
).map(lambda value: value[:LONGEST])
READINGS = st.lists(
    st.binary(min_size=7, max_size=7).map(lambda rest: bytes([9, 0xE0]) + rest)
    | st.binary(min_size=4, max_size=4).map(lambda rest: bytes([6, 0]) + rest),
    max_size=80,
).map(lambda readings: b"".join(readings)[:LONGEST])
ANY = st.binary(max_size=64) | st.binary(max_size=LONGEST)
FLAGS = st.tuples(st.integers(1, 8), st.binary(max_size=LONGEST)).map(
    lambda drawn: b"\xff" * drawn[0] + drawn[1]
)


@pytest.mark.untraced
@pytest.mark.timeout(effort(60, 600))
@given(declared=st.sampled_from(DECLARED), value=ANY | FLAGS)
@settings(max_examples=effort(500, 10_000))
def test_what_any_value_becomes_is_bounded_by_its_size(
    declared: tuple[Profile, Characteristic], value: bytes
) -> None:
    profile, characteristic = declared
    value = value[:LONGEST]
    assert_bounded(characteristic, value, arriving(profile, characteristic, value))


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("profile", "characteristic"), DECLARED, ids=[f"{p.name}-{c.uuid}" for p, c in DECLARED]
)
@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\x7f", b"A"])
def test_what_equal_bytes_become_is_bounded_by_their_number(
    profile: Profile, characteristic: Characteristic, byte: bytes
) -> None:
    for size in (1, 2, 3, 4, 6, 8, 12, 20, 50, 150, LONGEST):
        value = byte * size
        assert_bounded(characteristic, value, arriving(profile, characteristic, value))


@pytest.mark.untraced
@pytest.mark.timeout(effort(60, 600))
@given(value=FRAMES)
@settings(max_examples=effort(200, 3_000))
def test_what_the_samples_of_a_frame_become_is_bounded_by_its_size(value: bytes) -> None:
    profile = REGISTRY.profiles["polar_pmd"]
    characteristic = REGISTRY.characteristics[PMD_DATA]
    assert_bounded(characteristic, value, arriving(profile, characteristic, value))


@pytest.mark.untraced
@pytest.mark.timeout(effort(60, 600))
@given(value=READINGS)
@settings(max_examples=effort(100, 2_000))
def test_what_the_readings_of_a_packet_become_is_bounded_by_its_size(value: bytes) -> None:
    profile = REGISTRY.profiles["continuous_glucose"]
    characteristic = REGISTRY.characteristics[CGM]
    assert_bounded(characteristic, value, arriving(profile, characteristic, value))


@pytest.mark.untraced
@pytest.mark.timeout(effort(60, 600))
@given(quirk=st.sampled_from(QUIRKS), value=ANY | FLAGS)
@settings(max_examples=effort(200, 3_000))
def test_what_a_deviating_device_sends_is_bounded_too(quirk: Any, value: bytes) -> None:
    try:
        measurement = quirk.decode(value[:LONGEST])
    except DecodeError:
        return
    sample = Sample("strap", "any", "00000000", 1, Stamp(1, 1, "synced"), measurement)
    assert_bounded(REGISTRY.characteristics[quirk.uuid], value, [sample])


def test_a_frame_as_real_sensors_send_it_stays_below_a_tenth_of_the_bound() -> None:
    """The samples per frame that the vendor's users report are far from the bound.

    An H10 sends 73 samples of its ECG or 36 of acceleration in 229 bytes (polar-ble-sdk issues 227
    and 433), a Verity Sense 70 of acceleration with 8 bits (issue 187).
    """
    profile = REGISTRY.profiles["polar_pmd"]
    characteristic = REGISTRY.characteristics[PMD_DATA]
    noise = bytes(range(1, 220))
    real = {
        73: frame(0, 0, noise),
        36: frame(2, 1, noise[:216]),
        71: frame(2, 0x81, bytes(6) + bytes([8, 70]) + noise[:210]),
    }
    for count, value in real.items():
        [sample] = arriving(profile, characteristic, value)
        fields = sample.measurement.fields()
        assert len(fields["ecg_uv" if "ecg_uv" in fields else "x_mg"]) == count
        assert len(sample.payload()) <= 10 * len(value) + 150
