"""Cases that vectors cannot express: fields of two widths, cut records, and quirks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.fitness_machine import PROFILE
from healthd.profiles.fitness_machine.features import decode_resistance_range
from healthd.profiles.fitness_machine.treadmill import decode_treadmill
from healthd.profiles.identity import Identity
from healthd.profiles.quirks import decoders_for
from healthd.profiles.registry import load

UNKNOWN_MACHINE = Identity(name="KICKR CORE 1234", maker="Wahoo Fitness", model="KICKR CORE")
BY_NAME = Identity(name="LF0df5dbea66adf207")
BY_MAKER = Identity(name="Bike 7", maker="Life Fitness")


def decoded(uuid: str, packet: str, device: Identity = UNKNOWN_MACHINE) -> dict[str, object]:
    characteristic = load().characteristics[uuid]
    decode = decoders_for(device).get(uuid, characteristic.decode)
    return decode(bytes.fromhex(packet)).fields()


def test_covers_the_service() -> None:
    assert {each.uuid for each in PROFILE.characteristics} == {
        *("2acc", "2acd", "2ace", "2acf"),
        *(f"2ad{digit}" for digit in "0123456789a"),
    }


def test_a_cut_packet_with_two_widths_is_read_as_wide() -> None:
    # With one byte less, two narrow paces, or a narrow range, would be complete.
    assert decode_treadmill(bytes.fromhex("61002c0136")).fields() == {
        "pace_s_per_500m": 300,
        "more_data": True,
        "truncated": True,
    }
    assert decode_resistance_range(bytes.fromhex("00006400")).fields() == {
        "min_raw": 0,
        "max_raw": 100,
        "width": "s16",
        "truncated": True,
    }


def test_a_flag_for_steps_announces_them_only_if_they_are_there() -> None:
    # Bit 13 is reserved in the service's first edition.
    assert decode_treadmill(bytes.fromhex("01200100")).fields() == {
        "more_data": True,
        "truncated": True,
    }
    assert decode_treadmill(bytes.fromhex("0120")).fields() == {"more_data": True}
    assert decode_treadmill(bytes.fromhex("612014 0f")).fields() == {
        "pace_s_per_500m": 15.0,
        "average_pace_s_per_500m": 20.0,
        "more_data": True,
    }


@pytest.mark.parametrize("uuid", ["2acd", "2ace", "2acf", "2ad0", "2ad1", "2ad2"])
@given(packet=st.binary(max_size=40))
def test_a_cut_packet_closes_no_record_and_is_empty_only_as_a_part(
    uuid: str, packet: bytes
) -> None:
    try:
        fields = load().characteristics[uuid].decode(packet).fields()
    except DecodeError:
        return
    if "truncated" in fields:
        assert fields.keys() - {"truncated"}
        assert fields.get("more_data") is not False
        assert "trailing_bytes" not in fields
    else:
        assert fields["more_data"] == bool(packet[0] & 1)


# Speed, distance, resistance, power, elapsed time; the flags do not announce the cadence.
UNFLAGGED_CADENCE = "7008 100e b400 030201 1400 fa00 5802"
FLAGGED_CADENCE = "7408 100e b400 030201 1400 fa00 5802"


@pytest.mark.parametrize("device", [BY_NAME, BY_MAKER], ids=["name", "maker"])
def test_life_fitness_bike_sends_its_cadence_without_the_flag(device: Identity) -> None:
    assert decoded("2ad2", UNFLAGGED_CADENCE, device) == {
        "speed_mps": 10.0,
        "cadence_rpm": 90.0,
        "total_distance_m": 66051,
        "resistance_raw": 20,
        "resistance_width": "s16",
        "power_w": 250,
        "elapsed_time_s": 600,
        "more_data": False,
    }


def test_life_fitness_bike_as_captured() -> None:
    # test/life_fitness_indoor_bike_test.dart of TrackMyIndoorWorkout.
    packet = "fa0b320c8909c6007c00c401000d00ce0070000a00ffffff534400"
    assert decoded("2ad2", packet, BY_MAKER) == {
        "speed_mps": 8.672,
        "average_speed_mps": 6.781,
        "cadence_rpm": 99.0,
        "average_cadence_rpm": 62.0,
        "total_distance_m": 452,
        "resistance_raw": 13,
        "resistance_width": "s16",
        "power_w": 206,
        "average_power_w": 112,
        "total_energy_kj": 41.84,
        "energy_per_hour_kj_per_h": None,
        "energy_per_minute_kj_per_h": None,
        "heart_rate_bpm": 83,
        "elapsed_time_s": 68,
        "more_data": False,
    }


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(FLAGGED_CADENCE, id="flagged"),
        pytest.param(FLAGGED_CADENCE + "0000", id="flagged, two bytes over"),
        pytest.param("0000 100e", id="no cadence"),
        pytest.param("0000 100e b4", id="one byte over"),
        pytest.param("0000 100e b4000000", id="four bytes over"),
        pytest.param("2000 100e 14", id="narrow resistance"),
        pytest.param("2000 100e", id="cut short"),
    ],
)
def test_a_life_fitness_bike_that_follows_the_layout_is_read_by_it(packet: str) -> None:
    assert decoded("2ad2", packet, BY_NAME) == decoded("2ad2", packet)


def test_other_bikes_are_read_by_their_flags() -> None:
    assert decoded("2ad2", UNFLAGGED_CADENCE)["trailing_bytes"] == 2


# Life Fitness: test/life_fitness_elliptical_test.dart of TrackMyIndoorWorkout.
ELLIPTICAL = "be2f0073022d024500006000560098020e00ffff3c0050003d000600ffffff4c2e00"


@pytest.mark.parametrize("device", [BY_NAME, BY_MAKER], ids=["name", "maker"])
def test_life_fitness_elliptical_fills_its_elevation(device: Identity) -> None:
    plain = decoded("2ace", ELLIPTICAL)
    assert plain["negative_elevation_gain_m"] == 65535
    assert decoded("2ace", ELLIPTICAL, device) == {
        **plain,
        "negative_elevation_gain_m": None,
        "resistance_raw_scale": 0.1,
    }


@pytest.mark.parametrize(
    ("packet", "speed_mps"),
    [
        pytest.param("000100 0000 5000", None, id="power"),
        pytest.param("080000 0000 6000 5600", None, id="steps"),
        pytest.param("000100 0000 0000", 0.0, id="standing"),
        pytest.param("000000 0000", 0.0, id="nothing else known"),
        pytest.param("000100 100e 5000", 10.0, id="a speed that it measured"),
    ],
)
def test_a_life_fitness_elliptical_that_moves_without_speed(
    packet: str, speed_mps: float | None
) -> None:
    fields = decoded("2ace", packet, BY_NAME)
    assert fields["speed_mps"] == speed_mps
    assert fields.keys() == decoded("2ace", packet).keys()
