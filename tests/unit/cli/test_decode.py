"""Exactly one JSON object for each input, valid or not."""

import sys
from io import StringIO
from subprocess import PIPE, Popen, run
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.cli.decode import decode
from healthd.profiles.battery import Battery, decode_level
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.identity import Identity
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import Quirk
from healthd.profiles.registry import Registry

HEART_RATE = {
    "heart_rate_bpm": 72,
    "sensor_contact_supported": False,
    "sensor_contact_detected": None,
    "rr_intervals_ms": [1000.0],
}

COPROCESS = "import sys; from healthd.cli.decode import decode; " + (
    "from healthd.cli.console import say_json; sys.exit(decode(None, None, sys.stdin, say_json))"
)


def decode_one(uuid: str, payload: str | None) -> tuple[int, dict[str, Any]]:
    """Return exit code and answer for one payload."""
    answers: list[object] = []
    code = decode(uuid, payload, StringIO("never read"), answers.append)
    (answer,) = answers
    return code, orjson.loads(orjson.dumps(answer))


def decode_lines(text: str) -> tuple[int, list[dict[str, Any]]]:
    """Return exit code and answers for lines on standard input."""
    answers: list[object] = []
    code = decode(None, None, StringIO(text), answers.append)
    return code, orjson.loads(orjson.dumps(answers))


@pytest.mark.parametrize("uuid", ["2a37", "0x2A37", "00002a37-0000-1000-8000-00805F9B34FB"])
def test_every_form_of_uuid_is_accepted(uuid: str) -> None:
    assert decode_one(uuid, "10480004") == (0, HEART_RATE)


@pytest.mark.parametrize(
    "payload",
    [
        "0x10480004",
        "0X10480004",
        "10 48 00 04",
        "10:48:00:04",
        "10-48-00-04",
        "1048 0004",
        " 10  48\t0004 ",
        "0x10 48 00 04",
    ],
)
def test_every_form_of_hex_is_accepted(payload: str) -> None:
    assert decode_one("2a37", payload) == (0, HEART_RATE)
    assert decode_lines(f"2a37 {payload}\n") == (0, [HEART_RATE])


def test_hex_digits_are_case_insensitive() -> None:
    assert decode_one("2a29", "C3a9") == decode_one("2a29", "c3A9") == (0, {"maker": "é"})


@pytest.mark.parametrize(
    ("uuid", "payload", "found", "expected"),
    [
        ("2aff", "00", "found 2aff", "2a37, 2a38"),
        ("heart", "00", "found 'heart'", "expected a UUID of 4, 8 or 36 characters"),
        ("2a37", "zz", "HEX, character 1: found 'zz'", "two hex digits per byte"),
        ("2a37", "10g8", "HEX, character 3: found 'g8'", "two hex digits per byte"),
        ("2a37", "10481", "HEX, character 5: found '1'", "two hex digits per byte"),
        ("2a37", "1 04 8", "HEX, character 1: found '1 04 8'", "two hex digits per byte"),
        ("2a37", "10:-48", "HEX, character 3: found ':-48'", "two hex digits per byte"),
        ("2a37", "-10", "HEX, character 1: found '-10'", "two hex digits per byte"),
        ("2a37", "10-", "HEX, character 3: found '-'", "two hex digits per byte"),
        ("2a37", "0x", "found nothing after the UUID", "(- for no bytes)"),
        ("2a37", "", "found nothing after the UUID", "(- for no bytes)"),
        ("2a37", None, "found nothing after the UUID", "(- for no bytes)"),
        ("2a37", "-", "offset 0", "expected u8, found 0 of 1 bytes"),
        ("2a37", "01", "offset 1", "expected u16, found 0 of 2 bytes"),
    ],
)
def test_an_error_says_what_was_found_and_what_is_expected(
    uuid: str, payload: str | None, found: str, expected: str
) -> None:
    code, answer = decode_one(uuid, payload)
    assert code == 1
    assert answer.keys() == {"error"}
    assert found in answer["error"]
    assert expected in answer["error"]


@pytest.mark.parametrize(
    ("uuid", "payload", "expected"),
    [
        ("ff02", "eb010453637f0025", {"spo2_pct": 99.0, "pulse_rate_bpm": 83.0}),
        (
            "0734594a-a8e7-4b1a-a6b1-cd5243059a57",
            "5500ff00000d00614800000000005000033601001f",
            {"status": 0, "block": 0, "data_hex": "61480000000000500003360100"},
        ),
        (
            "49123040-aee8-11e1-a74d-0002a5d5c51b",
            "0881000098000011",
            {"opcode": 0x8100, "name": "read_response", "address": 0x98, "size": 0, "data_hex": ""},
        ),
    ],
)
def test_answers_are_decoded_by_the_characteristic_that_sends_them(
    uuid: str, payload: str, expected: dict[str, Any]
) -> None:
    assert decode_one(uuid, payload) == (0, expected)


