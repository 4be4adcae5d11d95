import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.polar_pmd import PROFILE, decode_control, decode_data
from healthd.profiles.polar_pmd.kinds import STREAMS
from healthd.profiles.polar_pmd.requests import start, stop
from healthd.profiles.polar_pmd.state import PmdState
from healthd.profiles.polar_pmd.streams import Frame
from tests.support.digits import too_many_digits

SECOND = 1_000_000_000
H10_EPOCH = 599_616_000 * SECOND
ARRIVAL = 10_000 * SECOND


class Link:
    """A state that gets bytes: they are decoded first, as in a session."""

    def __init__(self) -> None:
        self.state = PmdState()

    def control(self, packet: bytes) -> None:
        assert not list(self.state.take(decode_control(packet), 0))

    def accept(self, kind: str, rate: int | None = None, factor: float | None = None) -> None:
        request = start(kind, sample_rate_hz=rate)
        self.control(request)
        settings = b"" if factor is None else struct.pack("<BBf", 5, 1, factor)
        self.control(bytes([0xF0, 2, request[1], 0, 0]) + settings)

    def data(
        self, kind: str, form: int, payload: str, stamp_ns: int = H10_EPOCH, at_ns: int = ARRIVAL
    ) -> list[Timed]:
        packet = struct.pack("<BQB", STREAMS[kind], stamp_ns, form) + bytes.fromhex(payload)
        return list(self.state.take(decode_data(packet), at_ns))


def is_raw(timed: list[Timed]) -> bool:
    """Return whether a frame was published with its raw numbers, at its arrival."""
    return [each.measurement.kind for each in timed] == ["pmd"]


def published(link: Link, kind: str, form: int, payload: str) -> dict[str, Any]:
    (timed,) = link.data(kind, form, payload)
    assert timed.measurement.kind == kind
    return {
        key: value
        for key, value in timed.measurement.fields().items()
        if key not in {"device_time", "sample_rate_hz"}
    }


def test_the_profile_has_the_state_and_the_opening() -> None:
    assert PROFILE.state is not None and PROFILE.opening is not None
    assert isinstance(PROFILE.state(Options()), PmdState)
    assert PROFILE.opening.control in {each.uuid for each in PROFILE.characteristics}


def test_ecg_of_an_h10() -> None:
    link = Link()
    link.accept("ecg", 130)
    (first,) = link.data("ecg", 0, "010000 feffff" + "000000" * 128, H10_EPOCH + SECOND)
    assert first.mono_ns == ARRIVAL - round(129 / 130 * SECOND)
    assert first.measurement.fields() == {
        "sample_rate_hz": 130.0,
        "device_time": "2019-01-01T00:00:01",
        "ecg_uv": [1, -2] + [0] * 128,
    }
    # Nominally 130 Hz, but measured as 125.
    second_stamp = H10_EPOCH + SECOND + 1_040_000_000
    (second,) = link.data("ecg", 0, "030000" * 130, second_stamp, ARRIVAL + 1_040_000_000)
    assert second.mono_ns == ARRIVAL + 8_000_000
    assert second.measurement.fields()["sample_rate_hz"] == 125.0
    assert second.measurement.fields()["device_time"] == "2019-01-01T00:00:02.040000"


def test_uncompressed_acceleration_is_in_mg_with_any_factor() -> None:
    link = Link()
    link.accept("acceleration", 50, factor=0.5)
    assert published(link, "acceleration", 1, "e803 18fc 0100") == {
        "x_mg": [1000.0],
        "y_mg": [-1000.0],
        "z_mg": [1.0],
    }


def test_compressed_acceleration_of_type_0_is_in_g() -> None:
    link = Link()
    link.accept("acceleration", 52, factor=0.000244140625)
    assert published(link, "acceleration", 0x80, "0010 00f0 0100") == {
        "x_mg": [1000.0],
        "y_mg": [-1000.0],
        "z_mg": [0.2],
    }


def test_compressed_acceleration_of_type_1_is_in_mg() -> None:
    link = Link()
    link.accept("acceleration", 52, factor=0.5)
    assert published(link, "acceleration", 0x81, "e803 18fc 0100 0801 020202") == {
        "x_mg": [500.0, 501.0],
        "y_mg": [-500.0, -499.0],
        "z_mg": [0.5, 1.5],
    }


def test_gyroscope() -> None:
    link = Link()
    link.accept("gyroscope", 52, factor=0.061)
    assert published(link, "gyroscope", 0x80, "e803 18fc 0100") == {
        "x_dps": [61.0],
        "y_dps": [-61.0],
        "z_dps": [0.061],
    }


def test_gyroscope_that_sends_floats() -> None:
    link = Link()
    link.accept("gyroscope", 52)
    payload = struct.pack("<3f", 0.1, -250.5, float("nan")).hex()
    assert published(link, "gyroscope", 0x81, payload) == {
        "x_dps": [0.1],
        "y_dps": [-250.5],
        "z_dps": [None],
    }


