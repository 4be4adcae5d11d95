"""Lines written as packets and read again: equal, but for what packets cannot say."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from healthd.capture.reading import read
from healthd.capture.writing.files import Kind, write
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import (
    Advertised,
    Connected,
    Disconnected,
    Discovered,
    Line,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)
from tests.support.capture_lines import DEVICE, SERVICES, START, captures, session, times

KINDS: tuple[Kind, ...] = ("btsnoop", "pcap")


def again(lines: list[Line], folder: Path, kind: Kind = "btsnoop") -> list[Line]:
    """Write lines and read the file."""
    file = folder / f"capture.{kind}"
    with file.open("wb") as out:
        write(lines, out, kind)
    return list(read(file))


def comparable(lines: list[Line]) -> list[dict[str, Any]]:
    """Return what packets can say about lines, as dictionaries.

    Not in packets: the texts of errors and reasons (they are made from the code); how long a write
    without an answer, or connecting, took; a duration that is not known, which is zero afterwards;
    the order of the structures of an advertisement; and where the services stand: a reader knows
    them when the next value comes. ``t`` counts from the first packet.
    """
    first = next((line.t for line in lines if not isinstance(line, Start)), 0.0)
    found: list[dict[str, Any]] = []
    for line in lines:
        if isinstance(line, Start | Discovered):
            continue
        fields = line.model_dump(exclude={"error", "reason", "t", "time", "took_s"})
        fields["t"] = round(line.t - first, 6)
        if isinstance(line, Advertised):
            fields["services"] = sorted(fields["services"])
        found.append(fields)
    return found


def services(lines: list[Line]) -> dict[int, Any]:
    """Return the services of each link that has any, in the last line about them."""
    return {
        line.link: line.services for line in lines if isinstance(line, Discovered) if line.services
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_comes_back(tmp_path: Path, kind: Kind) -> None:
    lines = session()
    read_again = again(lines, tmp_path, kind)
    assert comparable(read_again) == comparable(lines[:-4])
    assert services(read_again) == {1: SERVICES}


def test_the_durations_of_requests_come_back(tmp_path: Path) -> None:
    requests = (Read, Written, Subscribed)
    asked = [line for line in session()[:-4] if isinstance(line, requests)]
    answered = [line for line in again(session(), tmp_path) if isinstance(line, requests)]
    assert [line.took_s for line in answered] == [line.took_s for line in asked]


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=captures())
def test_any_lines_come_back(tmp_path: Path, lines: list[Line]) -> None:
    read_again = again(lines, tmp_path)
    assert comparable(read_again) == comparable(lines)


def test_what_packets_cannot_say_is_counted() -> None:
    counts = write(session(), BytesIO(), "btsnoop")
    assert [(count.what, count.lines, count.first_t) for count in counts] == [
        ("lines about a link that has ended", 1, 4.0),
        ("attempts to connect that failed", 1, 5.0),
        ("changes of the adapter or of the Bluetooth service", 1, 6.0),
        ("that lines are missing", 1, 7.0),
    ]


_LINK: dict[str, Any] = {"device": DEVICE, "link": 1}
_VALUE: dict[str, Any] = {**_LINK, "uuid": "2a37", "handle": 16}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (Connected(**times(1), **_LINK, joined=True), "that a link existed before the capture"),
        (Notified(**times(1), **_VALUE, value=b"\0"), "that a link existed before the capture"),
        (Connected(**times(1), **_LINK, took_s=2), "how long connecting took"),
        (Connected(**times(1), device="?", link=1), "devices whose address is not known"),
        (Read(**times(1), **_VALUE, error="org.bluez.Error.Failed"), "errors of the Bluetooth"),
        (Read(**times(1), **_VALUE, code=300), "errors of the Bluetooth"),
        (Read(**times(1), **_VALUE), "values that the capture leaves out"),
        (Written(**times(1), **_VALUE, value=None, response=True), "values that the capture"),
        (Written(**times(1), **_VALUE, value=b"", response=False, code=3), "refusals of writes"),
        (Written(**times(1), **_VALUE, value=bytes(30), response=True, code=3), "ends of long"),
        (Subscribed(**times(1), **_VALUE, mode="notify"), "subscriptions to characteristics"),
        (Disconnected(**times(1), **_LINK), "reasons of disconnections without a code"),
        (Notified(**times(1), **_VALUE, value=bytes(70_000)), "values longer than a packet"),
        (Advertised(**times(1), device="x"), "devices whose address is not known"),
        (Advertised(**times(1), device=DEVICE, name="x" * 255), "advertised data longer than"),
        (
            Advertised(
                **times(1),
                device=DEVICE,
                manufacturer_data={f"00{each:02x}": bytes(200) for each in range(9)},
            ),
            "advertisements longer than 1650 bytes",
        ),
        (
            Discovered(**times(1), **_LINK, services=(SERVICES[1], SERVICES[0])),
            "services whose handles are not in ascending order",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_each_thing_left_out_has_a_name(line: Line, what: str) -> None:
    found = [count.what for count in write([START, line], BytesIO(), "btsnoop")]
    assert [each for each in found if each.startswith(what)], found


def test_a_subscription_needs_no_known_descriptor(tmp_path: Path) -> None:
    heart = SERVICES[1].characteristics[0].model_copy(update={"descriptors": ()})
    service = SERVICES[1].model_copy(update={"characteristics": (heart,)})
    lines: list[Line] = [
        START,
        Connected(**times(0), **_LINK),
        Discovered(**times(1), **_LINK, services=(service,)),
        Subscribed(**times(2), **_VALUE, mode="notify", took_s=0.1),
    ]
    assert write(lines, BytesIO(), "btsnoop") == []
    found = [line for line in again(lines, tmp_path) if isinstance(line, Subscribed)]
    assert [(line.handle, line.mode) for line in found] == [(16, "notify")]


def test_requests_that_overlap_are_written_in_order(tmp_path: Path) -> None:
    lines: list[Line] = [
        START,
        Connected(**times(0), **_LINK),
        Notified(**times(2), **_VALUE, value=b"\0\x50"),
        Read(**times(3), **_LINK, uuid="2a38", handle=19, value=b"\1", took_s=2.5),
    ]
    counts = write(lines, BytesIO(), "btsnoop")
    assert [count.what for count in counts] == ["times of requests that other lines came between"]
    *_, notified, asked = again(lines, tmp_path)
    assert (notified.t, asked.t) == (2, 3)


def test_each_packet_reaches_the_disk_at_once(tmp_path: Path) -> None:
    file = tmp_path / "capture.btsnoop"
    sizes: list[int] = []

    def lines() -> Any:
        for line in session():
            sizes.append(file.stat().st_size)
            yield line

    with file.open("wb") as out:
        write(lines(), out, "btsnoop")
    # The header, then something for each line that packets can say.
    assert sizes[1] == 16
    assert all(after > before for before, after in pairwise(sizes[1:-3]))


def test_a_file_has_a_start() -> None:
    with pytest.raises(BadCapture):
        write([], BytesIO(), "pcap")


def test_the_mtu_cuts_the_answers_of_the_discovery(tmp_path: Path) -> None:
    lines: list[Line] = [
        START,
        Connected(**times(0), **_LINK),
        MtuAgreed(**times(0), **_LINK, mtu=23),
        Discovered(**times(1), **_LINK, services=SERVICES),
        Notified(**times(2), **_VALUE, value=b"\0\x50"),
    ]
    small = BytesIO()
    write(lines, small, "btsnoop")
    large = BytesIO()
    write([lines[0], lines[1], lines[2].model_copy(update={"mtu": 517}), *lines[3:]], large, "pcap")
    assert small.getvalue().count(b"\x08") > 0
    assert services(again(lines, tmp_path)) == {1: SERVICES}
    assert services(list(_read_bytes(large.getvalue(), tmp_path))) == {1: SERVICES}


def _read_bytes(data: bytes, folder: Path) -> Any:
    file = folder / "other"
    file.write_bytes(data)
    return read(file)


def test_connection_handles_are_used_again(tmp_path: Path) -> None:
    # More links than there are handles, but never more than two at a time.
    lines: list[Line] = [START, Connected(**times(0), device=DEVICE, link=1)]
    for number in range(2, 4000):
        lines.append(Connected(**times(number), device=DEVICE, link=number))
        lines.append(Disconnected(**times(number), device=DEVICE, link=number, code=8))
    assert write(lines, BytesIO(), "btsnoop") == []
    assert comparable(again(lines, tmp_path)) == comparable(lines)


def test_there_are_fewer_handles_than_links() -> None:
    lines: list[Line] = [START]
    lines += [Connected(**times(0), device=DEVICE, link=number) for number in range(1, 4000)]
    counts = write(lines, BytesIO(), "btsnoop")
    assert [(count.what, count.lines) for count in counts] == [
        ("more links at one time than there are connection handles", 3999 - (0x0EFF - 0x40 + 1))
    ]
