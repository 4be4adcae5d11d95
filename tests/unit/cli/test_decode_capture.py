"""``healthd decode --capture``."""

from pathlib import Path

import orjson
import pytest

from healthd.cli.decode_capture import main, parse_uuids
from tests.support.hci_log import ADDRESS, HciLog

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def log() -> HciLog:
    """A strap, of which the sensor location and two values are read; then an unknown value."""
    log = HciLog()
    log.connect()
    log.discover_strap()
    log.ask("0a 0600", "0b 01")
    log.att("1b 0300 1648 0003", received=True)
    log.att("1b 0300 1e48 0003", received=True)
    log.att("1b 0900 ffee", received=True)
    log.att("1b 0300 16", received=True)
    return log


def _decoded(file: Path, capsys: Capsys, device: str = "") -> list[dict[str, object]]:
    assert main(file, device, {}, "jsonl") == 0
    return [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_value_is_a_line_with_its_meaning(log: HciLog, tmp_path: Path, capsys: Capsys) -> None:
    location, first, second, unknown, short = _decoded(log.save(tmp_path), capsys)
    assert location == {
        "time": "2026-11-24T00:00:00.011000Z",
        "device": ADDRESS,
        "link": 1,
        "what": "read",
        "uuid": "2a38",
        "handle": 6,
        "measurement": "body_sensor_location",
        "fields": {"location": "chest"},
    }
    assert first == {
        "time": "2026-11-24T00:00:00.012000Z",
        "device": ADDRESS,
        "link": 1,
        "what": "notification",
        "uuid": "2a37",
        "handle": 3,
        "measurement": "heart_rate",
        "fields": {
            "heart_rate_bpm": 72,
            "sensor_contact_supported": True,
            "sensor_contact_detected": True,
            "rr_intervals_ms": [750.0],
        },
    }
    # The second one is read in another way, because it follows a value of the same kind. Its flags
    # say that energy comes first, so there is no interval.
    assert second["fields"] == {
        "heart_rate_bpm": 72,
        "sensor_contact_supported": True,
        "sensor_contact_detected": True,
        "energy_expended_kj": 768,
        "rr_intervals_ms": [],
    }
    assert (unknown["uuid"], unknown["hex"]) == (None, "ffee")
    assert short["hex"] == "16" and "error" in short


def test_the_summary_counts_what_was_decoded(log: HciLog, tmp_path: Path, capsys: Capsys) -> None:
    assert main(log.save(tmp_path), "", {}, "jsonl") == 0
    err = capsys.readouterr().err
    assert err == "values: 3 decoded, 1 not decoded, 1 unknown; missing places: 0\n"


def test_a_table_is_for_people(log: HciLog, tmp_path: Path, capsys: Capsys) -> None:
    assert main(log.save(tmp_path), "", {}, "table") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split() == [
        "2026-11-24T00:00:00.011000Z",
        ADDRESS,
        "read",
        "2a38",
        "body_sensor_location:",
        "location=chest",
    ]


@pytest.mark.parametrize(("device", "count"), [(ADDRESS.lower(), 5), ("Strap*", 0), ("x", 0)])
def test_devices_are_selected_by_address(
    device: str, count: int, log: HciLog, tmp_path: Path, capsys: Capsys
) -> None:
    assert len(_decoded(log.save(tmp_path), capsys, device)) == count


def test_devices_are_selected_by_the_name_that_was_read(tmp_path: Path, capsys: Capsys) -> None:
    log = HciLog()
    log.connect()
    log.ask("10 0100 ffff 0028", "11 06 0100 0600 0018")
    log.ask("08 0100 0600 0328", "09 07 0200 02 0300 002a")
    log.ask("0a 0300", "0b" + b"Strap 7".hex())
    log.att("1b 0500 ff", received=True)
    assert [row["handle"] for row in _decoded(log.save(tmp_path), capsys, "strap*")] == [3, 5]


@pytest.mark.parametrize(("name", "rate_spm"), [("WHIPR1", 30.0), ("Rower1", 15.0)])
def test_a_device_that_deviates_is_decoded_by_its_own_layout(
    name: str, rate_spm: float, tmp_path: Path, capsys: Capsys
) -> None:
    # WHIPR rowers send whole strokes, not halves: cagnulein/qdomyos-zwift #653.
    log = HciLog()
    data = bytes((7, 9)) + name.encode()
    log.event(0x3E, bytes.fromhex("02010001 01 00 10 5e 00 02 08") + data + b"\xc4")
    log.connect()
    log.ask("10 0100 ffff 0028", "11 06 0100 0600 2618")
    log.ask("08 0100 0600 0328", "09 07 0200 10 0300 d12a")
    log.att("1b 0300 0000 1e 0a00", received=True)
    (row,) = _decoded(log.save(tmp_path), capsys)
    assert isinstance(fields := row["fields"], dict)
    assert fields["stroke_rate_spm"] == rate_spm


def test_an_unknown_value_that_looks_like_a_heart_rate_is_a_guess(
    tmp_path: Path, capsys: Capsys
) -> None:
    log = HciLog()
    log.connect()
    # 72 bpm and 833 ms fit each other; 72 bpm and 250 ms do not.
    log.att("1b 0900 1048 5503", received=True)
    log.att("1b 0900 1048 0001", received=True)
    guessed, other = _decoded(log.save(tmp_path), capsys)
    guess = guessed["guess"]
    assert isinstance(guess, dict)
    assert (guess["uuid"], guess["kind"]) == ("2a37", "heart_rate")
    assert "guess" not in other


def test_a_damaged_file_is_decoded_to_its_damage(
    log: HciLog, tmp_path: Path, capsys: Capsys
) -> None:
    file = log.save(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert main(file, "", {}, "jsonl") == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "packet 15 at byte" in err and "the file ends after" in err


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: Capsys) -> None:
    assert main(tmp_path / "none", "", {}, "jsonl") == 1
    assert "No such file" in capsys.readouterr().err


def test_uuids_of_handles_are_given_as_pairs() -> None:
    assert parse_uuids(["0x10=2A37", "3=180d"]) == {16: "2a37", 3: "180d"}


@pytest.mark.parametrize("text", ["2a37", "0=2a37", "70000=2a37", "0x10=zz", "=", "x=2a37"])
def test_another_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected HANDLE=UUID"):
        parse_uuids([text])
