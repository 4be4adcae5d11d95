"""The rings of Wellue and Viatom: live values, stored nights, and what they do wrong."""

import random
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import DecodeError
from healthd.profiles.battery import Battery
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.profile import is_named
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.records import Records
from healthd.profiles.vendor.o2ring import PROFILE, framing, live, nights
from healthd.profiles.vendor.o2ring.dialogue import open_ring, poll_ring
from healthd.samples import Record, Taken
from healthd.simulator.vendor.o2ring import (
    READ,
    REAL_TIME,
    SENSORS,
    Ring,
    Value,
    frame,
    stored_night,
)
from tests.unit.profiles.vendor.ring_talk import Talk

START = datetime(2026, 1, 31, 22, 33, 40)  # noqa: DTZ001 - the ring's clock has no zone
NAME, OLDER = "20260131223340", "20260130221500"
# A night of ten hours with a record every 2 s.
WHOLE_NIGHT = 18_000


class Disk:
    """Stands for the outbox: notes of records, stored with their samples and before changes."""

    def __init__(self) -> None:
        self.rows: dict[Taken, bool] = {}
        self.most = 0
        self._changes: list[Collection[Taken]] = []

    def settle(self, gone: Collection[Taken], whole: Mapping[Taken, bool]) -> None:
        assert not whole
        self._changes.append(gone)

    def store(self, samples: list[Timed]) -> None:
        for timed in samples:
            if timed.record is not None:
                self.rows.setdefault((timed.measurement.kind, timed.record), False)
        self.most = max(self.most, len(self.rows))
        for taken in (taken for gone in self._changes for taken in gone):
            self.rows.pop(taken, None)
        self._changes.clear()

    def options(self) -> Options:
        """Return the options of a new run of the daemon."""
        records = Records(self.settle)
        records.inherit(self.rows)
        return Options(records=records)

    def talk(self, ring: Ring, options: Options | None = None) -> "Stored":
        return Stored(ring, options or self.options(), self)


class Stored(Talk):
    """A link whose samples are stored at once."""

    def __init__(self, ring: Ring, options: Options, disk: Disk) -> None:
        super().__init__(ring, options)
        self._disk = disk

    def _hear(self, frame: bytes) -> None:
        before = len(self.samples)
        super()._hear(frame)
        self._disk.store(self.samples[before:])


def values(count: int, seed: int = 1) -> list[Value]:
    rng = random.Random(seed)
    return [(rng.randint(80, 99), rng.randint(45, 80), rng.randrange(256)) for _ in range(count)]


def ring(**files: bytes) -> Ring:
    return Ring(random.Random(3), {name.removeprefix("_"): file for name, file in files.items()})


def one_night(count: int, step_s: int = 4) -> Ring:
    return Ring(random.Random(3), {NAME: stored_night(START, values(count), step_s)})


def stored(talk: Talk) -> list[Record]:
    return [timed.record for timed in talk.samples if timed.record is not None]


def live_values(talk: Talk) -> list[dict[str, Any]]:
    return [
        timed.measurement.fields()
        for timed in talk.samples
        if timed.record is None and isinstance(timed.measurement, PulseOximeter)
    ]


def test_live_values_of_the_old_form() -> None:
    found = live.decode_live(framing.parse(bytes.fromhex(PACKET)).data)
    assert found.worn
    assert found.oximetry.fields() == {
        "spo2_pct": 97.0,
        "pulse_rate_bpm": 72.0,
        "pulse_amplitude_index_pct": 5.4,
        "movement": 3,
        "measurement_status": [],
        "device_status": [],
    }
    assert found.battery == Battery(level_pct=80, charging=False)


PACKET = "5500ff00000d00614800000000005000033601001f"


# Data of live values in the comments of o2r's o2state.py.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("624200000000006100920a0100", (98.0, 66.0, 1.0, 146, 97, False, True)),
        ("ffffff00000000600005000000", (None, None, None, 5, 96, False, False)),
        ("ffffff00000000620100000000", (None, None, None, 0, 98, True, False)),
    ],
)
def test_live_values_from_a_log(data: str, expected: tuple[object, ...]) -> None:
    found = live.decode_live(bytes.fromhex(data))
    oximetry, battery = found.oximetry, found.battery
    assert expected == (
        oximetry.spo2_pct,
        oximetry.pulse_rate_bpm,
        oximetry.pulse_amplitude_index_pct,
        oximetry.movement,
        battery.level_pct,
        battery.charging,
        found.worn,
    )


