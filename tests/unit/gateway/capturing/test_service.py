"""Captures of commands and of the settings, over the radio of the simulator."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from healthd.central.adapters import Adapters
from healthd.central.radio import Radio
from healthd.gateway.captures import Captures
from healthd.gateway.capturing import service
from healthd.gateway.capturing.ring import parts
from healthd.settings.model import CaptureSettings, PeripheralSettings
from healthd.traffic.codec import lines
from healthd.traffic.lines import AdapterChanged, Line, Missing, Start
from healthd.verbs import RequestRefused
from tests.support.polling import until
from tests.support.stage import BOUND_S, Stage, by_address

GIVEN = {
    "id": "strap",
    "address": "C0:00:00:00:00:01",
    "passkey_file": "/etc/anna/passkey",
    "every": ["08:00", "20:00"],
    "window": "90s",
}
ENTRY = PeripheralSettings.model_validate(GIVEN)


def entry_of(peripheral: str) -> PeripheralSettings | None:
    return ENTRY if peripheral == "strap" else None


def captures_of(radio: Radio, state: Path) -> Captures:
    return Captures(radio, Adapters(), entry_of, state, "run", has_bluez=False)


@asynccontextmanager
async def captures_on(stage: Stage, state: Path) -> AsyncGenerator[Captures]:
    async with asyncio.timeout(BOUND_S), stage.radio(by_address(1)) as radio:
        yield captures_of(radio, state)


async def first_lines(pieces: AsyncGenerator[bytes], number: int) -> list[Line]:
    text = b""
    async for piece in pieces:
        text += piece
        if text.count(b"\n") >= number:
            break
    return list(lines(text.splitlines()))


async def test_a_start_says_what_the_settings_say_but_no_secret(
    stage: Stage, tmp_path: Path
) -> None:
    async with (
        captures_on(stage, tmp_path) as captures,
        captures.stream({"peripheral": "strap"}) as pieces,
    ):
        (start,) = await first_lines(pieces, 1)
    assert isinstance(start, Start)
    assert start.peripheral == {**GIVEN, "passkey_file": "left out"}
    assert start.system["kernel"] == os.uname().release
    assert start.healthd["run"] == "run"


@pytest.mark.parametrize("fields", [{}, {"peripheral": "belt"}, {"peripheral": 5}])
async def test_an_unknown_peripheral_is_refused(
    stage: Stage, tmp_path: Path, fields: dict[str, object]
) -> None:
    async with captures_on(stage, tmp_path) as captures:
        with pytest.raises(RequestRefused, match="expected one of the running healthd"):
            async with captures.stream(fields):
                pass


async def test_there_are_only_a_few_captures_at_a_time(stage: Stage, tmp_path: Path) -> None:
    async with captures_on(stage, tmp_path) as captures:
        async with AsyncExitStack() as stack:
            for _ in range(service.MOST_STREAMS):
                await stack.enter_async_context(captures.stream({"peripheral": "strap"}))
            with pytest.raises(RequestRefused, match="4 captures already"):
                async with captures.stream({"peripheral": "strap"}):
                    pass
        async with captures.stream({"peripheral": "strap"}):
            pass


async def test_all_captures_of_a_peripheral_get_what_happens(stage: Stage, tmp_path: Path) -> None:
    async with captures_on(stage, tmp_path) as captures:
        request = {"peripheral": "strap"}
        async with captures.stream(request) as first, captures.stream(request) as second:
            captures.on_adapter("lost", "hci0", "unplugged")
            for pieces in (first, second):
                _, changed = await first_lines(pieces, 2)
                assert isinstance(changed, AdapterChanged)
                assert (changed.change, changed.detail) == ("lost", "hci0 unplugged")
        captures.on_adapter("found", "hci0", "")


async def test_without_a_capture_nothing_is_kept(stage: Stage, tmp_path: Path) -> None:
    async with captures_on(stage, tmp_path) as captures:
        running = asyncio.create_task(captures.run(lambda: None))
        await asyncio.sleep(0)
        captures.on_adapter("lost", "hci0", "")
        running.cancel()
        await asyncio.wait({running})
    assert not parts(tmp_path / "capture")
    assert not tmp_path.joinpath("capture").exists()


async def test_a_folder_that_cannot_be_made_is_tried_again(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_TRY_AGAIN_S", 0.1)
    (tmp_path / "capture").write_text("in the way")
    async with captures_on(stage, tmp_path) as captures:
        captures.use(CaptureSettings(peripherals=("strap",)))
        with capture_logs() as logs:
            running = asyncio.create_task(captures.run(lambda: None))

            async def is_logged() -> bool:
                return bool(logs)

            assert await until(is_logged, BOUND_S, 0.05)
            (tmp_path / "capture").unlink()
            assert await until(lambda: has_files(tmp_path), BOUND_S, 0.05)
            running.cancel()
            await asyncio.wait({running})
    assert {line["event"] for line in logs} == {"capture not written"}


async def has_files(tmp_path: Path) -> bool:
    return bool(parts(tmp_path / "capture"))


async def test_lines_that_the_disk_refuses_are_counted(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WRITE_EVERY_S", 0.05)
    async with captures_on(stage, tmp_path) as captures:
        captures.use(CaptureSettings(peripherals=("strap",)))
        running = asyncio.create_task(captures.run(lambda: None))
        assert await until(lambda: has_files(tmp_path), BOUND_S, 0.05)
        (first,) = parts(tmp_path / "capture")
        # In the way of the file, as root may write to any file.
        first.file.rename(tmp_path / "away")
        first.file.mkdir()
        with capture_logs() as logs:
            captures.on_adapter("lost", "hci0", "")

            async def is_logged() -> bool:
                return bool(logs)

            assert await until(is_logged, BOUND_S, 0.05)
        captures.on_adapter("found", "hci0", "")
        assert await until(lambda: has_two(tmp_path), BOUND_S, 0.05)
        running.cancel()
        await asyncio.wait({running})
    second = parts(tmp_path / "capture")[-1].file
    found = list(lines(second.read_bytes().splitlines()))
    assert [type(line) for line in found] == [Start, Missing, AdapterChanged]
    assert [line.count for line in found if isinstance(line, Missing)] == [1]


async def has_two(tmp_path: Path) -> bool:
    found = parts(tmp_path / "capture")
    return len(found) == 2 and found[-1].file.stat().st_size > 0
