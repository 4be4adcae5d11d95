"""A capture becomes a test: written, refused, confirmed, and then it passes."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from healthd.capture.to_test import TO_BE_CONFIRMED, NothingToTest
from healthd.capture.to_test_device import device_test
from healthd.capture.to_test_vectors import vectors
from healthd.traffic.codec import encode
from healthd.traffic.lines import (
    Advertised,
    Characteristic,
    Connected,
    Descriptor,
    Disconnected,
    Discovered,
    Line,
    Notified,
    Read,
    Service,
    Written,
)
from tests.support.capture_lines import START, times
from tests.support.captured import FOLDER, check

VECTORS = FOLDER.parent / "vectors"
THERMOMETER = "AC:23:3F:00:12:34"
LINK: dict[str, Any] = {"device": THERMOMETER, "link": 1}
VALUE: dict[str, Any] = {**LINK, "uuid": "2a1c", "handle": 3}

# 36.5 and 36.6 degrees Celsius without a time, 97.7 degrees Fahrenheit, and half a value.
CELSIUS, WARMER, FAHRENHEIT, CUT = "006d0100ff", "006e0100ff", "01d10300ff", "00aa"


def thermometer() -> list[Line]:
    """Return a capture of a device that no test has yet."""
    table = (
        Service(
            uuid="1809",
            handle=1,
            characteristics=(
                Characteristic(
                    uuid="2a1c",
                    handle=3,
                    properties=("indicate",),
                    descriptors=(Descriptor(uuid="2902", handle=4),),
                ),
                Characteristic(uuid="2a25", handle=6, properties=("read",)),
                Characteristic(uuid="ffe1", handle=8, properties=("write", "notify")),
            ),
        ),
    )
    sent = [CELSIUS, WARMER, FAHRENHEIT, CUT]
    return [
        START.model_copy(update={"identity": "kept"}),
        Advertised(**times(0), device=THERMOMETER, name="Warm 7788", services=("1809",)),
        Connected(**times(1), **LINK),
        Discovered(**times(1), **LINK, services=table),
        Read(**times(2), **LINK, uuid="2a25", handle=6, value=b"SN-998877"),
        *(
            Notified(**times(3 + n), **VALUE, value=bytes.fromhex(value), confirmed=True)
            for n, value in enumerate(sent)
        ),
        Written(**times(8), **LINK, uuid="ffe1", handle=8, value=b"\1", response=True),
        Disconnected(**times(9), **LINK, code=8, reason="timeout"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide a folder of tests."""
    tests = tmp_path / "tests"
    (tests / "vectors").mkdir(parents=True)
    return tests


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Provide a file with a capture of a thermometer."""
    return written(tmp_path, thermometer())


def written(folder: Path, lines: list[Line]) -> Path:
    file = folder / "capture.jsonl"
    file.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    return file


def confirm(file: Path) -> None:
    text = file.read_text()
    assert TO_BE_CONFIRMED in text
    file.write_text(text.replace(TO_BE_CONFIRMED, "the display of the thermometer"))


def test_a_device_test_is_refused_until_it_is_confirmed(capture: Path, folder: Path) -> None:
    made = device_test(capture, "a-thermometer", folder)
    target = folder / "captures" / "a-thermometer"
    assert list(made) == [target / "capture.jsonl", target / "expected.toml"]
    with pytest.raises(AssertionError, match="no one has confirmed these values"):
        check(target)
    confirm(target / "expected.toml")
    check(target)


def test_a_device_test_fails_if_the_second_source_says_something_else(
    capture: Path, folder: Path
) -> None:
    device_test(capture, "a-thermometer", folder)
    expected = folder / "captures" / "a-thermometer" / "expected.toml"
    confirm(expected)
    expected.write_text(expected.read_text().replace("temperature_c = 36.5", "temperature_c = 37"))
    with pytest.raises(AssertionError):
        check(expected.parent)


def test_what_the_second_source_does_not_know_is_not_compared(capture: Path, folder: Path) -> None:
    device_test(capture, "a-thermometer", folder)
    expected = folder / "captures" / "a-thermometer" / "expected.toml"
    confirm(expected)
    expected.write_text(expected.read_text().replace("{ temperature_c = 36.5 }", "{}"))
    check(expected.parent)


def test_a_test_has_no_identity(capture: Path, folder: Path) -> None:
    for path in device_test(capture, "a-thermometer", folder):
        text = path.read_text()
        for secret in (THERMOMETER, "7788", "998877", b"SN-998877".hex(), b"7788".hex()):
            assert secret not in text, path.name


def test_each_kind_of_packet_becomes_one_vector(capture: Path, folder: Path) -> None:
    shutil.copy(VECTORS / "2a1c.toml", folder / "vectors")
    file = folder / "vectors" / "2a1c.toml"
    before = file.read_text()
    known = {vector["hex"] for vector in tomllib.loads(before)["vector"]}
    made = vectors(capture, "a-thermometer", folder)
    assert file in made
    after = file.read_text()
    assert after.startswith(before), "what was there stays as it is"
    tables = tomllib.loads(after)["vector"]
    added = tables[len(tomllib.loads(before)["vector"]) :]
    # 36.6 degrees have the same fields and flags as 36.5.
    assert [each["hex"] for each in added if each["hex"] != FAHRENHEIT] == [CELSIUS, CUT]
    assert not known & {CELSIUS, CUT}
    assert all(each["source"].startswith(TO_BE_CONFIRMED) for each in added)
    assert {each["kind"] for each in added} == {"device_capture"}


def test_what_the_vectors_have_is_not_added_again(capture: Path, folder: Path) -> None:
    made = vectors(capture, "a-thermometer", folder)
    assert {path.stem for path in made} == {"2a1c", "2a25"}
    with pytest.raises(NothingToTest, match=r"healthd does not read: ffe1"):
        vectors(capture, "a-thermometer", folder)


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "x" * 61, "-", "a-"])
def test_names_are_names_of_folders(capture: Path, folder: Path, name: str) -> None:
    for make in (device_test, vectors):
        with pytest.raises(NothingToTest, match="the name of the test"):
            make(capture, name, folder)
    assert list(folder.iterdir()) == [folder / "vectors"]


def test_a_test_is_not_replaced(capture: Path, folder: Path) -> None:
    device_test(capture, "a-thermometer", folder)
    with pytest.raises(NothingToTest, match="exists, expected a new name"):
        device_test(capture, "a-thermometer", folder)


def test_nothing_is_made_of_a_device_that_healthd_does_not_read(
    tmp_path: Path, folder: Path
) -> None:
    line = Advertised(**times(1), device=THERMOMETER, name="?")
    file = written(tmp_path, [START, line])
    with pytest.raises(NothingToTest, match="measures nothing"):
        device_test(file, "nothing", folder)
    with pytest.raises(NothingToTest, match="does not read: nothing"):
        vectors(file, "nothing", folder)


def test_a_long_capture_is_refused(tmp_path: Path, folder: Path) -> None:
    lines = thermometer()
    values = [b"\0" + number.to_bytes(3, "little") + b"\xff" for number in range(2001)]
    sent = [Notified(**times(4 + n), **VALUE, value=value) for n, value in enumerate(values)]
    file = written(tmp_path, [*lines[:4], *sent])
    with pytest.raises(NothingToTest, match="expected a shorter capture"):
        device_test(file, "long", folder)
    assert not (folder / "captures").exists()


def test_a_large_capture_is_refused(tmp_path: Path, folder: Path) -> None:
    lines = thermometer()
    sent = [Notified(**times(4 + n), **VALUE, value=bytes(512)) for n in range(1000)]
    file = written(tmp_path, [*lines[:4], *sent])
    with pytest.raises(NothingToTest, match="1000000 bytes, expected a shorter capture"):
        device_test(file, "large", folder)


def test_there_are_a_few_vectors_of_a_characteristic(tmp_path: Path, folder: Path) -> None:
    lines = thermometer()
    # Each of them is an error of its own.
    sent = [Notified(**times(4 + n), **VALUE, value=bytes(n)) for n in range(100)]
    values = [bytes([flags, 1, 2, 3, 4, *range(20)]) for flags in range(256)]
    more = [Notified(**times(200 + n), **VALUE, value=value) for n, value in enumerate(values)]
    vectors(written(tmp_path, [*lines[:4], *sent, *more]), "noise", folder)
    added = tomllib.loads((folder / "vectors" / "2a1c.toml").read_text())["vector"]
    assert 1 < len(added) <= 20


def test_the_folder_must_be_one_of_tests(capture: Path, tmp_path: Path) -> None:
    for make in (device_test, vectors):
        with pytest.raises(NothingToTest, match="expected the folder tests of a clone"):
            make(capture, "a-thermometer", tmp_path / "elsewhere")
