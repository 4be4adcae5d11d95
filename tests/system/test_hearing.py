"""The virtual adapter reports advertisements as the kinds of real controllers do."""

import pytest

from tests.system.guest.hearing import Duplicates, Heard, Hearing, Kind

_ADDRESS = "C8:00:00:00:00:01"
# 1 three times, 2 twice.
_DATA = (b"\x01", b"\x01", b"\x02", b"\x01", b"\x02")


def scanning(duplicates: Duplicates, *, leave_out: bool = True) -> Hearing:
    hearing = Hearing()
    hearing.duplicates = duplicates
    hearing.scan(0.0, on=True, active=True, leave_out=leave_out)
    return hearing


def reported(hearing: Hearing, data: bytes) -> bool:
    return bool(list(hearing.reports_of(Heard(_ADDRESS, data))))


@pytest.mark.parametrize(
    ("duplicates", "leave_out", "expected"),
    [
        (Duplicates.REPORTED, True, 5),
        (Duplicates.SAME_DATA, True, 2),
        (Duplicates.SAME_ADDRESS, True, 1),
        (Duplicates.SAME_ADDRESS, False, 5),
    ],
)
def test_duplicates(duplicates: Duplicates, leave_out: bool, expected: int) -> None:
    hearing = scanning(duplicates, leave_out=leave_out)
    assert sum(reported(hearing, data) for data in _DATA) == expected


def test_the_next_scan_reports_again() -> None:
    hearing = scanning(Duplicates.SAME_ADDRESS)
    assert reported(hearing, b"\x01")
    hearing.scan(11.0, on=False, active=True, leave_out=True)
    assert not reported(hearing, b"\x01")
    hearing.scan(11.2, on=True, active=True, leave_out=True)
    assert reported(hearing, b"\x01")


def test_only_an_early_stop_ends_deafness() -> None:
    hearing = scanning(Duplicates.REPORTED)
    hearing.fall_deaf()
    hearing.scan(10.3, on=False, active=True, leave_out=True)
    hearing.scan(10.5, on=True, active=True, leave_out=True)
    assert not reported(hearing, b"\x01")
    assert (hearing.is_deaf, hearing.muted) == (True, 1)
    hearing.scan(15.0, on=False, active=True, leave_out=True)
    hearing.scan(15.2, on=True, active=True, leave_out=True)
    assert reported(hearing, b"\x01")


def test_a_scan_response_is_reported_only_by_an_active_scan() -> None:
    heard = Heard(_ADDRESS, b"\x01", b"\x02", Kind.CONNECTABLE)
    hearing = scanning(Duplicates.REPORTED)
    assert len(list(hearing.reports_of(heard))) == 2
    hearing.scan(1.0, on=True, active=False, leave_out=False)
    (report,) = hearing.reports_of(heard)
    # Event, LE Meta, length; advertising report, one, ADV_IND, random; the address; one byte.
    assert report[:-1] == bytes.fromhex("043e0d020100010100000000c80101")