def real_time(**changed: int) -> bytes:
    fields = {
        "spo2": 97,
        "low": 72,
        "high": 0,
        "battery": 80,
        "charging": 0,
        "perfusion": 54,
        "worn": 1,
    }
    assert changed.keys() <= fields.keys()
    return bytes([*{**fields, **changed}.values(), 0, 0, 0, 4, 0, 90, 91, 156, 93])


def test_live_values_of_the_new_form() -> None:
    found = live.decode_live(real_time())
    assert found.oximetry.fields() == {
        "spo2_pct": 97.0,
        "pulse_rate_bpm": 72.0,
        "pulse_amplitude_index_pct": 5.4,
        "measurement_status": [],
        "device_status": [],
    }
    assert found.battery == Battery(level_pct=80, charging=False)
    assert live.decode_live(real_time() + b"\0") == found


def test_a_ring_of_the_old_form_that_is_not_worn_announces_no_wave() -> None:
    off = bytes.fromhex("ffffff00000000600005000000")
    assert not framing.is_real_time(off)
    assert framing.is_real_time(real_time())
    assert not framing.is_real_time(real_time()[:-1])


def nulls(data: bytes) -> set[str]:
    fields = live.decode_live(data).oximetry.fields()
    return {key for key, value in fields.items() if value is None}


def test_what_is_not_a_value_is_null() -> None:
    all_three = {"spo2_pct", "pulse_rate_bpm", "pulse_amplitude_index_pct"}
    assert nulls(real_time()) == set()
    assert nulls(real_time(worn=0)) == all_three
    assert nulls(real_time(worn=2)) == all_three
    assert nulls(real_time(spo2=0, low=0)) == all_three
    assert nulls(real_time(spo2=0xFF, low=0xFF, high=0xFF)) == {"spo2_pct", "pulse_rate_bpm"}
    assert nulls(real_time(spo2=101)) == {"spo2_pct"}
    assert nulls(real_time(low=0xFF)) == {"pulse_rate_bpm"}
    assert nulls(real_time(perfusion=0xFF)) == {"pulse_amplitude_index_pct"}
    assert live.decode_live(real_time(battery=101)).battery.level_pct is None


def test_words_for_why_there_is_no_value() -> None:
    off = live.decode_live(real_time(worn=0)).oximetry
    assert (off.measurement_status, off.device_status) == ([], ["not_on_user"])
    looking = live.decode_live(real_time(spo2=0, low=0)).oximetry
    assert (looking.measurement_status, looking.device_status) == (["calibrating"], [])


@given(data=st.binary(max_size=40))
def test_any_live_values_are_read_or_refused(data: bytes) -> None:
    try:
        found = live.decode_live(data)
    except DecodeError:
        return
    assert found.oximetry.spo2_pct is None or 0 < found.oximetry.spo2_pct <= 100


@given(pieces=st.lists(st.binary(max_size=30), max_size=6))
def test_any_pieces_are_joined_or_refused(pieces: list[bytes]) -> None:
    join = framing.RingFraming(frozenset()).join
    for piece in pieces:
        try:
            frames = join(framing.NOTIFY, piece)
        except DecodeError:
            continue
        assert all(framing.parse(frame).answer for frame in frames)


def test_pieces_are_joined_at_any_size() -> None:
    whole = bytes.fromhex(PACKET)
    for size in range(1, len(whole) + 1):
        join = framing.RingFraming(frozenset()).join
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        joined = [list(join(framing.NOTIFY, piece)) for piece in pieces]
        assert joined == [[]] * (len(pieces) - 1) + [[whole]]


def test_a_lost_piece_spoils_one_answer_only() -> None:
    whole = bytes.fromhex(PACKET)
    talk = framing.RingFraming(frozenset())
    assert not talk.join(framing.NOTIFY, whole[:20])
    with pytest.raises(DecodeError, match="checksum"):
        talk.join(framing.NOTIFY, whole[:20])
    assert not talk.join(framing.NOTIFY, whole[:20])
    talk.cut(framing.request(SENSORS))
    assert list(talk.join(framing.NOTIFY, whole)) == [whole]


