"""A force curve is published whole, or not at all."""

import pytest

from tests.unit.profiles.vendor.pm5.monitor import Sent, published

# Rounded as in tests/vectors: 1 lbf is 4.448 N.
LBF = 4.4482216152605


def packet(number: int, of: int, *values: int, at_ms: int = 0) -> Sent:
    data = b"".join(value.to_bytes(2, "little") for value in values)
    return Sent(at_ms, 0x3D, bytes((of << 4 | len(values), number)) + data)


def curves(*sent: Sent) -> list[list[float]]:
    return [each["forces_n"] for each in published(sent).of("ergometer_force_curve")]


def newtons(*values: int) -> list[float]:
    return [float(round(value * LBF)) for value in values]


def test_packets_are_joined() -> None:
    first = packet(0, 3, 24, 41, 41, 59, 59, 64, 69, 69, 83)
    second = packet(1, 3, 100, 120, 140, 150, 150, 140, 120, 100, 90, at_ms=10)
    third = packet(2, 3, 60, 20, at_ms=20)
    [record] = published([first, second, third]).published
    assert record.mono_ns == 20_000_000
    assert record.measurement.fields() == {
        "forces_n": newtons(
            24, 41, 41, 59, 59, 64, 69, 69, 83, 100, 120, 140, 150, 150, 140, 120, 100, 90, 60, 20
        )
    }


def test_a_curve_of_one_packet_is_whole() -> None:
    assert curves(packet(0, 1, 10)) == [newtons(10)]


def test_the_longest_curve_is_whole() -> None:
    sent = [packet(number, 15, *range(9), at_ms=number) for number in range(15)]
    assert [len(curve) for curve in curves(*sent)] == [15 * 9]


@pytest.mark.parametrize("lost", range(3))
def test_a_curve_without_one_packet_is_dropped_and_the_next_one_is_whole(lost: int) -> None:
    def curve(at_ms: int, force: int) -> list[Sent]:
        return [packet(number, 3, force + number, at_ms=at_ms + number) for number in range(3)]

    first, second = curve(0, 10), curve(2500, 50)
    del first[lost]
    assert curves(*first, *second) == [newtons(50, 51, 52)]


def test_two_curves_with_the_same_hole_make_none_of_both() -> None:
    first = [packet(0, 3, 10), packet(1, 3, 11, at_ms=1)]
    second = [packet(2, 3, 52, at_ms=2500)]
    assert curves(*first, *second) == []


def test_packets_out_of_order_make_no_curve() -> None:
    assert curves(packet(0, 3, 10), packet(2, 3, 12), packet(1, 3, 11)) == []


def test_a_repeated_packet_makes_no_curve() -> None:
    assert curves(packet(0, 3, 1), packet(1, 3, 2), packet(1, 3, 2), packet(2, 3, 3)) == []


def test_a_packet_of_a_curve_with_another_length_makes_no_curve() -> None:
    assert curves(packet(0, 2, 1), packet(1, 3, 2)) == []


def test_nothing_follows_a_curve_that_is_whole() -> None:
    assert curves(packet(0, 1, 1), packet(1, 2, 2), packet(1, 1 + 1, 2)) == [newtons(1)]


def test_0080_may_have_a_curve_too() -> None:
    sent = [
        Sent(one.at_ms, 0x80, b"\x3d" + one.value) for one in (packet(0, 2, 1), packet(1, 2, 2))
    ]
    assert curves(*sent) == [newtons(1, 2)]
