"""What must be published for a Concept2 PM5, read from its packets without the decoders."""

from tests.end_to_end.packet_fields import (
    KCAL,
    Topic,
    Values,
    divided,
    reading,
    u8,
    u16,
    u24,
)

_STATES = {0: "waiting", 1: "rowing", 10: "ended", 12: "logged"}


def _uuid(number: int) -> str:
    return f"ce06{number:04x}-43e5-11e4-916c-0800200c9a66"


def _status(packet: bytes) -> Values:
    return {
        **reading(elapsed_time_s=(u24, 0, 100), distance_m=(u24, 3, 10))(packet),
        "workout_state": _STATES[packet[8]],
        "active": bool(packet[9]),
        "target_distance_m": u24(packet, 14),
    }


class _Drives:
    """Leaves out the packets that repeat a stroke at the end of its recovery."""

    def __init__(self) -> None:
        self._last = (0, 0.0)

    def read(self, packet: bytes) -> Values | None:
        count, elapsed_s = u16(packet, 18), divided(u24(packet, 0), 100)
        last, self._last = self._last, (count, elapsed_s)
        if count == last[0] and elapsed_s >= last[1]:
            return None
        return {
            "stroke_count": count,
            "elapsed_time_s": elapsed_s,
            "drive_time_s": divided(u8(packet, 7), 100),
            "stroke_distance_m": divided(u16(packet, 10), 100),
            "work_j": None if count == 1 else divided(u16(packet, 16), 10),
        }


_split = reading(
    split_time_s=(u24, 6, 10),
    split_distance_m=(u24, 9, 1),
    interval=(u8, 17, 1),
)
_workout = reading(
    elapsed_time_s=(u24, 4, 100),
    total_distance_m=(u24, 7, 10),
    max_heart_rate_bpm=(u8, 14, 1),
    average_pace_s_per_500m=(u16, 18, 10),
)


def _curve(*packets: bytes) -> Values:
    # 1 lbf is 4.448 N, and the published value is rounded to 1 N: the steps are longer.
    forces = [u16(packet, at) for packet in packets for at in range(2, len(packet), 2)]
    return {"forces_n": [round(force * 4.4482216152605) for force in forces]}


PM5: tuple[Topic, ...] = (
    Topic(
        "ergometer",
        _uuid(0x31),
        _status,
        within={"speed_mps": (0.0, 6.0), "power_w": (150, 400), "average_power_w": (0, 400)},
    ),
    Topic("ergometer_stroke", _uuid(0x35), _Drives().read),
    Topic("ergometer_split", _uuid(0x37), _split, samples=1),
    Topic(
        "ergometer_workout",
        _uuid(0x39),
        _workout,
        within={"average_power_w": (150, 400), "total_energy_kj": (5 / KCAL, 60 / KCAL)},
        samples=1,
    ),
    Topic("ergometer_force_curve", _uuid(0x3D), _curve, packets=5),
)