def test_an_answer_fits_its_request_only() -> None:
    def answer(data: bytes, block: int = 0, status: int = 0) -> bytes:
        body = bytes([0x55, status, status ^ 0xFF, *block.to_bytes(2, "little")])
        body += len(data).to_bytes(2, "little") + data
        return body + bytes([framing.crc_8(body)])

    old, new = bytes.fromhex(PACKET), answer(real_time())
    assert framing.answers(framing.request(SENSORS), old)
    assert not framing.answers(framing.request(REAL_TIME, b"\0"), old)
    assert framing.answers(framing.request(REAL_TIME, b"\0"), new)
    assert not framing.answers(framing.request(SENSORS), new)
    assert framing.answers(framing.request(READ, block=3), answer(b"x", block=3))
    assert not framing.answers(framing.request(READ, block=3), answer(b"x", block=2))
    assert framing.answers(framing.request(REAL_TIME, b"\0"), answer(b"", status=1))
    assert not framing.answers(framing.request(SENSORS), framing.request(SENSORS))


def test_at_first_there_are_live_values_and_then_the_nights() -> None:
    device, disk = one_night(30), Disk()
    talk = disk.talk(device)
    talk.run(open_ring(disk.options()))
    first, second, *rest = talk.samples
    assert isinstance(first.measurement, PulseOximeter)
    assert second.measurement == Battery(level_pct=80, charging=False)
    assert all(timed.stored for timed in rest)
    expected = values(30)
    assert [record.number for record in stored(talk)] == list(range(30))
    assert [timed.measurement.fields() for timed in rest] == [
        {
            "device_time": (START + timedelta(seconds=4 * number)).isoformat(),
            "spo2_pct": float(spo2),
            "pulse_rate_bpm": float(pulse),
            "measurement_status": ["from_storage"],
            "movement": movement,
        }
        for number, (spo2, pulse, movement) in enumerate(expected)
    ]


def test_a_stored_record_without_values_is_null() -> None:
    device = ring(_20260131223340=stored_night(START, [(97, 60, 0), (0xFF, 0xFFFF, 7)]))
    disk = Disk()
    talk = disk.talk(device)
    talk.run(open_ring(disk.options()))
    last = talk.samples[-1].measurement
    assert isinstance(last, PulseOximeter)
    assert (last.spo2_pct, last.pulse_rate_bpm, last.movement) == (None, None, 7)


@pytest.mark.parametrize(("known", "first"), [(SENSORS, REAL_TIME), (REAL_TIME, REAL_TIME)])
def test_firmware_that_knows_one_request_only(known: int, first: int) -> None:
    device, disk = one_night(1), Disk()
    device.commands -= {SENSORS, REAL_TIME} - {known}
    talk = disk.talk(device)
    talk.run(poll_ring(disk.options()), 6)
    commands = [command for command, _ in device.asked]
    assert commands[0] == first
    assert set(commands[1:]) == {known}
    assert len(live_values(talk)) == commands.count(known)
    # On the next link the newer request comes first again.
    disk.talk(device).run(poll_ring(disk.options()), 1)
    assert device.asked[-1][0] == REAL_TIME


def test_the_battery_is_published_when_it_changes() -> None:
    device, disk = one_night(1), Disk()
    device.worn = False
    talk = disk.talk(device)
    poll = poll_ring(disk.options())
    talk.run(poll, 3)
    device.charging = 1
    talk.run(poll, 3)
    states = [
        timed.measurement.charging
        for timed in talk.samples
        if isinstance(timed.measurement, Battery)
    ]
    assert states == [False, True]
    assert all(fields["spo2_pct"] is None for fields in live_values(talk))


def test_nights_are_read_once_across_links_and_runs() -> None:
    device = ring(
        _20260130221500=stored_night(START, values(40, 2)),
        _20260131223340=stored_night(START, values(50)),
    )
    disk = Disk()
    first = disk.talk(device)
    first.run(open_ring(disk.options()))
    assert [record.series for record in stored(first)] == [NAME] * 50 + [OLDER] * 40
    device.asked.clear()
    for _ in range(2):
        options = disk.options()
        again = disk.talk(device, options)
        again.run(open_ring(options))
        assert stored(again) == []
    assert READ not in {command for command, _ in device.asked}


