"""What must be published for each device that speaks a protocol of its maker."""

from collections.abc import Mapping

from tests.end_to_end.packet_fields import Topic, Values, reading, s16, u8, u24

_QUALITIES = ("invalid", "poor", "fair", "good", "excellent")


def _core(packet: bytes) -> Values:
    numbers = reading(
        core_temperature_c=(s16, 1, 100),
        skin_temperature_c=(s16, 3, 100),
        heart_rate_bpm=(u8, 8, 1),
        heat_strain_index=(u8, 9, 10),
    )
    quality = _QUALITIES[packet[7] & 0x0F]
    return {**numbers(packet), "quality": quality, "heart_rate_reception": "receiving"}


def _result_of_yonker(packet: bytes) -> Values | None:
    if packet[0] != 0x81:
        return None
    year, month, day, hour, minute = packet[6:11]
    time = f"20{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:00"
    numbers = reading(
        systolic_mmhg=(u8, 1, 1), diastolic_mmhg=(u8, 2, 1), pulse_rate_bpm=(u8, 3, 1)
    )
    return {**numbers(packet), "device_time": time}


def _pressure_of_yonker(packet: bytes) -> Values | None:
    return {"cuff_pressure_mmhg": packet[2]} if packet[0] == 0x80 else None


_YONKER = "cdeacd81-5235-4c07-8846-93a37ee6b86d"

VENDOR: Mapping[str, tuple[Topic, ...]] = {
    "core": (
        Topic("core_temperature", "00002101-5b1e-4347-b07c-97b514dae121", _core),
        Topic("body_temperature", "2a1c", reading(temperature_c=(u24, 1, 100)), samples=2),
    ),
    "yonker": (
        Topic("blood_pressure", _YONKER, _result_of_yonker),
        Topic("intermediate_cuff_pressure", _YONKER, _pressure_of_yonker),
    ),
}
"""By name of the model in the catalogue."""
