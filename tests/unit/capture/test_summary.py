"""``healthd capture show``: what is in a capture, in numbers."""

from typing import Any

import pytest
from hypothesis import given, settings

from healthd.capture.summary import MOST, summarise
from healthd.profiles.registry import load
from healthd.traffic.lines import (
    Advertised,
    Connected,
    ConnectFailed,
    Line,
    Missing,
    Notified,
)
from tests.support.capture_lines import DEVICE, START, captures, session, times

LINK: dict[str, Any] = {"device": DEVICE, "link": 1}
HEART: dict[str, Any] = {**LINK, "uuid": "2a37", "handle": 16}


def test_a_whole_session() -> None:
    summary = summarise(session(), load())
    assert (summary.source, summary.identity, summary.encrypted) == ("healthd", "replaced", False)
    assert (summary.lines, summary.seconds) == (22, 7.0)
    assert summary.first_time == "2026-11-24T02:00:00.123456+00:00"
    (device,) = summary.devices
    assert device.names == ["HRM", "A name of more than thirty bytes"]
    assert (device.advertisements, device.advertised) == (2, ["heart_rate"])
    assert device.failed_connects == {"org.bluez.Error.Failed": 1}
    (link,) = device.links
    assert (link.from_t, link.seconds, link.ended, link.code) == (0.5, 3.5, "timeout", 8)
    assert link.mtu == 64
    assert [(each.uuid, each.profile) for each in link.services][:2] == [
        ("1800", None),
        ("180d", "heart_rate"),
    ]
    counted = [
        (each.handle, each.kind, each.notifications, each.reads, each.writes, each.errors)
        for each in link.values
    ]
    assert counted == [
        (3, None, 0, 1, 0, 0),
        (16, "heart_rate", 1, 0, 0, 0),
        (32, None, 1, 1, 3, 3),
    ]
    assert summary.errors["insufficient authentication"] == 1
    assert summary.adapter == {"removed": 1}
    assert summary.missing == {"the disk was full": 1}


def test_rates_and_silences() -> None:
    at_s = (1.0, 2.0, 3.0, 7.5, 8.5)
    values = [Notified(**times(t), **HEART, value=b"\0\x50") for t in at_s]
    lines: list[Line] = [START, Connected(**times(0), **LINK), *values]
    ((link,),) = [device.links for device in summarise(lines, load()).devices]
    (heart,) = link.values
    assert (heart.notifications, heart.first_t, heart.last_t) == (5, 1.0, 8.5)
    assert heart.per_second == pytest.approx(4 / 7.5, abs=0.001)
    assert heart.longest_silence_s == 4.5


def test_a_silence_lasts_until_the_end() -> None:
    lines: list[Line] = [
        START,
        Connected(**times(0), **LINK),
        Notified(**times(1), **HEART, value=b"\0\x50"),
        Missing(**times(61), reason="the end"),
    ]
    ((link,),) = [device.links for device in summarise(lines, load()).devices]
    assert link.values[0].longest_silence_s == 60


def test_a_joined_link_began_before() -> None:
    lines: list[Line] = [START, Connected(**times(1), **LINK, joined=True)]
    assert summarise(lines, load()).devices[0].links[0].from_t is None


def test_encrypted_traffic_is_said() -> None:
    lines: list[Line] = [START, Missing(**times(1), reason="packet 7: the link is encrypted")]
    summary = summarise(lines, load())
    assert summary.encrypted
    assert summary.missing == {"the link is encrypted": 1}


def test_the_summary_of_a_hostile_capture_is_bounded() -> None:
    def hostile() -> Any:
        yield START
        for number in range(3 * MOST):
            address = f"02:00:5E:{number >> 16:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"
            yield Advertised(**times(1), device=address, name="x")
            yield ConnectFailed(**times(1), device=DEVICE, error=f"error {number}")
            yield Advertised(**times(1), device=DEVICE, name=f"name {number}")
            yield Missing(**times(1), reason=f"reason {number}")

    summary = summarise(hostile(), load())
    assert len(summary.devices) == MOST
    assert summary.left_out > MOST
    assert len(summary.missing) <= MOST + 1
    named = next(each for each in summary.devices if each.address == DEVICE)
    assert len(named.names) <= MOST
    assert len(named.failed_connects) <= MOST + 1


@settings(max_examples=30, deadline=None)
@given(lines=captures())
def test_every_value_is_counted(lines: list[Line]) -> None:
    summary = summarise(lines, load())
    values = [each for device in summary.devices for link in device.links for each in link.values]
    assert sum(each.notifications for each in values) == len(
        [line for line in lines if isinstance(line, Notified)]
    )
    assert summary.lines == len(lines)
