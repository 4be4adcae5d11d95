"""``healthd capture`` as a process, next to a daemon on simulated devices."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from healthd.profiles.uuids import canonical_uuid
from healthd.simulator.part import Sent
from healthd.traffic.codec import lines
from healthd.traffic.lines import Line
from tests.end_to_end.simulated_gateway import BOUND_S, toml
from tests.support.polling import until
from tests.support.process import clean_environment


class SentValues:
    """What simulated devices sent, by characteristic; records it."""

    def __init__(self) -> None:
        """Start empty."""
        self.by_uuid: dict[str, list[bytes]] = defaultdict(list)

    def record(self, sent: Sent) -> None:
        """See ``VirtualPeripheral``."""
        key = sent.uuid if "data" in sent.uuid else canonical_uuid(sent.uuid)
        self.by_uuid[key].append(sent.payload)


class Command:
    """``healthd capture`` of one peripheral."""

    def __init__(self, process: Process, file: Path) -> None:
        """Follow this process, which writes this file."""
        self.process = process
        self.file = file

    def lines(self) -> list[Line]:
        """Return the whole lines that the file has now."""
        return whole_lines(self.file)

    async def until(self, holds: Callable[[list[Line]], bool]) -> list[Line]:
        """Wait until the lines of the file fulfil a condition; return them."""
        await until_lines(self.lines, holds)
        return self.lines()

    async def end(self) -> list[Line]:
        """Press Ctrl-C, and return all lines."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(BOUND_S):
            out, complaint = await self.process.communicate()
        assert self.process.returncode == 0, (out, complaint)
        return self.lines()


def whole_lines(file: Path) -> list[Line]:
    """Return the lines of a file, without one that is not whole."""
    text = file.read_bytes() if file.exists() else b""
    whole = text[: text.rfind(b"\n") + 1].splitlines()
    return list(lines(whole)) if whole else []


async def until_lines(found: Callable[[], list[Line]], holds: Callable[[list[Line]], bool]) -> None:
    """Wait until lines fulfil a condition."""

    async def now() -> bool:
        return holds(found())

    assert await until(now, BOUND_S, 0.1), [line.what for line in found()]


def command_line(
    folder: Path, settings: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], *words: str
) -> list[str]:
    """Return the command, with its settings in a file."""
    config = folder / "healthd.toml"
    config.write_text(toml(settings, entries))
    return [sys.executable, "-m", "healthd", "capture", *words, "--config", str(config)]


@asynccontextmanager
async def capturing(
    folder: Path,
    settings: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    peripheral: str,
    *options: str,
) -> AsyncGenerator[Command]:
    """Run ``healthd capture``; the block begins when it has written its first line."""
    file = folder / f"{peripheral}.jsonl"
    words = command_line(folder, settings, entries, peripheral, "--out", str(file), *options)
    environ = {**clean_environment(), "RUNTIME_DIRECTORY": str(folder)}
    process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=PIPE, env=environ)
    command = Command(process, file)
    try:
        await command.until(bool)
        yield command
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
