"""What must be published for each strap and sports sensor."""

import struct
from collections.abc import Mapping

from tests.end_to_end.packet_fields import (
    Topic,
    Values,
    divided,
    reading,
    s16,
    s32,
    u8,
    u16,
    u24,
    u32,
)

_COUNTED = {"speed_mps": (6.0, 11.0), "cadence_rpm": (70.0, 104.0)}


def _ecg(frame: bytes) -> Values | None:
    if frame[0] != 0:
        return None
    samples = range(10, len(frame), 3)
    return {"ecg_uv": [int.from_bytes(frame[at : at + 3], "little", signed=True) for at in samples]}


def _acceleration(frame: bytes) -> Values | None:
    if frame[0] != 2:
        return None
    axes = zip(*struct.iter_unpack("<3h", frame[10:]), strict=True)
    return {f"{axis}_mg": [*values] for axis, values in zip("xyz", axes, strict=True)}


def _torques(packet: bytes) -> Values:
    return {
        "cumulative_crank_revolutions": u16(packet, 1),
        "first_crank_angle_deg": 0,
        "torques_nm": [divided(s16(packet, at), 32) for at in range(7, len(packet), 2)],
    }


_HEART_RATE = Topic("heart_rate", "2a37", reading(heart_rate_bpm=(u8, 1, 1)))

_POWER = (
    Topic(
        "cycling_power",
        "2a63",
        reading(
            power_w=(s16, 2, 1),
            pedal_power_balance_pct=(u8, 4, 2),
            cumulative_wheel_revolutions=(u32, 7, 1),
            last_wheel_event_time_s=(u16, 11, 2048),
            cumulative_crank_revolutions=(u16, 13, 1),
            last_crank_event_time_s=(u16, 15, 1024),
            accumulated_energy_kj=(u16, 17, 1),
        ),
        within=_COUNTED,
        samples=15,
    ),
    Topic("cycling_power_vector", "2a64", _torques, samples=2),
)

SENSORS: Mapping[str, tuple[Topic, ...]] = {
    "heart_rate": (_HEART_RATE,),
    "polar_pmd": (
        _HEART_RATE,
        Topic(
            "ecg",
            "fb005c82-02e7-f387-1cad-8acd2d8df0c8",
            _ecg,
            within={"sample_rate_hz": (129.0, 131.0)},
        ),
        Topic(
            "acceleration",
            "fb005c82-02e7-f387-1cad-8acd2d8df0c8",
            _acceleration,
            within={"sample_rate_hz": (24.0, 202.0)},
        ),
    ),
    "cycling_speed_cadence": (
        Topic(
            "cycling_speed_cadence",
            "2a5b",
            reading(
                cumulative_wheel_revolutions=(u32, 1, 1),
                last_wheel_event_time_s=(u16, 5, 1024),
                cumulative_crank_revolutions=(u16, 7, 1),
                last_crank_event_time_s=(u16, 9, 1024),
            ),
            within=_COUNTED,
            samples=15,
        ),
    ),
    "cycling_power": _POWER,
    # What is controlled by its maker's own characteristic sends the same.
    "kickr": _POWER,
    "running_speed_cadence": (
        Topic(
            "running_speed_cadence",
            "2a53",
            reading(
                speed_mps=(u16, 1, 256),
                cadence_spm=(u8, 3, 1),
                stride_length_m=(u16, 4, 100),
                total_distance_m=(u32, 6, 10),
            ),
        ),
    ),
    "location_navigation": (
        Topic(
            "location_and_speed",
            "2a67",
            reading(
                speed_mps=(u16, 2, 100),
                total_distance_m=(u24, 4, 10),
                latitude_deg=(s32, 7, 1e7),
                longitude_deg=(s32, 11, 1e7),
                elevation_m=(u24, 15, 100),
                heading_deg=(u16, 18, 100),
                rolling_time_s=(u8, 20, 1),
            ),
        ),
        Topic(
            "navigation",
            "2a68",
            reading(
                bearing_deg=(u16, 2, 100),
                heading_deg=(u16, 4, 100),
                remaining_distance_m=(u24, 6, 10),
            ),
        ),
    ),
}
"""By name of the model in the catalogue."""