def test_magnetometer() -> None:
    link = Link()
    link.accept("magnetometer", 10, factor=0.0015)
    assert published(link, "magnetometer", 0x80, "e803 18fc 0200") == {
        "x_gauss": [1.5],
        "y_gauss": [-1.5],
        "z_gauss": [0.003],
    }


def test_magnetometer_in_milligauss_with_its_calibration() -> None:
    link = Link()
    link.accept("magnetometer", 10, factor=1.0)
    assert published(link, "magnetometer", 0x81, "f401 0cfe 0100 0200") == {
        "x_gauss": [0.5],
        "y_gauss": [-0.5],
        "z_gauss": [0.001],
        "calibration_status": [2],
    }


def test_ppg_with_ambient_light() -> None:
    link = Link()
    link.accept("ppg", 55)
    payload = "010000 020000 030000 ffffff" + "040000 050000 060000 000080"
    assert published(link, "ppg", 0, payload) == {
        "channels": [[1, 4], [2, 5], [3, 6]],
        "ambient": [-1, -8388608],
    }


def test_ppg_with_status() -> None:
    link = Link()
    link.accept("ppg", 55)
    assert published(link, "ppg", 0x8D, "010000 020000 ffffff") == {
        "channels": [[1], [2]],
        "status": [0xFFFFFF],
    }


def test_light_settings_are_published_raw_and_do_not_affect_the_clock() -> None:
    link = Link()
    link.accept("ppg", 100)
    sample = "010000 020000 030000 040000"
    link.data("ppg", 0, sample * 10)
    assert is_raw(link.data("ppg", 5, "01000000", H10_EPOCH + 70_000_000, ARRIVAL + 70_000_000))
    (timed,) = link.data("ppg", 0, sample * 10, H10_EPOCH + 100_000_000, ARRIVAL + 100_000_000)
    assert timed.mono_ns == ARRIVAL + 10_000_000


@pytest.mark.parametrize("kind", ["temperature", "skin_temperature"])
def test_temperature_is_the_shortest_decimal_of_its_float(kind: str) -> None:
    link = Link()
    link.accept(kind)
    payload = struct.pack("<f", 36.6).hex()
    assert published(link, kind, 0, payload) == {"temperature_c": [36.6]}
    link = Link()
    link.accept(kind)
    assert published(link, kind, 0x80, payload) == {"temperature_c": [36.6]}


def test_pressure() -> None:
    link = Link()
    link.accept("pressure")
    payload = struct.pack("<f", 1013.2).hex()
    assert published(link, "pressure", 0, payload) == {"pressure_hpa": [1013.2]}


def test_pp_intervals_are_placed_by_their_sum() -> None:
    link = Link()
    link.accept("pp_interval")
    (timed,) = link.data("pp_interval", 0, "3ce8030a0006 002003140001 50bc02050004", 0)
    assert timed.mono_ns == ARRIVAL - 1_500_000_000
    assert timed.measurement.fields() == {
        "pp_intervals_ms": [1000, 800, 700],
        "error_ms": [10, 20, 5],
        "blocker": [False, True, False],
        "skin_contact": [True, None, False],
        "heart_rate_bpm": [60, None, 80],
    }


def test_a_pp_interval_whose_rate_is_a_filler() -> None:
    link = Link()
    link.accept("pp_interval")
    (timed,) = link.data("pp_interval", 0, "ffe8030a0006 fee8030a0006", 0)
    assert timed.measurement.fields()["heart_rate_bpm"] == [None, 254]


def test_pp_intervals_with_a_stamp_share_the_clock_of_the_other_streams() -> None:
    link = Link()
    link.accept("pp_interval")
    link.accept("acceleration", 50)
    link.data("acceleration", 1, "0000 0000 0000")
    # Sent three seconds after the pulse.
    (timed,) = link.data("pp_interval", 0, "3ce8030a0000", H10_EPOCH, ARRIVAL + 3 * SECOND)
    assert timed.mono_ns == ARRIVAL


def test_late_intervals_do_not_move_the_clock() -> None:
    link = Link()
    link.accept("pp_interval")
    link.accept("acceleration", 50)
    link.data("pp_interval", 0, "3ce8030a0000", H10_EPOCH, ARRIVAL + 60 * SECOND)
    (timed,) = link.data("acceleration", 1, "0000 0000 0000", H10_EPOCH + SECOND, ARRIVAL + SECOND)
    assert timed.mono_ns == ARRIVAL + SECOND


def test_frames_without_a_stamp_are_placed_by_arrival() -> None:
    link = Link()
    link.accept("acceleration", 50)
    (timed,) = link.data("acceleration", 1, "0000 0000 0000" * 50, stamp_ns=0)
    assert timed.mono_ns == ARRIVAL - 980_000_000
    assert "device_time" not in timed.measurement.fields()


