"""Advertisements that cannot be decrypted: one warning, a reason, no samples."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from structlog.testing import capture_logs

from healthd.gateway.pipeline import Pipeline
from healthd.host.clock import Clock
from healthd.mqtt.devices import Devices
from healthd.mqtt.payloads import Payload
from healthd.mqtt.topics import Topics
from healthd.outbox.continuity import PreviousRun
from healthd.outbox.outbox import Outbox
from healthd.profiles.options import Options
from healthd.profiles.registry import load
from healthd.runs import Run
from healthd.samples import Sample, Taken
from healthd.sessions.session import State

REGISTRY = load()
BTHOME = REGISTRY.broadcasts["bthome"]

# Temperature and humidity; from the examples of bthome.io.
PLAIN = bytes.fromhex("4002ca0903bf13")
ENCRYPTED = bytes.fromhex("41e445f3c9962b332211006c7c4519")
ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")


Lines = list[MutableMapping[str, Any]]


class Room:
    """One sensor that is listened to."""

    def __init__(self, folder: Path) -> None:
        self.samples: list[Sample] = []
        # As the outbox has them.
        self.previous_runs: list[PreviousRun] = []
        self.records: dict[str, dict[Taken, bool]] = {}
        self._retained: dict[str, bytes] = {}
        devices = Devices(Topics("healthd", "home"), self._retain)
        run = Run(Clock(folder), {})
        self.pipeline = Pipeline(run, cast(Outbox, self), devices, REGISTRY)
        self.pipeline.start()

    def _retain(self, topic: str, payload: Payload | bytes) -> None:
        self._retained[topic] = payload if isinstance(payload, bytes) else payload.encoded()

    def put(self, sample: Sample) -> None:
        self.samples += [sample] if sample.peripheral else []

    def update_records(self, *_: object) -> None:
        pass

    def listen(self, key: bytes | None, address: str = ADDRESS) -> None:
        self.pipeline.add("room", Options(bind_key=key), periodic=False)
        self.pipeline.on_state("room", State.SEARCHING, None)
        self.find(address)

    def find(self, address: str = ADDRESS) -> None:
        self.pipeline.on_heard("room", None, ["bthome"], address)
        self.pipeline.on_state("room", State.STREAMING, None)

    def hears(self, *values: bytes) -> None:
        for value in values:
            self.pipeline.on_value("room", BTHOME, value)

    @property
    def info(self) -> dict[str, Any]:
        return orjson.loads(self._retained["healthd/home/device/room/info"])


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything that is logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def room(tmp_path: Path, lines: Lines) -> Room:
    return Room(tmp_path)


def warned(lines: Lines) -> list[str]:
    """Return the reasons in the log."""
    assert KEY.hex() not in str(lines)
    found = [line for line in lines if line["event"] == "advertisement not readable"]
    assert all(line["peripheral"] == "room" and line["hint"] for line in found)
    return [line["reason"] for line in found]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, ENCRYPTED, "key_missing"),
        (KEY[::-1], ENCRYPTED, "wrong_key"),
        (KEY, PLAIN, "not_encrypted"),
    ],
)
def test_the_reason_is_logged_once_and_in_the_info(
    room: Room, lines: Lines, key: bytes | None, value: bytes, reason: str
) -> None:
    room.listen(key)
    assert "reason" not in room.info
    room.hears(value, value, value)
    assert room.info["reason"] == reason
    assert warned(lines) == [reason]
    assert room.samples == [], "nothing can be made of encrypted bytes"


def test_a_device_that_was_decrypted_is_readable(room: Room) -> None:
    room.listen(KEY)
    room.hears(PLAIN)
    assert room.info["reason"] == "not_encrypted"
    room.hears(ENCRYPTED)
    assert "reason" not in room.info
    assert [sample.stream for sample in room.samples] == ["environment"]


def test_what_another_device_sends_with_its_address_changes_nothing(
    room: Room, lines: Lines
) -> None:
    room.listen(KEY)
    room.hears(ENCRYPTED, PLAIN, ENCRYPTED[:-1] + b"\0", PLAIN)
    assert "reason" not in room.info
    assert warned(lines) == ["not_encrypted", "wrong_key"]
    assert len(room.samples) == 1


def test_a_device_that_changes_its_address_is_warned_about_once(room: Room, lines: Lines) -> None:
    """Private addresses change as often as their owner likes."""
    room.listen(None)
    for number in range(3):
        room.find(f"41:00:00:00:00:{number:02X}")
        assert "reason" not in room.info
        room.hears(ENCRYPTED)
        assert room.info["reason"] == "key_missing"
    assert warned(lines) == ["key_missing"]
    room.pipeline.remove("room")
    room.listen(None)
    room.hears(ENCRYPTED)
    assert warned(lines) == ["key_missing", "key_missing"]


def test_another_device_is_judged_by_itself(room: Room, lines: Lines) -> None:
    room.listen(KEY)
    room.hears(ENCRYPTED)
    room.find("54:48:E6:8F:80:A6")
    room.hears(ENCRYPTED)
    assert room.info["reason"] == "wrong_key"
    assert warned(lines) == ["wrong_key"]
    room.pipeline.remove("room")
    room.listen(KEY)
    assert "reason" not in room.info
    room.hears(ENCRYPTED)
    assert len(room.samples) == 2
