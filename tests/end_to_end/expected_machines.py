"""What must be published for each fitness machine."""

from collections.abc import Mapping

from tests.end_to_end.packet_fields import (
    KCAL,
    Topic,
    Values,
    reading,
    s16,
    u8,
    u16,
    u24,
)


def _treadmill(first: bytes, last: bytes) -> Values:
    return {
        **reading(
            total_distance_m=(u24, 2, 1),
            inclination_pct=(s16, 5, 10),
            ramp_angle_deg=(s16, 7, 10),
            total_energy_kj=(u16, 9, KCAL),
            energy_per_hour_kj_per_h=(u16, 11, KCAL),
        )(first),
        **reading(
            speed_mps=(u16, 2, 360),
            average_speed_mps=(u16, 4, 360),
            heart_rate_bpm=(u8, 6, 1),
            elapsed_time_s=(u16, 7, 1),
        )(last),
    }


def _fec_trainer(frame: bytes) -> Values | None:
    if frame[4] != 0x19:  # Only the page of the trainer makes a sample.
        return None
    return {
        "cadence_rpm": frame[6],
        "power_w": u16(frame, 9) & 0xFFF,
        "state": {2: "ready", 3: "in_use"}[frame[11] >> 4],
        "target_state": "at_target",
    }


MACHINES: Mapping[str, tuple[Topic, ...]] = {
    "fec": (
        Topic(
            "bike_trainer",
            "6e40fec2-b5a3-f393-e0a9-e50e24dcca9e",
            _fec_trainer,
            within={
                "speed_mps": (3.0, 20.0),
                "total_distance_m": (0, 1000),
                "elapsed_time_s": (0.0, 180.0),
                "accumulated_power_w": (50, 1_000_000),
                "event_count": (1, 1000),
            },
        ),
    ),
    "fitness_machine": (
        Topic(
            "indoor_bike",
            "2ad2",
            reading(
                speed_mps=(u16, 2, 360),
                cadence_rpm=(u16, 4, 2),
                total_distance_m=(u24, 6, 1),
                resistance_raw=(s16, 9, 1),
                power_w=(s16, 11, 1),
                total_energy_kj=(u16, 13, KCAL),
                energy_per_hour_kj_per_h=(u16, 15, KCAL),
                heart_rate_bpm=(u8, 18, 1),
                elapsed_time_s=(u16, 19, 1),
            ),
        ),
    ),
    "treadmill": (Topic("treadmill", "2acd", _treadmill, packets=2),),
    "cross_trainer": (
        Topic(
            "cross_trainer",
            "2ace",
            reading(
                speed_mps=(u16, 3, 360),
                total_distance_m=(u24, 5, 1),
                step_rate_spm=(u16, 8, 1),
                average_step_rate_spm=(u16, 10, 1),
                stride_count=(u16, 12, 10),
                resistance_raw=(s16, 14, 1),
                power_w=(s16, 16, 1),
                heart_rate_bpm=(u8, 23, 1),
                elapsed_time_s=(u16, 24, 1),
            ),
        ),
    ),
    "rower": (
        Topic(
            "rower",
            "2ad1",
            reading(
                stroke_rate_spm=(u8, 2, 2),
                stroke_count=(u16, 3, 1),
                total_distance_m=(u24, 5, 1),
                pace_s_per_500m=(u16, 8, 1),
                power_w=(s16, 10, 1),
                heart_rate_bpm=(u8, 17, 1),
                elapsed_time_s=(u16, 18, 1),
            ),
        ),
    ),
    "stair_climber": (
        Topic(
            "stair_climber",
            "2ad0",
            reading(
                floors=(u16, 2, 1),
                step_rate_spm=(u16, 4, 1),
                positive_elevation_gain_m=(u16, 6, 1),
                stride_count=(u16, 8, 1),
                heart_rate_bpm=(u8, 15, 1),
            ),
        ),
    ),
    "step_climber": (
        Topic(
            "step_climber",
            "2acf",
            reading(
                floors=(u16, 2, 1),
                step_count=(u16, 4, 1),
                step_rate_spm=(u16, 6, 1),
                positive_elevation_gain_m=(u16, 8, 1),
                heart_rate_bpm=(u8, 15, 1),
            ),
        ),
    ),
}
"""By name of the model in the catalogue."""