def test_the_latest_device_time_is_a_date() -> None:
    link = Link()
    link.accept("ecg", 130)
    (timed,) = link.data("ecg", 0, "010000", stamp_ns=2**64 - 1)
    assert timed.measurement.fields()["device_time"] == "2584-07-20T23:34:33.709551"


def test_a_compressed_stream_with_an_unseen_start_has_no_scale() -> None:
    link = Link()
    assert is_raw(link.data("acceleration", 0x81, "0100 0200 0300"))
    link.control(start("acceleration", sample_rate_hz=52))
    assert is_raw(link.data("acceleration", 0x81, "0100 0200 0300"))
    link.control(bytes.fromhex("f002020500"))
    assert is_raw(link.data("acceleration", 0x81, "0100 0200 0300"))


def test_an_uncompressed_stream_with_an_unseen_start_begins_with_its_second_frame() -> None:
    link = Link()
    assert is_raw(link.data("ecg", 0, "010000" * 10))
    (timed,) = link.data("ecg", 0, "020000" * 10, H10_EPOCH + SECOND, ARRIVAL + SECOND)
    assert timed.mono_ns == ARRIVAL + SECOND // 10
    assert timed.measurement.fields()["sample_rate_hz"] == 10.0


def test_a_stopped_stream_is_forgotten() -> None:
    link = Link()
    link.accept("acceleration", 52, factor=1.0)
    assert link.data("acceleration", 0x81, "0100 0200 0300")
    link.control(stop("acceleration"))
    link.control(bytes.fromhex("f003020000"))
    assert is_raw(link.data("acceleration", 0x81, "0100 0200 0300"))


def test_a_recording_in_the_sensor_is_not_a_stream() -> None:
    link = Link()
    link.accept("acceleration", 50)
    link.control(bytes.fromhex("028200010d00"))
    link.control(bytes.fromhex("f002820000"))
    (timed,) = link.data("acceleration", 1, "0000 0000 0000" * 50)
    assert timed.measurement.fields()["sample_rate_hz"] == 50.0


@pytest.mark.parametrize("packet", ["0f0500", "05", "f005000000", "77"])
def test_other_control_messages_publish_nothing(packet: str) -> None:
    Link().control(bytes.fromhex(packet))


@pytest.mark.parametrize(
    "packet",
    ["0e" + "01" * 8 + "00" + "40", "0a" + "01" * 8 + "00" + "40", "00" + "01" * 8 + "00"],
    ids=["offline heart rate", "location", "no samples"],
)
def test_unknown_streams_are_published_raw(packet: str) -> None:
    frame = decode_data(bytes.fromhex(packet))
    assert list(PmdState().take(frame, ARRIVAL)) == [Timed(frame, ARRIVAL)]


def test_truncation_and_surplus_bytes_are_published_too() -> None:
    link = Link()
    link.accept("acceleration", 52, factor=1.0)
    assert published(link, "acceleration", 1, "0100 0200 0300 04")["trailing_bytes"] == 1
    link.accept("acceleration", 52, factor=1.0)
    assert published(link, "acceleration", 0x81, "0100 0200 0300 08")["truncated"] is True


def test_a_great_factor_gives_no_more_digits_than_it_has() -> None:
    link = Link()
    # 12345 times this, in g, are 1607421907920000 mg: twelve digits, and a float has nine.
    link.accept("acceleration", 50, 130208336.0)
    fields = published(link, "acceleration", 0x80, "3930 0000 0000 00")
    assert fields["x_mg"] == [1607421910000000.0]


@given(
    kind=st.sampled_from(sorted(STREAMS)),
    factor=st.floats(width=32),
    packets=st.lists(st.binary(min_size=9, max_size=100), min_size=1, max_size=4),
)
def test_any_frames_can_be_published(kind: str, factor: float, packets: list[bytes]) -> None:
    link = Link()
    link.accept(kind, 50, factor)
    for number, packet in enumerate(packets):
        frame = decode_data(bytes([STREAMS[kind]]) + packet)
        # No frame is held back: one that cannot be scaled or placed is published with raw numbers.
        (timed,) = link.state.take(frame, ARRIVAL + number * SECOND)
        fields = timed.measurement.fields()
        assert orjson.loads(orjson.dumps(fields)) == fields
        assert not too_many_digits(fields)


@pytest.mark.parametrize("model", Frame.__subclasses__(), ids=lambda model: model.kind)
def test_every_stream_can_be_requested_and_is_described(model: type[Frame]) -> None:
    assert model.kind in STREAMS
    properties = model.model_json_schema(mode="serialization")["properties"]
    flags = {"truncated", "device_time", "blocker", "skin_contact"}
    assert {key for key, field in properties.items() if "unit" not in field} <= flags
    orjson.dumps(properties)


def test_there_is_a_measurement_for_every_stream() -> None:
    assert {model.kind for model in Frame.__subclasses__()} == STREAMS.keys()