@pytest.mark.parametrize(
    ("name", "uuid"),
    [
        ("pmd_data", "fb005c82-02e7-f387-1cad-8acd2d8df0c8"),
        ("pmd_cp", "fb005c81-02e7-f387-1cad-8acd2d8df0c8"),
    ],
)
def test_polar_characteristics_have_short_names(
    monkeypatch: pytest.MonkeyPatch, name: str, uuid: str
) -> None:
    own = Characteristic(uuid, Battery, decode_level, Use.STREAM)
    polars = Registry([Profile("polars", "fff0", (own,))])
    monkeypatch.setattr("healthd.cli.decode.load", lambda: polars)
    assert decode_one(name, "05") == decode_one(uuid, "05") == (0, {"level_pct": 5})
    assert decode_lines(f"{name} 05\n") == (0, [{"level_pct": 5}])


@pytest.mark.parametrize(
    ("device", "level"),
    [
        (Identity(), 5),
        (Identity(name="Even"), 5),
        (Identity(name="odd Two"), 50),
        (Identity(maker="Odd Inc."), 5),
        (Identity(maker="Odd Inc.", model="1"), 50),
    ],
)
def test_a_device_with_a_quirk(
    monkeypatch: pytest.MonkeyPatch, device: Identity, level: int
) -> None:
    def decode_tenths(data: bytes) -> Battery:
        return Battery(level_pct=data[0] * 10)

    rows = (
        Quirk("tenths", "2a19", decode_tenths, "here", name="odd*"),
        Quirk("tenths", "2a19", decode_tenths, "here", maker="odd*", model="1"),
    )
    monkeypatch.setattr("healthd.profiles.quirks.QUIRKS", rows)
    answers: list[object] = []
    assert decode(None, None, StringIO("2a19 05\n2a29 41\n"), answers.append, device) == 0
    assert answers == [{"level_pct": level}, {"maker": "A"}]


def test_an_error_does_not_repeat_long_input() -> None:
    _, answer = decode_one("2a37", "z" * 1_000_000)
    assert len(answer["error"]) < 200


def test_every_line_gets_one_answer_in_order() -> None:
    code, answers = decode_lines("2a19 0f\n\n   \nnonsense\n2a37 10480004\r\n2a19 65")
    assert code == 1
    assert answers[0] == {"level_pct": 15}
    assert answers[1] == answers[2] == {"error": "found a blank line, expected UUID HEX"}
    assert answers[3].keys() == {"error"}
    assert answers[4] == HEART_RATE
    assert answers[5] == {"level_pct": None}


def test_without_lines_there_are_no_answers() -> None:
    assert decode_lines("") == (0, [])


# Lone surrogates too: a caller may open its input with errors="surrogateescape".
characters = st.characters(exclude_characters="\n", codec=None)
nearly = st.builds(
    "{}{}{}".format,
    st.sampled_from(["2a37", "0x2A19", "00002a29", "180d", "2a5", ""]),
    st.sampled_from([" ", "\t", "", " 0x"]),
    st.text(st.sampled_from("0123456789abcdefABCDEF :-xg\r\x00é")),
)


@given(lines=st.lists(st.text(characters) | nearly, max_size=5))
def test_any_lines_give_one_object_each(lines: list[str]) -> None:
    code, answers = decode_lines("".join(f"{line}\n" for line in lines))
    assert len(answers) == len(lines)
    assert code == int(any("error" in answer for answer in answers))


@given(uuid=st.text(characters), payload=st.text(characters))
def test_any_arguments_give_one_object(uuid: str, payload: str) -> None:
    decode_one(uuid, payload)


def test_a_coprocess_answers_each_line_at_once() -> None:
    with Popen([sys.executable, "-c", COPROCESS], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for level in range(3):
            process.stdin.write(f"2a19 {level:02x}\n")
            process.stdin.flush()
            assert orjson.loads(process.stdout.readline()) == {"level_pct": level}
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_decode_imports_nothing_heavy() -> None:
    script = "import sys, healthd.cli.decode; print(*sys.modules)"
    answer = run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"bleak", "aiomqtt", "typer", "rich"}.isdisjoint(answer.stdout.split())
