"""Advertisements on the command line: exactly one JSON object for each input."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from healthd.cli.app import app
from healthd.cli.decode_advertisement import Advertiser, advertiser, decode_advertisements
from healthd.errors import DecodeError
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.identity import Identity
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.quirks import Quirk
from healthd.profiles.registry import Registry
from healthd.samples import Measurement


class Seen(Measurement):
    """What a decoder was given."""

    kind: ClassVar[str] = "seen"

    bytes: str


def see(data: bytes) -> Seen:
    if data[:1] == b"\xee":
        raise DecodeError("offset 0: found ee")
    return Seen(bytes=data.hex())


def keyed(options: Options, address: str) -> Callable[[bytes], Seen]:
    return lambda data: Seen(bytes=f"{options.bind_key!r} {address} {data.hex()}")


def is_long(data: bytes) -> bool:
    return len(data) >= 2


SCALE = Broadcast("scale", Seen, see, Use.STREAM, keys=("service_data_181d",))
BAND = Broadcast(
    "band",
    Seen,
    see,
    Use.STREAM,
    keys=("manufacturer_data_0157", "service_data_fee0"),
    fits=is_long,
)
SECRET = Broadcast("secret", Seen, see, Use.STREAM, keys=("service_data_fcd2",), decoder=keyed)
TWIN = Broadcast("twin", Seen, see, Use.STREAM, keys=("manufacturer_data_fee0",))
LONG = Broadcast(
    "long", Seen, see, Use.STREAM, keys=("service_data_fb005c81-02e7-f387-1cad-8acd2d8df0c8",)
)
READABLE = (
    "manufacturer_data_0157 (bands), service_data_fb005c81-02e7-f387-1cad-8acd2d8df0c8 (longs), "
    "service_data_181d (scales), service_data_fcd2 (secrets), manufacturer_data_fee0 (twins)"
)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = [
        Profile(f"{each.uuid}s", broadcasts=(each,)) for each in (SCALE, BAND, SECRET, TWIN)
    ]
    loaded = Registry([*profiles, Profile("longs", "fff0", broadcasts=(LONG,))])
    monkeypatch.setattr("healthd.cli.decode_advertisement.load", lambda: loaded)


def decoded(*words: str, device: Advertiser = Advertiser()) -> tuple[int, dict[str, Any]]:  # noqa: B008
    """Return exit code and answer for one input."""
    answers: list[object] = []
    code = decode_advertisements(words, StringIO("never read"), answers.append, device)
    (answer,) = answers
    return code, orjson.loads(orjson.dumps(answer))


def seen(name: str, data: str) -> dict[str, Any]:
    return {
        "profile": f"{name}s",
        "broadcast": name,
        "kind": "seen",
        "measurement": {"bytes": data},
    }


@pytest.mark.parametrize(
    "text",
    [
        "020106 05161d184142 03095a71",
        "0x02010605161d184142",
        "161d184142",
        "1d184142",
        "1D:18:41:42",
        "21fb349b5f80000080001000001d1800004142",
        "fb349b5f80000080001000001d1800004142",
        "service_data_181d 4142",
        "181D 4142",
        "service_data_0000181D-0000-1000-8000-00805F9B34FB 41 42",
    ],
)
def test_every_form_of_an_input_is_read(text: str) -> None:
    assert decoded(*text.split()) == (0, {"broadcasts": [seen("scale", "4142")]})


@pytest.mark.parametrize(
    "text", ["05ff57014142", "ff57014142", "57014142", "manufacturer_data_0157 4142", "0157 4142"]
)
def test_manufacturer_data_is_read(text: str) -> None:
    assert decoded(*text.split()) == (0, {"broadcasts": [seen("band", "4142")]})


def test_all_that_an_advertisement_carries_is_decoded_in_its_order() -> None:
    packet = "020106 05161d184142 05ff4c000102 05ff57014344 0000 05161d184546"
    assert decoded(packet) == (
        0,
        {"broadcasts": [seen("scale", "4142"), seen("band", "4344"), seen("scale", "4546")]},
    )


def test_what_cannot_be_decoded_does_not_hide_the_rest() -> None:
    code, answer = decoded("04161d18ee 05ff57014344")
    assert code == 1
    assert answer["broadcasts"] == [
        {"profile": "scales", "broadcast": "scale", "kind": "seen", "error": "offset 0: found ee"},
        seen("band", "4344"),
    ]


def test_data_with_two_readings_is_not_guessed() -> None:
    code, answer = decoded("e0fe4142")
    assert code == 1
    assert answer == {
        "error": "can be service_data_fee0 or manufacturer_data_fee0: write that before HEX, and "
        "HEX without its number"
    }
    assert decoded("service_data_fee0", "4142")[1] == {"broadcasts": [seen("band", "4142")]}
    assert decoded("manufacturer_data_fee0", "4142")[1] == {"broadcasts": [seen("twin", "4142")]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found a blank line, expected HEX"),
        ("zz", "HEX, character 1: found 'zz'"),
        ("service_data_181d", "found nothing after the key, expected HEX"),
        ("service_data_18 00", "service_data_: found '18', expected a UUID of 4, 8 or 36"),
        ("manufacturer_data_157 00", "manufacturer_data_: found '157', expected the four hex"),
        (
            "020106 03ff4c00 0416aafe00",
            f"found manufacturer_data_004c, service_data_feaa, expected {READABLE}",
        ),
        ("service_data_feaa 00", f"found service_data_feaa, expected {READABLE}"),
        (
            "04ff570100",
            "found manufacturer_data_0157 (the data of another kind of device), expected",
        ),
        ("04ff5701ee", "found manufacturer_data_0157 (offset 0: found ee), expected"),
        ("020106", "(no service data and no manufacturer data in it)"),
        ("00", "(no service data and no manufacturer data in it)"),
        ("-", "(no service data and no manufacturer data in it)"),
        ("020106 05161d18", "(offset 3: a structure of 5 bytes, found 3) nor"),
        ("4c0002", "(offset 0: a structure of 76 bytes, found 2) nor the data of one structure"),
        ("0216d2", "(offset 0: found 1 bytes, expected a UUID of 2 bytes)"),
        ("00" * 3301, "(found 3301 bytes, expected at most 3300)"),
    ],
)
def test_an_error_says_what_was_found_and_what_is_expected(text: str, message: str) -> None:
    answers: list[Any] = []
    assert decode_advertisements((), StringIO(f"{text}\n"), answers.append) == 1
    assert answers[0].keys() == {"error"}
    assert message in answers[0]["error"]


def test_an_error_names_only_the_first_of_many() -> None:
    packet = "".join(f"03ff{number:02x}aa" for number in range(200))
    _, answer = decoded(packet)
    assert "manufacturer_data_aa07, 192 more, expected" in answer["error"]
    assert len(answer["error"]) < 600


def test_key_and_address_reach_the_decoder() -> None:
    device = Advertiser(options=Options(bind_key=b"k"), address="C0:00:00:00:00:01")
    assert decoded("d2fc41", device=device) == (
        0,
        {"broadcasts": [seen("secret", "b'k' C0:00:00:00:00:01 41")]},
    )


def test_a_device_with_a_quirk(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(data: bytes) -> Seen:
        return Seen(bytes=data[::-1].hex())

    rows = (Quirk("backwards", "scale", backwards, "here", name="odd*"),)
    monkeypatch.setattr("healthd.profiles.quirks.QUIRKS", rows)
    named = "05161d184142 04096f6464"
    assert decoded(named)[1] == {"broadcasts": [seen("scale", "4241")]}
    assert decoded("1d184142")[1] == {"broadcasts": [seen("scale", "4142")]}
    odd = Advertiser(Identity("Odd One"))
    assert decoded("1d184142", device=odd)[1] == {"broadcasts": [seen("scale", "4241")]}
    even = Advertiser(Identity("Even"))
    assert decoded(named, device=even)[1] == {"broadcasts": [seen("scale", "4142")]}


def test_every_line_gets_one_answer_in_order() -> None:
    answers: list[Any] = []
    lines = StringIO("161d1841\n\nservice_data_181d  42 43\r\n4c00\n57014142")
    assert decode_advertisements((), lines, answers.append) == 1
    assert answers[0] == {"broadcasts": [seen("scale", "41")]}
    assert answers[1] == {"error": "found a blank line, expected HEX"}
    assert answers[2] == {"broadcasts": [seen("scale", "4243")]}
    assert answers[3].keys() == {"error"}
    assert answers[4] == {"broadcasts": [seen("band", "4142")]}
    assert len(answers) == 5


characters = st.characters(exclude_characters="\n", codec=None)
nearly = st.builds(
    "{}{}".format,
    st.sampled_from(["", "service_data_", "manufacturer_data_0157 ", "020106", "161d18", "ff"]),
    st.text(st.sampled_from("0123456789abcdef :-x\r\x00é")),
)


@given(lines=st.lists(st.text(characters) | nearly, max_size=5))
def test_any_lines_give_one_object_each(lines: list[str]) -> None:
    answers: list[object] = []
    text = StringIO("".join(f"{line}\n" for line in lines))
    decode_advertisements((), text, answers.append)
    assert len(answers) == len(lines)
    orjson.dumps(answers)


def test_options_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("00112233445566778899AABBCCDDEEFF\n")
    found = advertiser("a", "b", "c", "c0-00-00-00-00-0a", file)
    key = bytes.fromhex(file.read_text())
    assert found == Advertiser(Identity("a", "b", "c"), Options(bind_key=key), "C0:00:00:00:00:0A")
    assert found.options.bind_key == key
    assert advertiser("", "", "", "", None) == Advertiser()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("0011", "found something else, expected the 32 hex digits of a bind key"),
        ("hunter2hunter2hunter2hunter2hunt", "found something else, expected the 32 hex digits"),
    ],
)
def test_a_file_without_a_key_is_named_but_not_shown(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        advertiser("", "", "", "", file)
    assert str(raised.value).startswith(f"--bind-key-file: {file}: ")
    assert content is None or content not in str(raised.value)


def run(*arguments: str, lines: str = "") -> Any:
    return CliRunner().invoke(app, ["decode", *arguments], input=lines)


def test_the_command_takes_words_or_lines() -> None:
    expected = {"broadcasts": [seen("scale", "41")]}
    for arguments in (("161d1841",), ("service_data_181d", "41")):
        result = run("--advertisement", *arguments)
        assert (result.exit_code, orjson.loads(result.stdout)) == (0, expected)
    result = run("--advertisement", lines="161d1841\nservice_data_181d 41\n")
    assert result.exit_code == 0
    assert [orjson.loads(line) for line in result.stdout.splitlines()] == [expected, expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--advertisement", "--address", "C0:00"), "--address: found 'C0:00', expected six pairs"),
        (("--advertisement", "--bind-key-file", "/absent"), "--bind-key-file: /absent: "),
        (("--address", "C0:00:00:00:00:01", "2a19", "05"), "need --advertisement"),
        (("--bind-key-file", "/absent", "2a19", "05"), "need --advertisement"),
    ],
)
def test_wrong_options_are_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
