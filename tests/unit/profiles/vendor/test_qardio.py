"""A QardioArm: what of its packets is a result, by the rules of LibreArm."""

import struct

import pytest

from tests.unit.profiles.results.bench import Device


@pytest.fixture
def arm() -> Device:
    return Device("blood_pressure", "QardioARM")


def plain(systolic: int, diastolic: int, mean: int = 0) -> str:
    return struct.pack("<BHHH", 0, systolic, diastolic, mean).hex()


def test_the_last_packet_that_nothing_follows_is_the_result(arm: Device) -> None:
    arm.send("008c0000007800", "0078005000" + "5d00")
    arm.pause(1.4)
    assert arm.live == []
    arm.pause(0.2)
    assert (arm.live, arm.intermediate) == ([120.0], [140.0])


# The bounds of ReadingValidationTest.kt, LibreArm_Android.
@pytest.mark.parametrize(
    "packet", [plain(60, 40), plain(260, 140), plain(250, 160), plain(181, 60)]
)
def test_what_a_cuff_can_measure_is_a_result(arm: Device, packet: str) -> None:
    arm.send(packet)
    arm.pause(2.0)
    assert len(arm.live) == 1


@pytest.mark.parametrize(
    "packet",
    [
        plain(59, 40),
        plain(261, 80),
        plain(120, 39),
        plain(200, 161),
        plain(80, 80),
        plain(70, 80),
        plain(140, 0),
        plain(120, 0x7FF),
        plain(0x7FF, 80),
        "00ff0702000000",
        "001f072b000000",
    ],
)
def test_what_it_cannot_measure_is_an_intermediate_value(arm: Device, packet: str) -> None:
    arm.send(packet)
    arm.pause(2.0)
    arm.end()
    assert arm.live == []
    assert len(arm.intermediate) == 1


def test_another_cuff_may_measure_more() -> None:
    cuff = Device("blood_pressure", "Cuff")
    cuff.send(plain(261, 80))
    cuff.pause(2.0)
    assert cuff.live == [261.0]