def test_a_file_that_has_grown_is_continued() -> None:
    device, disk = one_night(30), Disk()
    disk.talk(device).run(open_ring(disk.options()))
    device.nights[NAME] = stored_night(START, values(45))
    options = disk.options()
    talk = disk.talk(device, options)
    talk.run(open_ring(options))
    assert [record.number for record in stored(talk)] == list(range(30, 45))


@pytest.mark.parametrize("restarts", [False, True])
def test_broken_links_neither_lose_nor_repeat_a_record(restarts: bool) -> None:
    count = 3000
    device, disk = one_night(count, step_s=2), Disk()
    options, numbers = disk.options(), list[int]()
    for requests in (7, 18, 29, 5000):
        if restarts:
            options = disk.options()
        talk = disk.talk(device, options)
        talk.run(open_ring(options), requests)
        numbers += [record.number for record in stored(talk)]
    assert numbers == list(range(count))


def test_a_whole_night_takes_little_memory() -> None:
    device, disk = one_night(WHOLE_NIGHT, step_s=2), Disk()
    options = disk.options()
    talk = disk.talk(device, options)
    talk.run(open_ring(options))
    assert [record.number for record in stored(talk)] == list(range(WHOLE_NIGHT))
    # Those of a block, and those that are deleted together.
    assert disk.most < 200
    assert live_values(talk)[1:], "no live values came in between"


def test_a_wrong_checksum_costs_a_try_only() -> None:
    device, disk = one_night(300), Disk()
    options = disk.options()
    talk, opening = disk.talk(device, options), open_ring(options)
    device.wrong_checksums = 2
    talk.run(opening)
    assert [record.number for record in stored(talk)] == list(range(300))


def test_a_ring_that_falls_silent_in_a_file_is_read_on_the_next_link() -> None:
    device, disk = one_night(600), Disk()
    device.unread_blocks = 2
    options = disk.options()
    talk = disk.talk(device, options)
    talk.run(open_ring(options))
    begun = len(stored(talk))
    assert 0 < begun < 600
    device.unread_blocks = None
    again = disk.talk(device, options)
    again.run(open_ring(options))
    numbers = [record.number for record in (*stored(talk), *stored(again))]
    assert numbers == list(range(600))


def test_a_ring_that_closes_its_file_for_live_values_is_read_without_them() -> None:
    device, disk = one_night(3000), Disk()
    device.closes_for_live = True
    options = disk.options()
    talk = disk.talk(device, options)
    talk.run(open_ring(options))
    assert [record.number for record in stored(talk)] == list(range(3000))


def test_a_new_night_is_read_when_the_ring_was_taken_off() -> None:
    device, disk = one_night(20), Disk()
    options = disk.options()
    talk, poll = disk.talk(device, options), poll_ring(options)
    talk.run(poll, 5)
    assert not stored(talk)
    device.worn = False
    talk.run(poll, 60)
    assert [record.number for record in stored(talk)] == list(range(20))
    # Once each time that it was worn.
    assert [command for command, _ in device.asked].count(READ) == 1


def test_a_ring_that_is_not_worn_is_not_asked_again_and_again() -> None:
    device, disk = one_night(20), Disk()
    device.worn = False
    options = disk.options()
    disk.talk(device, options).run(poll_ring(options), 100)
    assert {command for command, _ in device.asked} == {REAL_TIME}


@pytest.mark.parametrize(
    "information",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"FileList": 5}',
        b'{"FileList": ["20260131223340"]}',
        b'{"FileList": "../../x,a b,' + b"9" * 33 + b'"}',
        b'{"FileList": "\xff"}',
        b'{"FileList": ' + b"[" * 50 + b"]" * 50 + b"}",
        b'{"FileList": "' + b"9," * 3000 + b'"}',
        '{"FileList": "\u0661\u0662"}'.encode(),
    ],
)
def test_information_that_makes_no_sense_has_no_files(information: bytes) -> None:
    assert nights.file_names(information) == []


def test_names_of_files_are_bounded_and_the_newest_come_first() -> None:
    names = [f"{20260101000000 + number}" for number in range(100)]
    text = '{"Model":"1652","FileList":"' + ",".join(names) + ',"}\0\0'
    assert nights.file_names(text.encode()) == names[:35:-1]


@given(information=st.binary(max_size=60))
def test_any_information_gives_names(information: bytes) -> None:
    assert all(name.isascii() for name in nights.file_names(information))


