"""What must be published for each health device."""

from collections.abc import Callable, Mapping

from tests.end_to_end.packet_fields import (
    MG_PER_DL,
    Topic,
    Values,
    digits,
    divided,
    reading,
    s16,
    u8,
    u16,
    u24,
)

# Stored in a monitor and in an oximeter: a stop in the middle leaves some for the next start.
STORED_READINGS, STORED_RESULTS = 12, 4
# Of both users; a link brings one more.
STORED_IN_A_CUFF = 16


def _body_composition(first: bytes, last: bytes) -> Values:
    return {
        **reading(
            body_fat_pct=(u16, 2, 10),
            user_id=(u8, 11, 1),
            basal_metabolism_kj=(u16, 12, 1),
            muscle_pct=(u16, 14, 10),
            muscle_mass_kg=(u16, 16, 200),
            fat_free_mass_kg=(u16, 18, 200),
            soft_lean_mass_kg=(u16, 20, 200),
            body_water_mass_kg=(u16, 22, 200),
            impedance_ohm=(u16, 24, 10),
        )(first),
        **reading(weight_kg=(u16, 12, 200), height_m=(u16, 14, 1000))(last),
    }


def _as_hex(packet: bytes) -> Values:
    return {"value_hex": packet.hex(), "experimental": True}


def _reading_of_a_monitor(packet: bytes) -> Values:
    return {
        "glucose_mmol_per_l": divided(digits(packet, 2), MG_PER_DL),
        "time_offset_s": u16(packet, 4) * 60,
        "quality_pct": 95.5,
        "crc_ok": True,
    }


def _records_of_a_cuff(users: tuple[int, int], whole: bool) -> Callable[[bytes], list[Values]]:
    """Return what is in an answer of an Omron cuff with records of 16 bytes.

    Args:
        users: where the records of the two users begin.
        whole: whether an answer is one packet; if not, this one has its first 16 bytes.
    """

    def read(packet: bytes) -> list[Values]:
        address = int.from_bytes(packet[3:5], "big")
        is_short = packet[0] < packet[5] + 8
        if packet[1:3] != b"\x81\x00" or address < users[0] or is_short:
            return []
        starts = range(6, 6 + packet[5], 16) if whole else (6,)
        return [_record_of_a_cuff(packet[at : at + 10], address, users) for at in starts]

    return read


def _record_of_a_cuff(record: bytes, address: int, users: tuple[int, int]) -> Values:
    date, rest = u16(record, 4), u16(record, 6)
    day = f"{2000 + record[3]}-{date >> 10 & 15:02}-{date >> 5 & 31:02}"
    return {
        "systolic_mmhg": record[0] + 25,
        "diastolic_mmhg": record[1],
        "pulse_rate_bpm": record[2],
        "user_id": 1 if address < users[1] else 2,
        "device_time": f"{day}T{date & 31:02}:{rest >> 6 & 63:02}:{rest & 63:02}",
    }


def _cuff(users: tuple[int, int], *, whole: bool) -> tuple[Topic, ...]:
    read = _records_of_a_cuff(users, whole)
    # The first of the characteristics that answer.
    uuid = "49123040-aee8-11e1-a74d-0002a5d5c51b"
    return (Topic("blood_pressure", uuid, read, samples=STORED_IN_A_CUFF + 1, order="device_time"),)


_WEIGHT = Topic(
    "weight",
    "2a9d",
    reading(
        weight_kg=(u16, 1, 200),
        user_id=(u8, 10, 1),
        bmi=(u16, 11, 10),
        height_m=(u16, 13, 1000),
    ),
)


def _arm_result(packet: bytes) -> Values | None:
    if not digits(packet, 3):  # Still inflating.
        return None
    return reading(
        systolic_mmhg=(digits, 1, 1),
        diastolic_mmhg=(digits, 3, 1),
        mean_arterial_pressure_mmhg=(digits, 5, 1),
    )(packet)


def _arm_pressure(packet: bytes) -> Values | None:
    if digits(packet, 3):
        return None
    return {"cuff_pressure_mmhg": digits(packet, 1)}


HEALTH: Mapping[str, tuple[Topic, ...]] = {
    "health_thermometer": (
        Topic("body_temperature", "2a1c", reading(temperature_c=(u24, 1, 10))),
        Topic("intermediate_temperature", "2a1e", reading(temperature_c=(u24, 1, 10))),
    ),
    "blood_pressure": (
        Topic(
            "blood_pressure",
            "2a35",
            reading(
                systolic_mmhg=(digits, 1, 1),
                diastolic_mmhg=(digits, 3, 1),
                mean_arterial_pressure_mmhg=(digits, 5, 10),
                pulse_rate_bpm=(digits, 14, 1),
                user_id=(u8, 16, 1),
            ),
        ),
        Topic("intermediate_cuff_pressure", "2a36", reading(cuff_pressure_mmhg=(digits, 1, 1))),
    ),
    "qardio": (
        Topic("blood_pressure", "2a35", _arm_result, samples=3),
        Topic("intermediate_cuff_pressure", "2a35", _arm_pressure),
    ),
    "weight_scale": (_WEIGHT,),
    "user_scale": (_WEIGHT,),
    "body_composition": (Topic("body_composition", "2a9c", _body_composition, packets=2),),
    "glucose": (
        Topic(
            "glucose",
            "2a18",
            reading(
                sequence_number=(u16, 1, 1),
                time_offset_s=(s16, 10, 1 / 60),
                glucose_mmol_per_l=(digits, 12, MG_PER_DL),
            ),
            samples=8,
        ),
        Topic(
            "glucose_context",
            "2a34",
            reading(
                sequence_number=(u16, 1, 1),
                carbohydrate_kg=(digits, 4, 1000),
                exercise_duration_s=(u16, 8, 1),
                exercise_intensity_pct=(u8, 10, 1),
            ),
            within={"glucose_mmol_per_l": (6.6, 9.2)},
            samples=4,
        ),
    ),
    "continuous_glucose": (
        Topic(
            "cgm",
            "2aa7",
            _reading_of_a_monitor,
            samples=STORED_READINGS + 1,
            number="time_offset_s",
        ),
    ),
    "pulse_oximeter": (
        Topic(
            "pulse_oximeter",
            "2a5f",
            reading(spo2_pct=(digits, 1, 10), pulse_rate_bpm=(digits, 3, 1)),
        ),
        Topic(
            "pulse_oximeter_spot_check",
            "2a5e",
            reading(spo2_pct=(digits, 1, 10), pulse_rate_bpm=(digits, 3, 1)),
            samples=STORED_RESULTS + 1,
        ),
    ),
    "generic_health_sensor": (Topic("live_health_observations", "2b8b", _as_hex),),
    "physical_activity_monitor": (Topic("general_activity_instantaneous", "2b3c", _as_hex),),
    "omron": _cuff((0x0098, 0x06D8), whole=False),
    "omron_modern": _cuff((0x01C4, 0x0804), whole=True),
}
"""By name of the model in the catalogue."""
