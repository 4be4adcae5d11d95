"""How requests are written: to the byte, and back again."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.profiles.common import speed_cadence_control as sc
from healthd.profiles.common.control_points import mask, parameter
from healthd.profiles.cycling_power import control_point as power
from healthd.profiles.location_navigation import control_point as navigation
from healthd.profiles.packet.wires import S24, U8, U16, U24
from healthd.samples import Measurement

WRITTEN: list[tuple[Callable[[bytes], Measurement], bytes, str, dict[str, Any]]] = [
    (
        sc.decode_control_point,
        sc.set_cumulative_value(value=123456),
        "0140e20100",
        {"opcode": 1, "name": "set_cumulative_value", "cumulative_value": 123456},
    ),
    (
        sc.decode_control_point,
        sc.START_SENSOR_CALIBRATION,
        "02",
        {"opcode": 2, "name": "start_sensor_calibration"},
    ),
    (
        sc.decode_control_point,
        sc.update_sensor_location(location="in_shoe"),
        "0302",
        {"opcode": 3, "name": "update_sensor_location", "location": "in_shoe"},
    ),
    (
        sc.decode_control_point,
        sc.REQUEST_SUPPORTED_LOCATIONS,
        "04",
        {"opcode": 4, "name": "request_supported_sensor_locations"},
    ),
    (
        power.decode_control_point,
        power.set_cumulative_wheel_revolutions(revolutions=4294967295),
        "01ffffffff",
        {"opcode": 1, "name": "set_cumulative_value", "cumulative_wheel_revolutions": 4294967295},
    ),
    (
        power.decode_control_point,
        power.update_sensor_location(location="chain_ring"),
        "0210",
        {"opcode": 2, "name": "update_sensor_location", "location": "chain_ring"},
    ),
    (
        power.decode_control_point,
        power.REQUEST_SUPPORTED_LOCATIONS,
        "03",
        {"opcode": 3, "name": "request_supported_sensor_locations"},
    ),
    (
        power.decode_control_point,
        power.set_crank_length(crank_length_m=0.1725),
        "045901",
        {"opcode": 4, "name": "set_crank_length", "crank_length_m": 0.1725},
    ),
    (
        power.decode_control_point,
        power.REQUEST_CRANK_LENGTH,
        "05",
        {"opcode": 5, "name": "request_crank_length"},
    ),
    (
        power.decode_control_point,
        power.set_chain_length(chain_length_m=1.5),
        "06dc05",
        {"opcode": 6, "name": "set_chain_length", "chain_length_m": 1.5},
    ),
    (
        power.decode_control_point,
        power.REQUEST_CHAIN_LENGTH,
        "07",
        {"opcode": 7, "name": "request_chain_length"},
    ),
    (
        power.decode_control_point,
        power.set_chain_weight(chain_weight_kg=0.3),
        "082c01",
        {"opcode": 8, "name": "set_chain_weight", "chain_weight_kg": 0.3},
    ),
    (
        power.decode_control_point,
        power.REQUEST_CHAIN_WEIGHT,
        "09",
        {"opcode": 9, "name": "request_chain_weight"},
    ),
    (
        power.decode_control_point,
        power.set_span_length(span_length_m=0.1),
        "0a6400",
        {"opcode": 10, "name": "set_span_length", "span_length_m": 0.1},
    ),
    (
        power.decode_control_point,
        power.REQUEST_SPAN_LENGTH,
        "0b",
        {"opcode": 11, "name": "request_span_length"},
    ),
    (
        power.decode_control_point,
        power.START_OFFSET_COMPENSATION,
        "0c",
        {"opcode": 12, "name": "start_offset_compensation"},
    ),
    (
        power.decode_control_point,
        power.mask_measurement_content(masked=["accumulated_energy", "pedal_power_balance"]),
        "0d0101",
        {
            "opcode": 13,
            "name": "mask_measurement_content",
            "masked": ["pedal_power_balance", "accumulated_energy"],
        },
    ),
    (
        power.decode_control_point,
        power.REQUEST_SAMPLING_RATE,
        "0e",
        {"opcode": 14, "name": "request_sampling_rate"},
    ),
    (
        power.decode_control_point,
        power.REQUEST_FACTORY_CALIBRATION_DATE,
        "0f",
        {"opcode": 15, "name": "request_factory_calibration_date"},
    ),
    (
        power.decode_control_point,
        power.START_ENHANCED_OFFSET_COMPENSATION,
        "10",
        {"opcode": 16, "name": "start_enhanced_offset_compensation"},
    ),
    (
        navigation.decode_control_point,
        navigation.set_total_distance(total_distance_m=10000.0),
        "01a08601",
        {"opcode": 1, "name": "set_cumulative_value", "total_distance_m": 10000.0},
    ),
    (
        navigation.decode_control_point,
        navigation.mask_content(masked=[]),
        "020000",
        {"opcode": 2, "name": "mask_location_and_speed_content", "masked": []},
    ),
    (
        navigation.decode_control_point,
        navigation.mask_content(masked=["utc_time", "location"]),
        "024400",
        {
            "opcode": 2,
            "name": "mask_location_and_speed_content",
            "masked": ["location", "utc_time"],
        },
    ),
    (
        navigation.decode_control_point,
        navigation.control_navigation(action="skip_waypoint"),
        "0304",
        {"opcode": 3, "name": "navigation_control", "action": "skip_waypoint"},
    ),
    (
        navigation.decode_control_point,
        navigation.REQUEST_NUMBER_OF_ROUTES,
        "04",
        {"opcode": 4, "name": "request_number_of_routes"},
    ),
    (
        navigation.decode_control_point,
        navigation.request_route_name(route_number=258),
        "050201",
        {"opcode": 5, "name": "request_name_of_route", "route_number": 258},
    ),
    (
        navigation.decode_control_point,
        navigation.select_route(route_number=0),
        "060000",
        {"opcode": 6, "name": "select_route", "route_number": 0},
    ),
    (
        navigation.decode_control_point,
        navigation.set_fix_rate(fix_rate_s=10),
        "070a",
        {"opcode": 7, "name": "set_fix_rate", "fix_rate_s": 10},
    ),
    (
        navigation.decode_control_point,
        navigation.set_elevation(elevation_m=-12.5),
        "081efbff",
        {"opcode": 8, "name": "set_elevation", "elevation_m": -12.5},
    ),
]


@pytest.mark.parametrize(("decode", "written", "packet", "fields"), WRITTEN)
def test_request_is_written_and_read_back(
    decode: Callable[[bytes], Measurement], written: bytes, packet: str, fields: dict[str, Any]
) -> None:
    assert written.hex() == packet
    assert decode(written).fields() == fields


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda: sc.set_cumulative_value(value=-1), "value is -1, expected 0 to 4294967295"),
        (
            lambda: sc.update_sensor_location(location="saddle"),
            "location is 'saddle', expected one of other, top_of_shoe",
        ),
        (
            lambda: power.set_cumulative_wheel_revolutions(revolutions=1 << 32),
            "revolutions is 4294967296, expected 0 to 4294967295",
        ),
        (
            lambda: power.update_sensor_location(location=""),
            "location is '', expected one of other, top_of_shoe",
        ),
        (
            lambda: power.set_crank_length(crank_length_m=172.5),
            "crank_length_m is 172.5, expected 0 to 32.7675",
        ),
        (
            lambda: power.set_chain_length(chain_length_m=65.536),
            "chain_length_m is 65.536, expected 0 to 65.535",
        ),
        (
            lambda: power.set_chain_weight(chain_weight_kg=-0.001),
            "chain_weight_kg is -0.001, expected 0 to 65.535",
        ),
        (
            lambda: power.set_span_length(span_length_m=math.nan),
            "span_length_m is nan, expected 0 to 65.535",
        ),
        (
            lambda: power.mask_measurement_content(masked=["power"]),
            "masked has 'power', expected any of pedal_power_balance, ",
        ),
        (
            lambda: navigation.set_total_distance(total_distance_m=1677721.6),
            "total_distance_m is 1677721.6, expected 0 to 1677721.5",
        ),
        (
            lambda: navigation.mask_content(masked=["time"]),
            "masked has 'time', expected any of instantaneous_speed, ",
        ),
        (
            lambda: navigation.control_navigation(action="go"),
            "action is 'go', expected one of stop, start_to_first_waypoint, ",
        ),
        (
            lambda: navigation.request_route_name(route_number=65536),
            "route_number is 65536, expected 0 to 65535",
        ),
        (
            lambda: navigation.select_route(route_number=-1),
            "route_number is -1, expected 0 to 65535",
        ),
        (lambda: navigation.set_fix_rate(fix_rate_s=256), "fix_rate_s is 256, expected 0 to 255"),
        (
            lambda: navigation.set_elevation(elevation_m=-math.inf),
            "elevation_m is -inf, expected -83886.08 to 83886.07",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_range(write: Callable[[], bytes], error: str) -> None:
    with pytest.raises(ValueError, match=error.replace("(", r"\(")):
        write()


def test_number_is_rounded_to_the_steps_of_its_wire() -> None:
    # 0.29 * 100 is a little less than 29.
    assert parameter("x", 0.29, U8, per_unit=100) == b"\x1d"
    assert parameter("x", 0.1726, U16, per_unit=2000) == b"\x59\x01"
    assert parameter("x", -0.01, S24, per_unit=100) == b"\xff\xff\xff"
    assert parameter("x", 1677721.5, U24, per_unit=10) == b"\xff\xff\xff"


@given(st.floats() | st.integers())
def test_any_number_is_written_or_refused(value: float) -> None:
    try:
        written = parameter("x", value, S24, per_unit=100)
    except ValueError as error:
        assert "expected -83886.08 to 83886.07" in str(error)
        assert not -83886.08 <= value <= 83886.07
    else:
        assert abs(int.from_bytes(written, "little", signed=True) / 100 - value) <= 0.00501


def test_mask_sets_a_name_once() -> None:
    assert mask("x", ["b", "a", "b"], {0: "a", 9: "b"}) == b"\x01\x02"
