"""Running pods that count one foot, and who they are."""

import pytest

from healthd.profiles.quirks import Identity, decoders_for
from healthd.profiles.registry import load
from healthd.profiles.running_speed_cadence import decode_measurement, decode_one_foot

PACKET = bytes.fromhex("07 0003 5a 7800 10270000")


def test_one_foot_is_doubled_and_nothing_else_changes() -> None:
    assert decode_one_foot(PACKET).cadence_spm == 180
    one, other = decode_one_foot(PACKET).fields(), decode_measurement(PACKET).fields()
    assert one.pop("cadence_spm") == 2 * other.pop("cadence_spm")
    assert one == other


def test_doubled_cadence_has_room_above_a_byte() -> None:
    assert decode_one_foot(bytes.fromhex("00 0003 ff")).cadence_spm == 510


@pytest.mark.parametrize(
    ("name", "cadence"),
    [
        ("Zwift RunPod OE", 180),
        # Sends the steps of both feet: qdomyos-zwift#1260.
        ("Runn 1234", 90),
        ("", 90),
    ],
)
def test_who_counts_one_foot(name: str, cadence: int) -> None:
    characteristic = load().characteristics["2a53"]
    decode = decoders_for(Identity(name=name)).get("2a53", characteristic.decode)
    assert decode(PACKET).fields()["cadence_spm"] == cadence
