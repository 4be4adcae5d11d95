"""Logs of other programs, read into the lines of a capture."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from healthd.capture import reading
from healthd.capture.files.records import Records
from healthd.capture.reading import ReadOptions, events, read
from healthd.capture.skim import skim
from healthd.capture.value import Stream, Value
from healthd.traffic.codec import BadCapture
from healthd.traffic.lines import (
    Advertised,
    Connected,
    Disconnected,
    Discovered,
    Line,
    Missing,
    MtuAgreed,
    Notified,
    Read,
    Start,
    Subscribed,
    Written,
)
from tests.support.hci_log import ADDRESS, HciLog

_DATA = Path(__file__).parent / "data"
_CONTAINERS = sorted(
    file for file in _DATA.glob("horizon-300.*") if file.suffix not in (".jsonl", ".LICENSE")
)
_SESSIONS = sorted(file for file in _DATA.glob("synthetic-hrs.*") if file.suffix != ".jsonl")

_MODES = {"notify": "0100", "indicate": "0200", "off": "0000"}


@pytest.fixture
def log() -> HciLog:
    return HciLog()


@pytest.fixture
def lines(log: HciLog, tmp_path: Path) -> Callable[..., list[Line]]:
    """Read the log, without its start."""

    def read_log(options: ReadOptions = ReadOptions()) -> list[Line]:  # noqa: B008
        return list(read(log.save(tmp_path), options))[1:]

    return read_log


def _rows(file: Path) -> list[tuple[str, str | None, str]]:
    """What the file lists as sent and written: kind, UUID, hex."""
    rows = [json.loads(text) for text in file.read_text().splitlines()]
    return [(row["op"], row["uuid"], row["hex"]) for row in rows if "op" in row]


def _row(line: Line) -> tuple[str, str | None, str] | None:
    if isinstance(line, Subscribed):
        return "write", "2902", _MODES[line.mode]
    if isinstance(line, Notified | Read | Written):
        assert line.value is not None
        return line.what, line.uuid, line.value.hex()
    return None


@pytest.mark.parametrize("file", _CONTAINERS, ids=lambda file: file.name)
def test_a_log_of_a_phone_has_the_values_that_tshark_finds(file: Path) -> None:
    found = [row for line in read(file) if (row := _row(line)) is not None]
    # tshark lists requests, and a line stands where the answer came.
    assert sorted(found) == sorted(_rows(_DATA / "horizon-300.jsonl"))


@pytest.mark.parametrize("file", _CONTAINERS, ids=lambda file: file.name)
def test_containers_with_the_same_packets_give_the_same_lines(file: Path) -> None:
    start, *found = read(file)
    assert isinstance(start, Start)
    assert found == list(read(_CONTAINERS[0]))[1:]
    assert len(found) == 171


@pytest.mark.parametrize("file", _SESSIONS, ids=lambda file: file.name)
def test_a_sniffer_hears_each_value_once(file: Path) -> None:
    found = [row for line in read(file) if (row := _row(line)) is not None]
    assert found == _rows(_DATA / "synthetic-hrs.jsonl")


def test_a_link_from_its_beginning_to_its_end(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.ask("02 f700", "03 b900")
    log.discover_strap()
    log.ask("12 0400 0100", "13")
    log.att("1b 0300 1048", received=True)
    log.ask("0a 0600", "0b 01")
    log.disconnect(0x08)
    connected, mtu, services, subscribed, notified, read_, ended = lines()
    assert isinstance(connected, Connected) and connected.device == ADDRESS
    assert isinstance(mtu, MtuAgreed) and mtu.mtu == 185
    assert isinstance(services, Discovered)
    (service,) = services.services
    rate, location = service.characteristics
    assert (service.uuid, rate.uuid, rate.handle, rate.properties) == (
        "180d",
        "2a37",
        3,
        ("notify",),
    )
    assert [(each.uuid, each.handle) for each in rate.descriptors] == [("2902", 4)]
    assert (location.uuid, location.handle, location.properties) == ("2a38", 6, ("read",))
    assert isinstance(subscribed, Subscribed)
    assert (subscribed.uuid, subscribed.handle, subscribed.mode) == ("2a37", 3, "notify")
    assert isinstance(notified, Notified) and notified.value == b"\x10\x48"
    assert isinstance(read_, Read) and (read_.uuid, read_.value) == ("2a38", b"\x01")
    assert read_.took_s == 0.001
    assert isinstance(ended, Disconnected)
    assert (ended.code, ended.reason) == (8, "connection timeout")


def test_fragments_of_two_links_are_joined(log: HciLog, lines: Callable[..., list[Line]]) -> None:
    log.connect(0x40)
    log.connect(0x41, "02:00:5E:10:00:02")
    frames = {
        handle: log.frame(
            bytes.fromhex(f"0700 0400 1b 0300 {value}"), received=True, handle=handle, sizes=(5, 3)
        )
        for handle, value in ((0x40, "01020304"), (0x41, "05060708"))
    }
    for one, other in zip(*frames.values(), strict=True):
        log.add(one, received=True)
        log.add(other, received=True)
    values = [(line.link, line.value) for line in lines() if isinstance(line, Notified)]
    assert values == [(1, bytes((1, 2, 3, 4))), (2, bytes((5, 6, 7, 8)))]


def test_a_long_value_is_read_in_parts(log: HciLog, lines: Callable[..., list[Line]]) -> None:
    log.connect()
    log.ask("0a 0300", "0b" + "11" * 22)
    log.ask("0c 0300 1600", "0d" + "22" * 22)
    log.ask("0c 0300 2c00", "0d 33")
    # As long as an answer, and nothing follows: the device refuses to read on.
    log.ask("0a 0600", "0b" + "44" * 22)
    log.ask("0c 0600 1600", "01 0c 0600 0b")
    values = [line.value for line in lines() if isinstance(line, Read)]
    assert values == [b"\x11" * 22 + b"\x22" * 22 + b"\x33", b"\x44" * 22]


def test_a_long_value_is_written_in_parts(log: HciLog, lines: Callable[..., list[Line]]) -> None:
    log.connect()
    log.ask("16 0300 0000 0102", "17 0300 0000 0102")
    log.ask("16 0300 0200 0304", "17 0300 0200 0304")
    log.ask("18 01", "19")
    (written,) = [line for line in lines() if isinstance(line, Written)]
    assert (written.handle, written.value, written.response) == (3, bytes((1, 2, 3, 4)), True)


def test_commands_indications_and_several_values_at_once(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.att("52 0300 aa", received=False)
    log.att("1d 0600 bb", received=True)
    log.att("1e", received=False)
    log.att("23 0300 0100 cc 0600 0200 dddd", received=True)
    written, indicated, one, other = lines()[1:]
    assert isinstance(written, Written) and not written.response
    assert isinstance(indicated, Notified) and indicated.confirmed
    assert isinstance(one, Notified) and (one.handle, one.value) == (3, b"\xcc")
    assert isinstance(other, Notified) and (other.handle, other.value) == (6, b"\xdd\xdd")


def test_refusals_and_requests_without_an_answer(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.ask("0a 0300", "01 0a 0300 02")
    log.ask("12 0600 01", "01 12 0600 80")
    log.att("12 0600 02", received=False)
    log.disconnect(0x13)
    refused, rejected, unanswered = lines()[1:4]
    assert isinstance(refused, Read) and refused.value is None
    assert (refused.error, refused.code) == ("read not permitted", 2)
    assert isinstance(rejected, Written)
    assert (rejected.value, rejected.error, rejected.code) == (
        b"\x01",
        "application error 0x80",
        128,
    )
    assert isinstance(unanswered, Written)
    assert unanswered.error == "the link ended before the answer"


def test_bluez_subscribes_without_asking_for_descriptors(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.ask("10 0100 ffff 0028", "11 06 0100 0400 0d18")
    log.ask("08 0100 0400 0328", "09 07 0200 10 0300 372a")
    log.ask("12 0400 0100", "13")
    _, services, subscribed = lines()
    assert isinstance(services, Discovered)
    assert services.services[0].characteristics[0].descriptors[0].handle == 4
    assert isinstance(subscribed, Subscribed) and subscribed.uuid == "2a37"


def test_what_was_discovered_on_an_earlier_link_is_remembered(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.discover_strap()
    log.disconnect(0x13)
    log.connect(0x41)
    log.att("1b 0300 1048", received=True, handle=0x41)
    services, notified = lines()[-2:]
    assert isinstance(services, Discovered) and services.link == 2
    assert isinstance(notified, Notified) and notified.uuid == "2a37"


def test_a_log_that_begins_during_a_link_takes_the_users_word(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.att("1b 0300 1048", received=True)
    log.ask("12 0400 0100", "13")
    log.att("1b 0900 01", received=True)
    connected, notified, subscribed, other = lines(ReadOptions({3: "2a37"}))
    assert isinstance(connected, Connected) and connected.joined
    assert isinstance(notified, Notified) and notified.uuid == "2a37"
    assert isinstance(subscribed, Subscribed) and subscribed.uuid == "2a37"
    assert isinstance(other, Notified) and other.uuid is None


def test_the_attributes_of_the_phone_itself_are_left_out(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.att("0a 0300", received=True)
    log.att("0b 01", received=False)
    log.att("1b 0300 02", received=False)
    assert [line.what for line in lines()] == ["connected"]


def test_links_of_bluetooth_classic_are_left_out(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    # Connection Complete (Vol 4, Part E, 7.7.3).
    log.event(0x03, bytes.fromhex("00 4000 010000105e02 01 00"))
    log.att("1b 0300 1048", received=True)
    assert lines() == []


def test_advertisements_and_the_structures_that_fit(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    data = bytes.fromhex("020106 03030d18 0409484952 05ff5701aabb 04160f1864 20ff00")
    report = bytes((2, 1, 0, 1)) + bytes.fromhex("01 00 10 5e 00 02") + bytes((len(data),))
    log.event(0x3E, report + data + b"\xc4")
    # Extended, in two reports (7.7.65.13): more follows, then complete.
    head = "01 10 5e 00 02"
    for kind, part in (("2000", "0509"), ("0000", "48523132")):
        size = len(part) // 2
        fixed = f"{kind} 01 03 {head} 01 00 05 7f ce 0000 00 000000000000 {size:02x} {part}"
        log.event(0x3E, bytes.fromhex("0d 01" + fixed))
    legacy, extended = lines()
    assert isinstance(legacy, Advertised)
    assert (legacy.name, legacy.rssi_dbm, legacy.services) == ("HIR", -60, ("180d",))
    assert legacy.manufacturer_data == {"0157": b"\xaa\xbb"}
    assert legacy.service_data == {"180f": b"\x64"}
    assert isinstance(extended, Advertised)
    assert (extended.name, extended.rssi_dbm) == ("HR12", -50)


def test_what_the_logging_program_left_out_is_said(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    packet = log.frame(bytes.fromhex("0500 0400 1b 0300 1048"), received=True)[0]
    log.add(packet[:12], received=True, original=len(packet))
    log.add(packet, received=True, drops=3)
    _, cut, dropped, notified = lines()
    assert isinstance(cut, Missing) and cut.reason.startswith("packet 2 at byte 62: the log has 11")
    assert isinstance(dropped, Missing) and dropped.count == 3
    assert isinstance(notified, Notified)


def test_a_frame_without_its_beginning_is_named(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    _, rest = log.frame(bytes.fromhex("0500 0400 1b 0300 1048"), received=True, sizes=(4,))
    log.add(rest, received=True)
    log.att("13", received=True)
    _, lost, unasked = lines()
    assert isinstance(lost, Missing) and lost.reason.startswith("packet 2 at byte")
    assert isinstance(unasked, Missing) and "without its request" in unasked.reason


def test_a_packet_that_is_too_short_is_named(log: HciLog, lines: Callable[..., list[Line]]) -> None:
    log.connect()
    log.att("1b 03", received=True)
    _, missing = lines()
    assert isinstance(missing, Missing)
    assert missing.reason.startswith("packet 2 at byte 62: it cannot be read")


def test_a_truncated_file_is_read_to_its_damage(log: HciLog, tmp_path: Path) -> None:
    log.connect()
    log.att("1b 0300 1048", received=True)
    file = log.save(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    found = read(file)
    assert [next(found).what, next(found).what] == ["start", "connected"]
    with pytest.raises(BadCapture) as caught:
        next(found)
    assert str(caught.value) == "packet 2 at byte 62: the file ends after 13 of 14 bytes"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "byte 0: an empty file, expected a capture of healthd"),
        (b"\x1f\x8b\x08\x00 gzip", "byte 0: a file that begins with 1f8b0800"),
        (b"btsnoop\0\0\0\0\2\0\0\3\xea", "byte 8: btsnoop version 2, expected 1"),
        (b"btsnoop\0\0\0\0\1\0\0\0\1", "byte 12: btsnoop of type 1, expected one of 1001"),
        (bytes.fromhex("d4c3b2a1") + bytes(16) + b"\1\0\0\0", "byte 20: link type 1, expected"),
    ],
    ids=["empty", "gzip", "version", "type", "ethernet"],
)
def test_a_foreign_file_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(BadCapture) as caught:
        list(read(file))
    assert str(caught.value).startswith(problem)


def test_skimmed_values_are_those_of_the_slow_way(
    log: HciLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.connect()
    log.discover_strap()
    for number in range(300):
        log.att(f"1b 0300 10{number % 256:02x}", received=True, sizes=(3,) if number % 7 else ())
        if number % 50 == 0:
            log.ask("0a 0600", "0b 01")
        if number == 150:
            log.disconnect(0x13)
            log.connect(0x40, "02:00:5E:10:00:02")
    for number in range(300):
        log.att(f"1b 0300 10{number % 256:02x}", received=True)
    file = log.save(tmp_path)
    skimmed: list[Value] = []

    def watched(records: Records, streams: Mapping[int, Stream]) -> list[Value]:
        found = skim(records, streams)
        skimmed.extend(found)
        return found

    def nothing(_records: Records, _streams: Mapping[int, Stream]) -> list[Value]:
        return []

    monkeypatch.setattr(reading, "skim", watched)
    fast = list(read(file))
    assert len(skimmed) > 300
    monkeypatch.setattr(reading, "skim", nothing)
    assert list(read(file)) == fast


def test_a_clock_that_was_set_during_the_log_gives_possible_times(
    log: HciLog, lines: Callable[..., list[Line]]
) -> None:
    log.connect()
    log.att("1b 0300 1048", received=True)
    log.records[0] = log.records[0][:16] + (0x00DCDDB30F2F8000).to_bytes(8) + log.records[0][24:]
    connected, notified = lines()
    assert connected.time.year == 1970
    assert notified.time.year == 2026 and notified.t == 1e9


def test_progress_is_reported_up_to_the_end(log: HciLog, tmp_path: Path) -> None:
    log.connect()
    file = log.save(tmp_path)
    reported: list[int] = []
    list(events(file, on_progress=reported.append))
    assert reported[-1] == file.stat().st_size
