"""Links and frames in logs of HCI (Core Specification 5.4, Vol 4, Part E, and Vol 3, Part A)."""

import struct
from pathlib import Path

import pytest

from healthd.capture.reading import read
from healthd.traffic.lines import (
    Advertised,
    Connected,
    ConnectFailed,
    Disconnected,
    Line,
    Notified,
)
from tests.support.radio_log import (
    ACL,
    Packet,
    acl,
    advertising,
    btsnoop,
    connected,
    disconnected,
    event,
    raw_address,
    structure,
)

_STRAP, _OTHER = "C0:11:22:33:44:55", "C0:11:22:33:44:66"
_CONNECTION = 0x0040
_ATT_CHANNEL, _SMP_CHANNEL = 4, 6
_VALUE = b"\x1b\x03\x00\x00\x48"


def _lines(folder: Path, packets: list[Packet]) -> list[Line]:
    file = folder / "log"
    file.write_bytes(btsnoop(packets))
    return list(read(file))[1:]


def _values(lines: list[Line]) -> list[tuple[str, int, bytes]]:
    return [(each.device, each.link, each.value) for each in lines if isinstance(each, Notified)]


def _notified(value: bytes, *, connection: int = _CONNECTION, fragment: int = 251) -> list[Packet]:
    return acl(connection, b"\x1b\x03\x00" + value, received=True, fragment=fragment)


def test_links_are_distinguished_by_their_handles(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP), connected(_CONNECTION + 1, _OTHER)]
    packets += _notified(b"\x00\x01") + _notified(b"\x00\x02", connection=_CONNECTION + 1)
    packets += [disconnected(_CONNECTION, 0x13), connected(_CONNECTION, _OTHER)]
    packets += _notified(b"\x00\x03")
    assert _values(_lines(tmp_path, packets)) == [
        (_STRAP, 1, b"\x00\x01"),
        (_OTHER, 2, b"\x00\x02"),
        (_OTHER, 3, b"\x00\x03"),
    ]


@pytest.mark.parametrize("subevent", [0x01, 0x0A, 0x29])
def test_all_events_of_a_new_link_are_understood(tmp_path: Path, subevent: int) -> None:
    parameters = struct.pack("<BBHBB", subevent, 0, _CONNECTION, 0, 1) + raw_address(_STRAP)
    # The enhanced ones have two private addresses next, version 2 has two handles at its end.
    parameters += b"" if subevent == 0x01 else bytes(12)
    parameters += struct.pack("<HHHB", 24, 0, 72, 0)
    parameters += bytes.fromhex("ff0000") if subevent == 0x29 else b""
    (line,) = _lines(tmp_path, [event(0x3E, parameters)])
    assert isinstance(line, Connected)
    assert (line.device, line.link, line.joined) == (_STRAP, 1, False)


def test_a_failed_link_has_its_reason_and_a_cancelled_one_is_no_failure(tmp_path: Path) -> None:
    packets = [connected(0, _STRAP, status=0x3E), connected(0, "00:00:00:00:00:00", status=0x02)]
    (line,) = _lines(tmp_path, packets)
    assert isinstance(line, ConnectFailed)
    assert (line.device, line.error) == (_STRAP, "connection failed to be established")


def test_interleaved_fragments_of_two_links_are_joined(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP), connected(_CONNECTION + 1, _OTHER)]
    first = _notified(b"\x00" * 20, fragment=8)
    second = _notified(b"\x01" * 20, connection=_CONNECTION + 1, fragment=8)
    packets += [packet for pair in zip(first, second, strict=True) for packet in pair]
    assert _values(_lines(tmp_path, packets)) == [
        (_STRAP, 1, b"\x00" * 20),
        (_OTHER, 2, b"\x01" * 20),
    ]


def test_fragments_in_both_directions_of_a_link_are_joined(tmp_path: Path) -> None:
    there = acl(_CONNECTION, b"\x52\x05\x00" + bytes(20), received=False, fragment=8)
    back = _notified(bytes(20), fragment=8)
    packets = [connected(_CONNECTION, _STRAP)]
    packets += [packet for pair in zip(there, back, strict=True) for packet in pair]
    assert [line.what for line in _lines(tmp_path, packets)] == [
        "connected",
        "write",
        "notification",
    ]


