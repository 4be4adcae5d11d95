"""Requests and answers of ATT (Core Specification 5.4, Vol 3, Part F, section 3.4)."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from healthd.capture.reading import read
from healthd.traffic.lines import Discovered, Line, Missing, MtuAgreed, Read, Written
from tests.support.radio_log import Packet, acl, btsnoop, connected, disconnected

_STRAP, _CONNECTION = "C0:11:22:33:44:55", 0x0040
_REQUESTS = frozenset((0x02, 0x04, 0x06, 0x08, 0x0A, 0x0C, 0x0E, 0x10, 0x12, 0x16, 0x18, 0x20))
_COMMANDS = frozenset((0x52, 0xD2, 0x1E))


def _packets(texts: Iterable[str]) -> list[Packet]:
    pdus = [bytes.fromhex(text) for text in texts]
    return [
        packet
        for pdu in pdus
        for packet in acl(_CONNECTION, pdu, received=pdu[0] not in _REQUESTS | _COMMANDS)
    ]


def _lines(folder: Path, *texts: str, ended: bool = False) -> list[Line]:
    """Return what PDUs in hex digits mean, after the start and the link."""
    packets = [connected(_CONNECTION, _STRAP), *_packets(texts)]
    file = folder / "log"
    file.write_bytes(btsnoop(packets + [disconnected(_CONNECTION, 0x13)] * ended))
    return list(read(file))[2:]


def _read_values(lines: list[Line]) -> list[tuple[int, bytes | None]]:
    return [(line.handle, line.value) for line in lines if isinstance(line, Read)]


@pytest.mark.parametrize(
    ("asked", "answered", "mtu"),
    [("0002", "1700", 23), ("0002", "f700", 247), ("1700", "0002", 23), ("0a00", "0a00", 23)],
)
def test_the_mtu_is_the_smaller_offer_and_at_least_23(
    tmp_path: Path, asked: str, answered: str, mtu: int
) -> None:
    (line,) = _lines(tmp_path, f"02{asked}", f"03{answered}")
    assert isinstance(line, MtuAgreed)
    assert line.mtu == mtu


def test_an_answer_without_its_request_is_missing(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, "0b4142")
    assert isinstance(line, Missing)
    assert "0x0b" in line.reason


def test_a_read_value_that_just_fills_an_answer_is_whole_without_more(tmp_path: Path) -> None:
    value = "41" * 22
    # The next request shows that the value had no more bytes; or an error says it.
    lines = _lines(tmp_path, "0a0300", f"0b{value}", "0a0500", "0b42")
    assert _read_values(lines) == [(3, b"A" * 22), (5, b"B")]
    lines = _lines(tmp_path, "0a0300", f"0b{value}", "0c03001600", "010c03000b")
    assert _read_values(lines) == [(3, b"A" * 22)]
    lines = _lines(tmp_path, "0a0300", f"0b{value}", "0c03001600", "0d")
    assert _read_values(lines) == [(3, b"A" * 22)]
    assert _read_values(_lines(tmp_path, "0a0300", f"0b{value}", ended=True)) == [(3, b"A" * 22)]


def test_values_that_are_read_by_uuid_have_it(tmp_path: Path) -> None:
    # Two device names of three bytes; each entry has a handle and a value.
    lines = _lines(tmp_path, "080100ffff002a", "090503004142430900444546")
    found = [(line.uuid, line.handle, line.value) for line in lines if isinstance(line, Read)]
    assert found == [("2a00", 3, b"ABC"), ("2a00", 9, b"DEF")]


def test_values_of_variable_length_that_are_read_together(tmp_path: Path) -> None:
    lines = _lines(tmp_path, "2003000500", "21020041420300434445")
    assert _read_values(lines) == [(3, b"AB"), (5, b"CDE")]
    # The last one is cut at the MTU.
    lines = _lines(tmp_path, "2003000500", "2102004142090043")
    assert _read_values(lines) == [(3, b"AB")]


def test_a_signed_command_is_written_without_its_signature(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, "d203004142" + "99" * 12)
    assert isinstance(line, Written)
    assert (line.handle, line.value, line.response) == (3, b"AB", False)


def test_prepared_values_are_discarded_if_the_central_cancels_them(tmp_path: Path) -> None:
    prepared = ("160300000041", "170300000041")
    assert _lines(tmp_path, *prepared, "1800", "19") == []
    (line,) = _lines(tmp_path, *prepared, "1800", "19", *prepared, "1801", "19")
    assert isinstance(line, Written)
    assert (line.handle, line.value, line.response) == (3, b"A", True)


def test_prepared_values_of_several_attributes_are_written_together(tmp_path: Path) -> None:
    first, second = "0300000041", "0500000042"
    lines = _lines(tmp_path, f"16{first}", f"17{first}", f"16{second}", f"17{second}", "1801", "19")
    assert [(line.handle, line.value) for line in lines if isinstance(line, Written)] == [
        (3, b"A"),
        (5, b"B"),
    ]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("02", "read not permitted"),
        ("05", "insufficient authentication"),
        ("0a", "attribute not found"),
        ("81", "application error 0x81"),
        ("fd", "CCCD improperly configured"),
    ],
)
def test_a_refusal_has_its_code_and_its_meaning(tmp_path: Path, code: str, text: str) -> None:
    (line,) = _lines(tmp_path, "0a0300", f"010a0300{code}")
    assert isinstance(line, Read)
    assert (line.handle, line.value, line.error, line.code) == (3, None, text, int(code, 16))


def test_a_request_without_an_answer_failed_when_the_link_ended(tmp_path: Path) -> None:
    line, _ = _lines(tmp_path, "12030041", ended=True)
    assert isinstance(line, Written)
    assert (line.handle, line.value) == (3, b"A")
    assert line.error is not None


def test_services_that_are_found_by_their_uuid(tmp_path: Path) -> None:
    # Find By Type Value: primary services with the UUID 180d; then its characteristic.
    lines = _lines(
        tmp_path,
        "060100ffff00280d18",
        "0710001400",
        "08100014000328",
        "09071100121200372a",
        "0a1200",
        "0b00",
    )
    assert isinstance(lines[0], Discovered)
    (service,) = lines[0].services
    assert (service.uuid, service.handle) == ("180d", 16)
    (characteristic,) = service.characteristics
    assert (characteristic.uuid, characteristic.handle) == ("2a37", 18)
    assert characteristic.properties == ("read", "notify")


def test_a_changed_device_has_its_services_again(tmp_path: Path) -> None:
    find = ("100100ffff0028", "110601000a000d18", "1b030041")
    again = ("100b00ffff0028", "11060b000f000f18", "1b030042")
    lines = _lines(tmp_path, *find, *again)
    assert [line.what for line in lines] == ["services", "notification"] * 2
    assert [
        [each.uuid for each in line.services] for line in lines if isinstance(line, Discovered)
    ] == [["180d"], ["180d", "180f"]]


def test_what_is_known_of_a_device_is_known_on_its_next_link(tmp_path: Path) -> None:
    packets = [connected(_CONNECTION, _STRAP), *_packets(["0403000300", "05010300372a"])]
    packets += [disconnected(_CONNECTION, 0x13), connected(_CONNECTION + 1, _STRAP)]
    packets += acl(_CONNECTION + 1, b"\x1b\x03\x00\x00\x48", received=True)
    file = tmp_path / "log"
    file.write_bytes(btsnoop(packets))
    *_, value = read(file)
    assert value.model_dump(include={"link", "uuid", "handle"}) == {
        "link": 2,
        "uuid": "2a37",
        "handle": 3,
    }


@pytest.mark.parametrize(
    "pdus",
    [
        ("1b03",),  # a notification that is too short for its handle
        ("1b000041",),  # of handle 0, which no attribute has
        ("230300090041",),  # a value that is shorter than its length
        ("080100ffff0328", "0900"),  # entries of no bytes
        ("080100ffff0328", "0903010203"),  # entries too short for a characteristic
        ("100100ffff0028", "110701000a000d1800"),  # a UUID of three bytes
        ("080100ffff", "0903010041"),  # a request without a UUID
        ("02", "031700"),  # an offer without a number
        ("0a", "0b41"),  # a request without a handle
    ],
)
def test_a_damaged_pdu_is_missing_and_the_next_one_is_read(
    tmp_path: Path, pdus: tuple[str, ...]
) -> None:
    *before, last = _lines(tmp_path, *pdus, "1b03000048")
    assert last.what == "notification"
    assert before
    assert all(isinstance(line, Missing) for line in before)
