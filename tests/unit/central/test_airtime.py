"""The time of scanning and of links."""

import pytest

from healthd.central.airtime import Airtime


def test_finished_and_current_times_are_added_up() -> None:
    now = [100.0]
    airtime = Airtime(lambda: now[0])
    assert airtime.counters() == {"scan_s": 0.0, "scan_duty_pct": 0.0, "linked_s": {}}
    with airtime.scanning():
        now[0] += 2
    with airtime.linked("scale"):
        now[0] += 3
        expected = {"scan_s": 2.0, "scan_duty_pct": 40.0, "linked_s": {"scale": 3.0}}
        assert airtime.counters() == expected
    now[0] += 50
    with pytest.raises(KeyError), airtime.linked("scale"), airtime.scanning():
        now[0] += 0.5
        raise KeyError
    expected = {"scan_s": 2.5, "scan_duty_pct": 4.5, "linked_s": {"scale": 3.5}}
    assert airtime.counters() == expected


def test_a_removed_peripheral_is_not_counted() -> None:
    airtime = Airtime(lambda: 1.0)
    for peripheral in ("scale", "strap"):
        with airtime.linked(peripheral):
            pass
    airtime.forget("scale")
    airtime.forget("never-linked")
    assert airtime.counters()["linked_s"].keys() == {"strap"}
