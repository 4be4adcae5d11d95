"""What must be published for each device that advertises all the time."""

from collections.abc import Mapping

from tests.end_to_end.packet_fields import KCAL, Topic, Values, divided, reading, s16, u8, u16


def _ride(packet: bytes) -> Values:
    trip = u16(packet, 14)
    assert trip & 1 << 15, "the simulated bike is metric"
    return {
        **reading(
            equipment_id=(u8, 3, 1),
            cadence_rpm=(u16, 4, 10),
            heart_rate_bpm=(u16, 6, 10),
            power_w=(u16, 8, 1),
            total_energy_kj=(u16, 10, KCAL),
            gear=(u8, 16, 1),
        )(packet),
        "elapsed_time_s": packet[12] * 60 + packet[13],
        "total_distance_m": (trip & 0x7FFF) * 100,
    }


def _room(packet: bytes) -> Values:
    assert packet[1] == 0
    return {
        "packet_id": packet[2],
        "battery_level_pct": packet[4],
        "temperature_c": divided(s16(packet, 6), 100),
        "humidity_pct": divided(u16(packet, 9), 100),
    }


BROADCASTS: Mapping[str, tuple[Topic, ...]] = {
    "mi_band": (
        Topic("heart_rate", "manufacturer_data_0157", reading(heart_rate_bpm=(u8, 3, 1))),
        Topic("steps", "service_data_fee0", reading(step_count=(u16, 0, 1))),
    ),
    "polar_broadcast": (
        Topic("heart_rate", "manufacturer_data_006b", reading(heart_rate_bpm=(u8, 10, 1))),
    ),
    "keiser": (Topic("keiser_bike", "manufacturer_data_0102", _ride),),
    "core_broadcast": (
        Topic(
            "core_temperature",
            "manufacturer_data_f60b",
            reading(core_temperature_c=(u16, 2, 1000)),
        ),
    ),
    "bthome": (Topic("environment", "service_data_fcd2", _room),),
}
"""By name of the model; the scales are in ``test_weighings``."""
