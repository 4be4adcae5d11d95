"""The same traffic in all kinds of files: the same lines."""

from pathlib import Path

import pytest

from healthd.capture.reading import events, read
from healthd.capture.value import Value
from healthd.traffic.codec import BadCapture, encode
from healthd.traffic.lines import (
    Advertised,
    Connected,
    Disconnected,
    Line,
    Missing,
    Notified,
    Start,
)
from tests.support.capture_lines import session
from tests.support.radio_log import (
    BEGINNING_US,
    BTSNOOP_TYPES,
    acl,
    btsnoop,
    btsnoop_record,
    connected,
    packetlogger,
    pcap,
    pcapng,
)
from tests.support.strap_log import CONNECTION, STRAP, strap_air_log, strap_log

_LOG = strap_log()
_FILES = {
    **{f"btsnoop {each}": btsnoop(_LOG.packets, each) for each in BTSNOOP_TYPES},
    "pcap": pcap(_LOG.packets),
    "pcap, other byte order, nanoseconds": pcap(_LOG.packets, order=">", nanos=True),
    "pcap of btmon's packets": pcap(_LOG.packets, 254),
    "pcap without directions": pcap(_LOG.packets, 187),
    "pcapng": pcapng(_LOG.packets),
    "pcapng, other byte order": pcapng(_LOG.packets, 254, order=">"),
    "PacketLogger": packetlogger(_LOG.packets),
    "PacketLogger, other byte order": packetlogger(_LOG.packets, order=">"),
}
_NOTIFICATION = b"\x1b\x03\x00\x00\x48"


def _read(folder: Path, data: bytes) -> list[Line]:
    file = folder / "log"
    file.write_bytes(data)
    return list(read(file))


@pytest.mark.parametrize("name", _FILES)
def test_all_kinds_of_logs_give_the_same_lines(tmp_path: Path, name: str) -> None:
    start, *lines = _read(tmp_path, _FILES[name])
    assert isinstance(start, Start)
    assert start.identity == "kept"
    assert start.time.isoformat() == "2026-11-29T02:03:31.123456+00:00"
    assert lines == _LOG.expected


@pytest.mark.parametrize("kind", ["link layer", "link layer with header", "nRF Sniffer"])
def test_captures_of_the_air_give_each_value_once(tmp_path: Path, kind: str) -> None:
    log = strap_air_log()
    kinds = ("link layer", "link layer with header", "nRF Sniffer")
    _, advertised, made, *lines, ended = _read(tmp_path, log.files()[kinds.index(kind)])
    assert isinstance(advertised, Advertised)
    assert (advertised.device, advertised.name) == (STRAP, "Strap")
    assert advertised.rssi_dbm == (None if kind == "link layer" else -50)
    assert isinstance(made, Connected)
    assert made.device == STRAP
    values = [line for line in lines if isinstance(line, Notified)]
    assert [(round(each.t * 1000), each.uuid, each.value) for each in values] == [
        (number, "2a37", value) for number, value in log.values
    ]
    assert isinstance(ended, Disconnected)
    assert ended.code == 0x13
    assert not any(isinstance(line, Missing) for line in lines)


def test_captures_of_healthd_are_returned_as_they_are(tmp_path: Path) -> None:
    data = b"".join(encode(line) + b"\n" for line in session())
    assert _read(tmp_path, data) == session()


def test_notifications_are_cheap_values_with_the_same_meaning(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(_FILES["btsnoop 1002"])
    found = list(events(file))
    assert sum(isinstance(each, Value) for each in found) == sum(
        isinstance(each, Notified) for each in _LOG.expected
    )
    assert [each.line() if isinstance(each, Value) else each for each in found] == list(read(file))


def test_the_clock_of_a_log_may_be_set_or_be_impossible(tmp_path: Path) -> None:
    (made,), (value,) = (
        [connected(CONNECTION, STRAP)],
        acl(CONNECTION, _NOTIFICATION, received=True),
    )
    head = btsnoop([])
    for times in ((0, BEGINNING_US), (BEGINNING_US, 0), (BEGINNING_US, -5), (0, 2**62), (2**62, 0)):
        records = (
            btsnoop_record(bytes((packet.kind,)) + packet.data, flags, micros)
            for packet, flags, micros in zip(
                (made, value, value), (3, 1, 1), (*times, times[1]), strict=True
            )
        )
        lines = _read(tmp_path, head + b"".join(records))
        assert [line.what for line in lines] == ["start", "connected", *["notification"] * 2]
        assert all(0 <= line.t <= 1e9 for line in lines)
    assert lines[0].time.year == 9999


@pytest.mark.parametrize("name", [*_FILES, *("air 0", "air 1", "air 2")])
def test_a_file_that_was_cut_gives_what_is_before_the_cut(tmp_path: Path, name: str) -> None:
    data = strap_air_log().files()[int(name[4:])] if name.startswith("air ") else _FILES[name]
    whole = _read(tmp_path, data)
    file, lines = tmp_path / "cut", list[Line]()
    for size in range(16, len(data), 23):
        file.write_bytes(data[:size])
        lines = list[Line]()
        try:
            for line in read(file):
                lines.append(line)
        except BadCapture as error:
            assert "byte" in error.place
            assert error.problem
        assert [line.what for line in lines] == [line.what for line in whole[: len(lines)]]
    assert len(lines) >= len(whole) - 2
