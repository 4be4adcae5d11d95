"""Devices that send what no honest device sends: what arrives is bounded, and said."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from healthd.outbox.outbox import STORE_NAME
from healthd.profiles.records import Records
from healthd.simulator.attributes import notifying, readable
from healthd.simulator.feed import ControlPoint
from healthd.simulator.part import Payloads
from healthd.simulator.peripheral import VirtualPeripheral
from tests.field.rig import ROOT, Field, at_once, device, information, part, script
from tests.unit.outbox.bench import select

STRAP = {"id": "strap", "name": "Polar H10"}
METER = {"id": "meter", "name": "meter"}
PMD_SERVICE = "FB005C80-02E7-F387-1CAD-8ACD2D8DF0C8"
PMD_CONTROL = "FB005C81-02E7-F387-1CAD-8ACD2D8DF0C8"
PMD_DATA = "FB005C82-02E7-F387-1CAD-8ACD2D8DF0C8"
ECG, PP_INTERVAL = 0, 3
GET_SETTINGS = 1
READINGS = 300
YEAR_NS = 31_556_952 * 10**9
H10_EPOCH = 599_616_000 * 10**9


def polar(*frames: bytes, name: str = "Polar H10") -> VirtualPeripheral:
    """Return a sensor that accepts all streams and sends these frames on each link."""

    def answer(request: bytes) -> bytes:
        offered = b"\x00\x01\x82\x00" if request[0] == GET_SETTINGS else b""
        return bytes([0xF0, *request[:2], 0, 0]) + offered

    control = ControlPoint(PMD_CONTROL, answer, read=lambda: b"\x0f\x0f\x00")
    streams = {
        control.characteristic: control.feed.payloads,
        notifying(PMD_DATA): script((1.0, frames[0]), *((0.1, frame) for frame in frames[1:])),
    }
    return device(name, part(PMD_SERVICE, streams))


def frame(kind: int, stamp_ns: int, payload: bytes) -> bytes:
    return struct.pack("<BQB", kind, stamp_ns, 0) + payload


def starts(field: Field) -> int:
    """Return how often the daemon has gone online."""
    return [one.payload for one in field.subscriber.at(f"{ROOT}/status")].count(b"online")


def times(samples: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(sample["time"]) for sample in samples]


async def test_stamps_in_the_far_future_are_mapped_to_their_arrival(field: Field) -> None:
    """D1: such a frame made a sample that the store could not hold, and no commit went on."""
    ecg = bytes(73 * 3)
    stamps = [H10_EPOCH, H10_EPOCH + 500 * YEAR_NS, 2**64 - 1, 1, H10_EPOCH + 300 * YEAR_NS]
    began = datetime.now(UTC)
    with capture_logs() as logs:
        async with field.gateway(
            {**STRAP, "pmd": ["ecg"]}, polar(*(frame(ECG, at, ecg) for at in stamps))
        ):
            await field.until_values("strap", "ecg", 5)
    ended = datetime.now(UTC)
    samples = field.received("strap", "ecg")
    assert all(began - timedelta(seconds=1) <= at <= ended for at in times(samples))
    assert times(samples) == sorted(times(samples))
    said = [line for line in logs if line["event"] == "device clock jumped, times follow arrival"]
    assert len(said) == 1


async def test_intervals_that_add_up_to_hours_do_not_reach_into_the_future(field: Field) -> None:
    """D1: each frame moved the next one 93 minutes further into the future."""
    beat = struct.pack("<BHHB", 60, 65_535, 0, 0x06)
    frames = [frame(PP_INTERVAL, 0, beat * 85)] * 6
    began = datetime.now(UTC)
    async with field.gateway({**STRAP, "pmd": ["pp_interval"]}, polar(*frames)):
        await field.until_values("strap", "pp_interval", 6)
    samples = field.received("strap", "pp_interval")
    assert all(began - timedelta(seconds=600) <= at <= datetime.now(UTC) for at in times(samples))
    assert times(samples) == sorted(times(samples))


async def test_a_frame_that_claims_more_samples_than_it_can_carry_is_undecoded(
    field: Field,
) -> None:
    """D6: 50 bytes became 49 kB."""
    bomb = struct.pack("<BQB", 2, H10_EPOCH, 0x81) + bytes(6) + b"\0\xff" * 17
    entry = {**STRAP, "pmd": ["acceleration"]}
    async with field.gateway(entry, polar(bomb)):
        [undecoded] = await field.until_values("strap", f"undecoded/{PMD_DATA.lower()}", 1)
    assert undecoded["size_bytes"] == 50
    assert undecoded["hex"] == bomb.hex()
    assert (
        max(
            len(message.payload)
            for message in field.subscriber.messages
            if "/strap/" in message.topic
        )
        < 10_000
    )
    assert field.values("strap", "acceleration") == []


async def test_texts_of_a_device_are_cleaned_and_cut(field: Field) -> None:
    hostile = {
        "manufacturer": "Pol\x1b[2Jar\u202e\r\n",
        "model": "H" * 512,
        "serial": "\u200b\u2066",
        "firmware": "1.0\x07\ufeff",
    }
    strap = device(
        "Polar H10", information(**hostile), part(0x180D, {notifying(0x2A37): at_once("0048")})
    )
    async with field.gateway({"id": "strap", "name": "Polar*"}, strap):
        info = await field.until_info("strap", lambda info: "firmware" in info)
    assert info["maker"] == "Pol[2Jar"
    assert info["model"] == "H" * 100
    assert info["serial"] is None
    assert info["firmware"] == "1.0"


def reading(number: int) -> bytes:
    """Return a result of a meter: 2026-11-24 07:30:00, 0.001 kg/L."""
    return bytes([0x02]) + struct.pack(
        "<HHBBBBBHB", number & 0xFFFF, 2026, 11, 24, 7, 30, 0, 0xD001, 0x11
    )


class Meter:
    """A glucose meter that sends records whether it is asked to stop or not, and never answers."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._asked = asyncio.Event()
        self._point = ControlPoint(0x2A52, self._answer)

    def _answer(self, _request: bytes) -> None:
        self._asked.set()

    async def _records(self) -> AsyncGenerator[bytes, None]:
        await self._asked.wait()
        for number in count(1):
            if number > self._most:
                await asyncio.Event().wait()
            yield reading(number)
            await asyncio.sleep(0.005)

    def device(self) -> VirtualPeripheral:
        records: Payloads = self._records
        streams = {
            notifying(0x2A18): records,
            self._point.characteristic: self._point.feed.payloads,
        }
        return device("meter", part(0x1808, streams, readable(0x2A51, b"\0\0")))