def test_a_frame_without_its_end_is_missing_and_the_next_one_is_read(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP)]
    packets += _notified(bytes(20), fragment=8)[:-1]
    packets += _notified(b"\x00\x48", fragment=8)
    lines = _lines(tmp_path, packets)
    assert [line.what for line in lines] == ["connected", "missing", "notification"]
    assert _values(lines) == [(_STRAP, 1, b"\x00\x48")]


def test_a_fragment_without_its_beginning_is_missing(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP), *_notified(bytes(20), fragment=8)[1:]]
    packets += _notified(b"\x00\x48")
    lines = _lines(tmp_path, packets)
    assert {line.what for line in lines[1:-1]} == {"missing"}
    assert _values(lines) == [(_STRAP, 1, b"\x00\x48")]


def test_other_channels_and_classic_links_are_left_out(tmp_path: Path) -> None:
    # Connection Complete of Classic: status, handle, address, link type ACL, no encryption.
    classic = event(0x03, struct.pack("<BH", 0, 0x0009) + raw_address(_OTHER) + b"\x01\x00")
    packets = [connected(_CONNECTION, _STRAP), classic]
    packets += acl(_CONNECTION, _VALUE, received=True, channel=_SMP_CHANNEL)
    packets += acl(0x0009, _VALUE, received=True, channel=_ATT_CHANNEL)
    assert [line.what for line in _lines(tmp_path, packets)] == ["connected"]


def test_what_the_host_notifies_as_a_device_itself_is_left_out(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP), *acl(_CONNECTION, _VALUE, received=False)]
    packets += acl(_CONNECTION, b"\x0a\x03\x00", received=True)  # the strap reads a name of a phone
    packets += acl(_CONNECTION, b"\x0bphone", received=False)
    assert [line.what for line in _lines(tmp_path, packets)] == ["connected"]


def test_a_host_in_the_role_of_the_peripheral_is_the_device(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP, role=1), *acl(_CONNECTION, _VALUE, received=False)]
    assert len(_values(_lines(tmp_path, packets))) == 1


def test_the_end_of_a_link_that_failed_to_end_is_no_end(tmp_path: Path) -> None:
    failed = event(0x05, struct.pack("<BHB", 0x02, _CONNECTION, 0x13))
    packets = [connected(_CONNECTION, _STRAP), failed, *_notified(b"\x00\x48")]
    packets += [disconnected(_CONNECTION, 0x13)]
    made, value, ended = _lines(tmp_path, packets)
    assert isinstance(made, Connected)
    assert isinstance(value, Notified)
    assert isinstance(ended, Disconnected)
    assert (ended.reason, ended.code) == ("remote user terminated the connection", 0x13)


def test_a_link_whose_end_was_not_logged_is_followed_by_another(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP), connected(_CONNECTION, _OTHER)]
    packets += _notified(b"\x00\x48")
    assert [line.what for line in _lines(tmp_path, packets)] == [
        *("connected", "missing", "connected", "notification")
    ]


def test_advertisements_in_one_report_and_in_several(tmp_path: Path) -> None:
    data = structure(0x09, b"Long name") + structure(0x16, bytes.fromhex("d2fc40")) * 3
    pieces = (data[:10], data[10:20], data[20:])
    reports = [
        event(
            0x3E,
            # Type: connectable, and in bits 5 and 6 whether more data comes.
            struct.pack("<BBHB", 0x0D, 1, 0x0001 | (0x20 if number < 2 else 0), 1)
            + raw_address(_STRAP)
            + struct.pack("<BBBbbHB", 1, 0, 1, 127, -70, 0, 0)
            + raw_address("00:00:00:00:00:00")
            + bytes((len(piece),))
            + piece,
        )
        for number, piece in enumerate(pieces)
    ]
    whole, joined = _lines(tmp_path, [advertising(_STRAP, data, 127), *reports])
    assert isinstance(whole, Advertised)
    assert isinstance(joined, Advertised)
    # 127 says that the strength is not known.
    assert (whole.rssi_dbm, joined.rssi_dbm) == (None, -70)
    for line in (whole, joined):
        assert (line.name, line.service_data) == ("Long name", {"fcd2": b"\x40"})


def test_acl_data_of_the_wrong_length_is_missing(tmp_path: Path) -> None:
    short = Packet(ACL, True, struct.pack("<HH", _CONNECTION | 2 << 12, 50) + b"\x05\x00\x04\x00")
    packets = [connected(_CONNECTION, _STRAP), short, *_notified(b"\x00\x48")]
    assert [line.what for line in _lines(tmp_path, packets)] == [
        *("connected", "missing", "notification")
    ]
