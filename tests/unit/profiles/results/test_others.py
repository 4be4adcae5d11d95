"""Thermometers and oximeters: results are live at once, stored ones once."""

import struct
from datetime import datetime, timedelta

from tests.unit.profiles.results.bench import NOW, Device


def temperature(tenths: int, made: datetime | None = None) -> str:
    """Return a Temperature Measurement."""
    packet = bytes([0 if made is None else 2]) + tenths.to_bytes(3, "little") + b"\xff"
    if made is not None:
        day = (made.year, made.month, made.day, made.hour, made.minute, made.second)
        packet += struct.pack("<HBBBBB", *day)
    return packet.hex()


def test_a_thermometer_without_a_clock_is_live_at_once() -> None:
    thermometer = Device("health_thermometer")
    published = thermometer.send(temperature(366), temperature(366), temperature(367), every_s=1.0)
    assert published == [
        ("body_temperature", 36.6, "live"),
        ("body_temperature", 36.6, "live"),
        ("body_temperature", 36.7, "live"),
    ]


def test_a_result_without_a_time_that_is_sent_again_at_once_is_one() -> None:
    thermometer = Device("health_thermometer")
    thermometer.send(temperature(366), temperature(366), temperature(366), every_s=0.2)
    assert thermometer.live == [36.6]
    oximeter = Device("pulse_oximeter")
    # 98 %, 72/min, without a time.
    oximeter.send("0062004800", "0062004800", every_s=0.2)
    assert oximeter.live == [98.0]


def test_a_fresh_temperature_is_live_at_once() -> None:
    thermometer = Device("health_thermometer")
    assert thermometer.send(temperature(366, NOW)) == [("body_temperature", 36.6, "live")]
    assert thermometer.send(temperature(366, NOW)) == []


def test_the_memory_of_a_thermometer_ends_with_the_newest() -> None:
    thermometer = Device("health_thermometer")
    hours = (5, 2, 30, 20)
    for _ in range(2):
        thermometer.send(*(temperature(360 + hour, NOW - timedelta(hours=hour)) for hour in hours))
        thermometer.link()
    assert (thermometer.live, thermometer.history) == ([36.2], [36.5, 39.0, 38.0])


def test_the_newest_of_some_minutes_is_live_in_whatever_order_they_arrive() -> None:
    thermometer = Device("health_thermometer")
    minutes = (1, 6, 4)
    thermometer.send(*(temperature(360 + at, NOW - timedelta(minutes=at)) for at in minutes))
    thermometer.pause(5.0)
    assert thermometer.live[-1] == 36.1
    assert sorted([*thermometer.live, *thermometer.history]) == [36.1, 36.4, 36.6]


def test_a_temperature_that_was_not_measured_is_intermediate() -> None:
    thermometer = Device("health_thermometer")
    thermometer.send(temperature(366), "00ffff7f00")
    thermometer.send(temperature(300), uuid="2a1e")
    assert thermometer.live == [36.6]
    assert [timed.measurement.kind for timed in thermometer.published[1:]] == [
        "intermediate_temperature",
        "intermediate_temperature",
    ]


def spot(spo2: int, status: int) -> str:
    return struct.pack("<BHHH", 0x02, spo2, 72, status).hex()


def test_an_early_estimate_of_an_oximeter_is_intermediate() -> None:
    oximeter = Device("pulse_oximeter")
    published = oximeter.send(spot(93, 1 << 6), spot(96, 1 << 5), spot(97, 1 << 8))
    assert published == [
        ("intermediate_spot_check", 93.0, "intermediate"),
        ("intermediate_spot_check", 96.0, "intermediate"),
        ("pulse_oximeter_spot_check", 97.0, "live"),
    ]


def test_a_spot_check_is_published_once() -> None:
    oximeter = Device("pulse_oximeter")
    packet = "0162004800e9070714080000"
    for _ in range(2):
        oximeter.send(packet)
        oximeter.link()
    assert oximeter.live == [98.0]


def test_a_date_by_a_clock_that_was_not_set_does_not_count() -> None:
    """A flag of the oximeter says so, whatever the date."""
    oximeter = Device("pulse_oximeter")
    unset, later = "1162004800e9070714070000", "0161004800e9070713070000"  # 20 July; 19 July
    for _ in range(2):
        oximeter.send(unset)
        oximeter.pause(5.0)
        oximeter.link()
    oximeter.send(later)
    oximeter.end()
    assert oximeter.live == [98.0, 97.0]


def test_a_clock_that_says_it_is_not_set_dates_nothing() -> None:
    """Pulse Oximeter Service, flag 4: the time means nothing, so it does not order the results."""

    def result(spo2: int, made: datetime, *, unset: bool) -> str:
        day = (made.year, made.month, made.day, made.hour, made.minute, made.second)
        return struct.pack("<BHHHBBBBB", 0x11 if unset else 0x01, spo2, 72, *day).hex()

    oximeter = Device("pulse_oximeter")
    sent = (
        result(98, NOW - timedelta(days=30), unset=False),
        result(97, NOW - timedelta(days=200), unset=True),
        result(96, NOW + timedelta(hours=5), unset=True),
        result(95, NOW, unset=False),
    )
    for packet in sent:
        oximeter.send(packet)
        oximeter.link()
    assert (oximeter.live, oximeter.history) == ([98.0, 97.0, 96.0, 95.0], [])
    oximeter.send(*sent)
    oximeter.link()
    assert len(oximeter.live) == len(sent)
