"""A capture in the order in which it is played."""

import pytest

from healthd.capture.replay.recording import RecordedLink, Recording, recording_of
from healthd.profiles import registry
from healthd.traffic import lines
from healthd.traffic.codec import BadCapture
from tests.support.capture_writer import ADDRESS, STRAP, CaptureWriter

KNOWN = registry.load().listed.values()


def recording(writer: CaptureWriter) -> Recording:
    return recording_of(writer.lines, KNOWN)


def link_of(found: Recording, number: int = 0) -> RecordedLink:
    links = [one for one in found.devices[ADDRESS].entries if isinstance(one, RecordedLink)]
    return links[number]


def test_a_device_and_its_links() -> None:
    writer = CaptureWriter()
    writer.advertise(0.5)
    writer.connect(1)
    writer.read_battery(1.5)
    writer.subscribe(2)
    writer.beat(3, 70)
    writer.disconnect(4)
    writer.fail(5, "TimeoutError")
    writer.connect(6, None)
    found = recording(writer)
    device = found.devices[ADDRESS]
    assert (device.name, device.services) == ("Strap", ("180d",))
    assert [type(entry).__name__ for entry in device.entries] == [
        "Advertised",
        "RecordedLink",
        "ConnectFailed",
        "RecordedLink",
    ]
    first, second = link_of(found), link_of(found, 1)
    assert [line.what for line in first.requests] == ["read", "subscribe"]
    assert [line.t for line in first.events] == [3]
    assert (first.last_t, first.ended is not None) == (4, True)
    # A link without a discovery of its own has the services of the device.
    assert second.services == STRAP
    assert (second.ended, found.begin_t, found.end_t) == (None, 0, 6)


def test_services_are_made_up_from_what_was_used() -> None:
    writer = CaptureWriter("btsnoop")
    writer.connect(1, None)
    writer.read_battery(1.5)
    writer.subscribe(2)
    writer.beat(3, 70)
    services = link_of(recording(writer)).services
    assert [(one.uuid, one.characteristics[0].uuid) for one in services] == [
        ("180f", "2a19"),
        ("180d", "2a37"),
    ]
    assert services[0].characteristics[0].properties == ("read",)
    assert services[1].characteristics[0].properties == ("notify",)


def test_a_log_that_begins_in_the_middle_of_a_link() -> None:
    writer = CaptureWriter("btsnoop", first_link=1)
    writer.beat(30, 70)
    found = recording(writer)
    assert link_of(found).connected.joined
    # It does not begin half a minute before anything happens.
    assert found.begin_t == 28


def test_another_central_that_waited_before_it_connected() -> None:
    writer = CaptureWriter("btsnoop")
    for t in (1, 2, 50.5):
        writer.advertise(t)
    writer.connect(51)
    assert [getattr(one, "t", None) for one in recording(writer).devices[ADDRESS].entries] == [
        50.5,
        None,
    ]


@pytest.mark.parametrize("uuid", ["zzzz", "180d180d18"])
def test_a_uuid_that_is_none(uuid: str) -> None:
    line = lines.Advertised.model_construct(
        t=1,
        time=CaptureWriter().lines[0].time,
        device=ADDRESS,
        services=(uuid,),
        service_data={},
        manufacturer_data={},
        name=None,
        rssi_dbm=None,
    )
    with pytest.raises(BadCapture, match="expected a UUID"):
        recording_of([CaptureWriter().lines[0], line], KNOWN)


def test_nothing_to_play() -> None:
    with pytest.raises(BadCapture, match="no device in it"):
        recording(CaptureWriter())
