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


VENDOR: Mapping[str, tuple[Topic, ...]] = {
    "core": (
        Topic("core_temperature", "00002101-5b1e-4347-b07c-97b514dae121", _core),
        Topic("body_temperature", "2a1c", reading(temperature_c=(u24, 1, 100)), samples=2),
    ),
}
"""By name of the model in the catalogue."""