async def test_a_meter_that_sends_records_for_ever_leaves_a_bounded_number_of_notes(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: notes that nothing evicted filled the outbox, and each later start ran out of memory."""
    most = 32
    monkeypatch.setattr("healthd.gateway.pipeline.Records", partial(Records, most=most))
    monkeypatch.setattr("healthd.outbox.taken.MOST_RECORDS", most)
    monkeypatch.setattr("healthd.sessions.conversation._MOST_VALUES", 100)
    monkeypatch.setattr("healthd.sessions.conversation.ANSWER_S", 0.5)
    meter = Meter(most=READINGS)
    with capture_logs() as logs:
        async with field.gateway(METER, meter.device()):
            await field.until(
                # The newest one is held back, because the meter has not said that it is done.
                lambda: len(field.values("meter", "glucose/history")) >= READINGS - 1,
                at_most=60,
            )
    # What is forgotten is only that it was fetched: no result is lost.
    numbers = {
        one["sequence_number"]
        for topic in ("glucose", "glucose/history")
        for one in field.values("meter", topic)
    }
    assert numbers == set(range(1, READINGS + 1))
    notes = select(tmp_path / STORE_NAME, "SELECT count(*) FROM records")
    # They are forgotten in batches of a sixteenth.
    assert notes[0][0] <= most + 1 + most // 16
    assert len([line for line in logs if line["event"] == "oldest records forgotten"]) == 1
    failures = [line["reason"] for line in logs if line["event"] == "profile setup failed"]
    assert failures == ["endless"]
    # The next start reads no more than that, and the meter can be gone.
    async with field.gateway(METER):
        await field.until(lambda: starts(field) == 2)