def header(**changed: int) -> bytes:
    file = bytearray(stored_night(START, values(10)))
    places = {"version": 0, "month": 4, "hour": 6, "duration": 13}
    for key, value in changed.items():
        file[places[key]] = value
    return bytes(file)


@pytest.mark.parametrize("changed", [{"version": 2}, {"month": 13}, {"hour": 24}, {"duration": 0}])
def test_a_file_whose_times_are_unknown_is_left_alone(changed: dict[str, int]) -> None:
    file = header(**changed)
    with pytest.raises(DecodeError):
        nights.decode_header(file, len(file))
    device, disk = ring(_20260131223340=file * 3), Disk()
    options = disk.options()
    talk = disk.talk(device, options)
    talk.run(open_ring(options))
    assert stored(talk) == []
    # One block is enough to see it.
    assert [command for command, _ in device.asked].count(READ) == 1


def test_a_mode_other_than_sleep_is_not_part_of_the_version() -> None:
    file = bytearray(header())
    file[1] = 1
    assert nights.decode_header(bytes(file), len(file)) == nights.Header(START, 4)


def test_headers_of_another_project() -> None:
    """The file of viatom-o2ring-ble's tests/test_file.py, built there with these numbers."""
    file = bytes.fromhex(
        "0300ea07011f162128d2040000080000005f5a0102780003 0f55e1100000".replace(" ", "")
    ).ljust(40, b"\0")
    file += bytes.fromhex("6148000300ffffff0000")
    assert nights.decode_header(file, len(file)) == nights.Header(START, 4)
    night = nights.Night(NAME, len(file))
    made = list(night.take(0, file))
    assert [(one.spo2_pct, one.pulse_rate_bpm, one.movement) for one, _ in made] == [
        (97.0, 72.0, 3),
        (None, None, 0),
    ]
    assert [one.device_time for one, _ in made] == ["2026-01-31T22:33:40", "2026-01-31T22:33:44"]


@given(file=st.binary(max_size=120), size=st.integers(0, 2**32 - 1))
def test_any_file_is_read_or_refused(file: bytes, size: int) -> None:
    night = nights.Night(NAME, size)
    try:
        made = [*night.take(0, file[:50]), *night.take(1, file[50:])]
    except DecodeError:
        return
    assert len(made) <= nights.record_count(size)


def test_blocks_of_any_size_give_the_same_records() -> None:
    file = stored_night(START, values(40))
    whole = list(nights.Night(NAME, len(file)).take(0, file))
    assert len(whole) == 40
    for size in (1, 3, 7, 39, 41, 64):
        night = nights.Night(NAME, len(file))
        blocks = [file[at : at + size] for at in range(0, len(file), size)]
        made = [each for number, block in enumerate(blocks) for each in night.take(number, block)]
        assert made == whole


def test_a_block_that_comes_twice_counts_once() -> None:
    file = stored_night(START, values(40))
    night = nights.Night(NAME, len(file))
    first = list(night.take(0, file[:100]))
    assert list(night.take(0, file[:100])) == []
    rest = list(night.take(1, file[100:]))
    assert [record.number for _, record in (*first, *rest)] == list(range(40))


class EmptyBlocks(Ring):
    """A ring that has nothing more after the first block."""

    def answer(self, request: bytes) -> bytes:
        block = request[3]
        return (
            frame(0x55, 0, block, b"") if request[1] == READ and block else super().answer(request)
        )


def test_a_ring_that_sends_empty_blocks_is_given_up() -> None:
    disk = Disk()
    device = EmptyBlocks(random.Random(3), {NAME: stored_night(START, values(600))})
    options = disk.options()
    talk = disk.talk(device, options)
    assert talk.run(open_ring(options)) < 15
    assert 0 < len(stored(talk)) < 600


@pytest.mark.parametrize(
    "name",
    ["O2Ring 1234", "Checkme O2 0001", "SleepU 2", "Oxylink 1", "O2 Max 1", "CMRing", "O2M 7"],
)
def test_rings_are_recognised_by_their_names(name: str) -> None:
    assert is_named(name, PROFILE.names)


@pytest.mark.parametrize("name", ["CO2 sensor", "NO2 Max 1", "CMRings", "Ring"])
def test_other_names_are_not_those_of_rings(name: str) -> None:
    assert not is_named(name, PROFILE.names)
