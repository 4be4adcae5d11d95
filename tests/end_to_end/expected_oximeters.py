"""What must be published for each oximeter with a protocol of its maker."""

from collections.abc import Mapping
from typing import Any

from tests.end_to_end.packet_fields import Topic, Values, u8, u16

_RING = "0734594a-a8e7-4b1a-a6b1-cd5243059a57"
# An answer of the ring with success; its length is at 5, its data begins at 7. The answer with live
# values is longer than the size of a file, and shorter than anything else.
_ANSWER = bytes.fromhex("5500ff0000")
_SHORTEST, _LONGEST = 12, 60


def _is_live(sample: Mapping[str, Any]) -> bool:
    return sample["measurement_status"] != ["from_storage"]


def _live_values(packet: bytes) -> Values | None:
    """Read the first piece of an answer."""
    if not packet.startswith(_ANSWER) or not _SHORTEST <= u16(packet, 5) <= _LONGEST:
        return None
    return {
        "spo2_pct": u8(packet, 7),
        "pulse_rate_bpm": u16(packet, 8),
        "pulse_amplitude_index_pct": u8(packet, 12) / 10,
    }


def _of_a_jumper(packet: bytes) -> Values | None:
    if packet[0] != 0x81:
        return None
    return {
        "pulse_rate_bpm": packet[1],
        "spo2_pct": packet[2],
        "pulse_amplitude_index_pct": packet[3] / 10,
    }


def _of_a_contec(packet: bytes) -> Values | None:
    if packet[:2] != b"\xeb\x01":
        return None
    return {"pulse_rate_bpm": packet[3], "spo2_pct": packet[4]}


def _of_a_nonin(packet: bytes) -> Values:
    return {
        "spo2_pct": packet[7],
        "pulse_rate_bpm": int.from_bytes(packet[8:10], "big"),
        "pulse_amplitude_index_pct": int.from_bytes(packet[3:5], "big") / 100,
    }


OXIMETERS: Mapping[str, tuple[Topic, ...]] = {
    # Two nights of 30 records are between the live values.
    "o2ring": (Topic("pulse_oximeter", _RING, _live_values, samples=63, counts=_is_live),),
    "contec": (Topic("pulse_oximeter", "ff02", _of_a_contec),),
    "nonin": (Topic("pulse_oximeter", "0aad7ea0-0d60-11e2-8e3c-0002a5d5c51b", _of_a_nonin),),
    "jumper": (Topic("pulse_oximeter", "cdeacb81-5235-4c07-8846-93a37ee6b86d", _of_a_jumper),),
}
"""By name of the model in the catalogue."""
