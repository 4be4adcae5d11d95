"""Encodes what a PM5 sends, as its characteristics and as 0080 have it."""

import struct
from collections.abc import Iterable
from datetime import datetime

from healthd.simulator.numbers import int24
from healthd.simulator.vendor.pm5.row import SPLIT_M, WORKOUT_M, Row, watts_of

Packet = tuple[int, bytes]
"""The number of a characteristic, and its value."""

_FIXED_DISTANCE_WITH_SPLITS, _DISTANCE, _METRES = 3, 1, 0x80
_DRIVE, _RECOVERY, _WAITING_TO_ACCELERATE = 2, 4, 1
_ROWER, _DRAG_FACTOR, _DRIVE_CM = 0, 118, 130
_NO_WORK = 0xFFFF
_VALUES_PER_PACKET = 9


def _centi(value: float) -> bytes:
    return int24(round(value * 100))


def _deci(value: float) -> bytes:
    return int24(round(value * 10))


def _pace(speed_mps: float, steps: int) -> int:
    return min(round(500.0 / speed_mps * steps), 0xFFFF) if speed_mps else 0


def status(row: Row) -> Iterable[Packet]:
    """Return 0031, 0032 and 0033, which come again and again."""
    stroking = (_DRIVE if row.in_drive else _RECOVERY) if row.active else _WAITING_TO_ACCELERATE
    states = (_FIXED_DISTANCE_WITH_SPLITS, _DISTANCE, row.state, row.active, stroking)
    drag = _DRAG_FACTOR if row.stroke.count > 1 else 0
    target = int24(round(WORKOUT_M)) + bytes((_METRES, drag))
    elapsed = _centi(row.elapsed_s)
    yield 0x31, elapsed + _deci(row.distance_m) + bytes(states) + int24(0) + target
    speeds = round(row.speed_mps * 1000), row.stroke.rate_spm, round(row.heart_rate_bpm)
    paces = _pace(row.speed_mps, 100), _pace(row.average_mps, 100)
    yield 0x32, elapsed + struct.pack("<HBBHHH", *speeds, *paces, 0) + int24(0) + bytes((_ROWER,))
    power, kcal = round(row.average_w), int(row.kcal)
    numbers = struct.pack("<BHHHHH", row.split.number, power, kcal, paces[1], power, kcal)
    yield 0x33, elapsed + numbers + _centi(row.split.time_s) + int24(0)


def stroke(row: Row, *, drive: bool) -> Iterable[Packet]:
    """Return 0035; with 0036 and the force curve 003d if the drive is over."""
    last = row.stroke
    elapsed = _centi(row.elapsed_s)
    numbers = struct.pack(
        "<BBHHHHHH",
        _DRIVE_CM,
        round(last.drive_s * 100),
        round(last.recovery_s * 100),
        round(last.distance_m * 100),
        round(last.peak_lbf * 10),
        round(last.average_lbf * 10),
        round(last.work_j * 10) if last.count > 1 else _NO_WORK,
        last.count,
    )
    yield 0x35, elapsed + _deci(row.distance_m) + numbers
    if not drive:
        return
    kcal_per_h = round(row.kcal_per_h(last.power_w))
    projected_s = round(WORKOUT_M / row.average_mps) if row.average_mps else 0
    more = struct.pack("<HHH", last.power_w, kcal_per_h, last.count)
    yield 0x36, elapsed + more + int24(projected_s) + int24(0)
    forces = row.forces_lbf
    parts = [
        forces[at : at + _VALUES_PER_PACKET] for at in range(0, len(forces), _VALUES_PER_PACKET)
    ]
    for number, part in enumerate(parts):
        head = bytes((len(parts) << 4 | len(part), number))
        yield 0x3D, head + struct.pack(f"<{len(part)}H", *part)


def split(row: Row) -> Iterable[Packet]:
    """Return 0037 and 0038, when a split is over."""
    last, elapsed = row.split, _centi(row.elapsed_s)
    rests = struct.pack("<HHBB", 0, 0, _DISTANCE, last.number)
    at = elapsed + _deci(row.distance_m)
    yield 0x37, at + _deci(last.time_s) + int24(round(SPLIT_M)) + rests
    speed = SPLIT_M / last.time_s
    power = watts_of(speed)
    numbers = (
        row.stroke.rate_spm,
        round(row.heart_rate_bpm),
        0,
        _pace(speed, 10),
        round(last.kcal),
        round(row.kcal_per_h(power)),
        round(speed * 1000),
        round(power),
        _DRAG_FACTOR,
        last.number,
        _ROWER,
    )
    yield 0x38, elapsed + struct.pack("<BBBHHHHHBBB", *numbers)


def summary(row: Row, at: datetime) -> Iterable[Packet]:
    """Return 0039 and 003a, when the workout is in the logbook."""
    date = (at.year - 2000) << 9 | at.day << 4 | at.month
    moment = struct.pack("<HBB", date, at.minute, at.hour)
    rate = round(row.stroke.count / row.elapsed_s * 60)
    bpm = round(row.heart_rate_bpm)
    rates = bytes((rate, bpm, bpm - 10, bpm - 40, bpm, _DRAG_FACTOR, 0))
    end = struct.pack("<BH", _FIXED_DISTANCE_WITH_SPLITS, _pace(row.average_mps, 10))
    yield 0x39, moment + _centi(row.elapsed_s) + _deci(row.distance_m) + rates + end
    power = row.average_w
    size = struct.pack("<BHB", _DISTANCE, round(SPLIT_M), row.split.number)
    totals = struct.pack("<HH", int(row.kcal), round(power))
    rests = int24(0) + struct.pack("<HH", 0, round(row.kcal_per_h(power)))
    yield 0x3A, moment + size + totals + rests


def multiplexed(packets: Iterable[Packet]) -> Iterable[bytes]:
    """Return values of 0080 for packets that belong together; it has no force curve.

    What is in another packet there comes from the packets before.
    """
    seen = dict(packets)
    for number, value in seen.items():
        if number == 0x32 and 0x33 in seen:
            value = value[:16] + seen[0x33][4:6] + value[16:]
        elif number == 0x33:
            value = value[:4] + value[6:]
        elif number == 0x35:
            value = value[:16] + value[18:]
        elif number == 0x36:
            value += seen[0x35][16:18]
        elif number == 0x39:
            yield bytes((0x39,)) + value[:18]
            yield bytes((0x3C,)) + value[:4] + value[18:] + bytes((0, 0, 0, _ROWER))
            continue
        elif number == 0x3A:
            value = value[:4] + value[5:]
        elif number == 0x3D:
            continue
        yield bytes((number,)) + value
