"""Links in captures of the air (Core Specification 5.4, Vol 6, Part B, sections 2.3 and 2.4)."""

from pathlib import Path

from healthd.capture.reading import read
from healthd.traffic.lines import Connected, Line, Missing, Notified
from tests.support.air_log import (
    CONTINUES,
    CONTROL,
    LINK_LAYER,
    LINK_LAYER_PHDR,
    AirLink,
    advertisement,
    connection,
    with_header,
)
from tests.support.radio_log import pcap_of, structure
from tests.support.strap_log import PHONE, STRAP

_ACCESS, _CRC_START = 0x50655DA2, 0x9A8B7C
_VALUE = b"\x1b\x03\x00\x00\x48"


def _lines(folder: Path, packets: list[bytes], link_type: int = LINK_LAYER) -> list[Line]:
    file = folder / "log"
    file.write_bytes(pcap_of(packets, link_type))
    return list(read(file))[1:]


def _link() -> tuple[AirLink, list[bytes]]:
    return AirLink(_ACCESS, _CRC_START), [connection(PHONE, STRAP, _ACCESS, _CRC_START)]


def _event(link: AirLink, value: bytes) -> list[bytes]:
    """Return a connection event: an empty packet of the central, and a value."""
    empty = link.data(CONTINUES, b"", from_device=False)
    return [empty, *link.att(b"\x1b\x03\x00" + value, from_device=True)]


def _damaged(packet: bytes) -> bytes:
    return packet[:-4] + bytes((packet[-4] ^ 1,)) + packet[-3:]


def _values(lines: list[Line]) -> list[bytes]:
    return [line.value for line in lines if isinstance(line, Notified)]


def test_what_was_heard_with_an_error_is_left_out(tmp_path: Path) -> None:
    heard = advertisement(STRAP, structure(0x09, b"Strap"))
    link, packets = _link()
    packets += [_damaged(heard), heard]
    empty, value = _event(link, b"\x00\x48")
    # The device sends again what was not acknowledged.
    packets += [empty, _damaged(value), empty, value]
    lines = _lines(tmp_path, packets)
    assert [line.what for line in lines] == ["connected", "advertisement", "notification"]


def test_equal_values_in_a_row_are_no_repetitions(tmp_path: Path) -> None:
    link, packets = _link()
    for _ in range(3):
        packets += _event(link, b"\x00\x48")
    assert _values(_lines(tmp_path, packets)) == [b"\x00\x48"] * 3


def test_an_encrypted_link_is_said_once_and_has_no_values(tmp_path: Path) -> None:
    link, packets = _link()
    packets += _event(link, b"\x00\x48")
    # LL_START_ENC_REQ, then what no one can read without the key.
    packets += [link.data(CONTROL, b"\x05", from_device=True)]
    packets += [link.data(2, bytes(20), from_device=True) for _ in range(5)]
    made, value, missing = _lines(tmp_path, packets)
    assert isinstance(made, Connected)
    assert isinstance(value, Notified)
    assert isinstance(missing, Missing)
    assert "encrypted" in missing.reason


def test_a_link_whose_beginning_was_not_heard_is_joined(tmp_path: Path) -> None:
    link = AirLink(_ACCESS, _CRC_START)
    packets = [with_header(each, from_device=True) for each in _event(link, b"\x00\x48")[1:]]
    made, value = _lines(tmp_path, packets, LINK_LAYER_PHDR)
    assert isinstance(made, Connected)
    assert made.joined
    assert isinstance(value, Notified)
    assert value.value == b"\x00\x48"


def test_two_links_at_a_time(tmp_path: Path) -> None:
    first, packets = _link()
    second = AirLink(_ACCESS ^ 0xFF, _CRC_START + 1)
    other = "C0:11:22:33:44:66"
    packets.append(connection(PHONE, other, second.access, second.start))
    packets += _event(first, b"\x00\x01") + _event(second, b"\x00\x02") + _event(first, b"\x00\x03")
    lines = _lines(tmp_path, packets)
    assert [(line.device, line.value) for line in lines if isinstance(line, Notified)] == [
        (STRAP, b"\x00\x01"),
        (other, b"\x00\x02"),
        (STRAP, b"\x00\x03"),
    ]
