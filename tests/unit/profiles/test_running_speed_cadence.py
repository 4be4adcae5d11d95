"""Running pods that count the steps of one foot."""

import pytest

from healthd.profiles.identity import Identity
from healthd.profiles.quirks import decoders_for
from healthd.profiles.registry import load
from healthd.profiles.running_speed_cadence import decode_measurement, decode_one_foot

PACKET = bytes.fromhex("07 0003 5a 7800 10270000")


def test_the_cadence_of_one_foot_is_doubled_and_nothing_else_changes() -> None:
    assert decode_one_foot(PACKET).cadence_spm == 180
    doubled, plain = decode_one_foot(PACKET).fields(), decode_measurement(PACKET).fields()
    assert doubled.pop("cadence_spm") == 2 * plain.pop("cadence_spm")
    assert doubled == plain


def test_a_doubled_cadence_may_exceed_a_byte() -> None:
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
def test_which_pods_count_one_foot(name: str, cadence: int) -> None:
    characteristic = load().characteristics["2a53"]
    decode = decoders_for(Identity(name=name)).get("2a53", characteristic.decode)
    assert decode(PACKET).fields()["cadence_spm"] == cadence
