"""Standard error that cannot be written: healthd samples, delivers and stops as ever."""

import asyncio
import os
import pty
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import orjson
import pytest

from healthd.simulator.broker import EmbeddedBroker
from tests.support.process import clean_environment
from tests.support.restartable import guarded
from tests.support.subscriber import Received, Subscriber

ROOT = Path(__file__).parents[2]
HEALTH = "healthd/gateway/health"

# On a busy machine, starting Python and a link has taken more than 15 s.
START_S = 40.0

# Regular ends take less than a second; systemd waits for 20 s before it kills.
STOP_S = 15.0


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def settings(tmp_path: Path, broker: EmbeddedBroker) -> Path:
    file = tmp_path / "healthd.toml"
    file.write_text(f"""
        gateway.id = "gateway"
        log.level = "debug"
        mqtt.brokers = ["{broker.host}:{broker.port}"]
        mqtt.requests = ["scan"]
        [outbox]
        directory = "{tmp_path / "outbox"}"
        max_size = "16MB"
        [[peripherals]]
        id = "strap"
        address = "A0:9E:1A:00:00:01"
    """)
    return file


@asynccontextmanager
async def demo(
    settings: Path, stderr: int | None, shell: str = 'exec "$@"'
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run ``healthd demo`` with this standard error; it is killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *guarded("/bin/sh", "-c", shell, "sh", sys.executable, "-m", "healthd", "demo"),
        "--config",
        str(settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=stderr,
        env={**clean_environment(), "PYTHONFAULTHANDLER": "1"},
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def streams(subscriber: Subscriber, process: asyncio.subprocess.Process) -> None:
    """Wait for samples that were not there before."""
    before = len(subscriber.messages)

    def more(messages: list[Received]) -> bool:
        live = [one for one in messages[before:] if one.topic.endswith("strap/heart_rate")]
        return len(live) >= 3 or process.returncode is not None

    await subscriber.until(more, START_S)
    assert process.returncode is None, "healthd has ended"


async def lines_lost(subscriber: Subscriber) -> int:
    """Return what ``health`` says."""
    await subscriber.until(lambda messages: any(one.topic == HEALTH for one in messages))
    newest = [one for one in subscriber.messages if one.topic == HEALTH][-1]
    lost = newest.json()["log_lines_lost"]
    assert isinstance(lost, int)
    return lost


async def ends_well(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_S):
        assert await process.wait() == 0


def _full_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    _fill(writer)
    return reader, writer


def _full_socket() -> tuple[int, int]:
    """As journald's, when it stands still."""
    reader, writer = (end.detach() for end in socket.socketpair())
    _fill(writer)
    return reader, writer


def _fill(writer: int) -> None:
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"\n" * 4096)
    os.set_blocking(writer, True)


def _stopped_terminal() -> tuple[int, int]:
    """A terminal on which Ctrl-S was pressed."""
    reader, writer = pty.openpty()
    os.write(reader, b"\x13")
    _fill(writer)
    return reader, writer


@contextmanager
def _gone(reader: int, writer: int) -> Generator[int]:
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("make", [_full_pipe, _full_socket, _stopped_terminal])
async def test_a_log_that_is_not_read(
    make: Callable[[], tuple[int, int]], settings: Path, broker: EmbeddedBroker
) -> None:
    reader, writer = make()
    async with (
        Subscriber(broker.port, "healthd/#") as subscriber,
        demo(settings, writer) as process,
    ):
        await streams(subscriber, process)
        assert await lines_lost(subscriber) == 0  # they wait
        await ends_well(process)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    "make",
    [os.pipe, lambda: tuple(end.detach() for end in socket.socketpair()), pty.openpty],
    ids=["pipe", "socket", "terminal"],
)
async def test_the_reader_of_the_log_is_gone(
    make: Callable[[], tuple[int, int]], settings: Path, broker: EmbeddedBroker
) -> None:
    with _gone(*make()) as writer:
        with pytest.raises(OSError, match=r"Broken pipe|Input/output error"):
            os.write(writer, b"x")
        async with (
            Subscriber(broker.port, "healthd/#") as subscriber,
            demo(settings, writer) as process,
        ):
            await streams(subscriber, process)
            assert await lines_lost(subscriber) > 0
            await ends_well(process)


async def test_the_reader_of_the_log_goes_away(settings: Path, broker: EmbeddedBroker) -> None:
    reader, writer = os.pipe()
    async with (
        Subscriber(broker.port, "healthd/#") as subscriber,
        demo(settings, writer) as process,
    ):
        os.close(writer)
        await streams(subscriber, process)
        assert orjson.loads(os.read(reader, 65536).partition(b"\n")[0])["event"] == "demo"
        os.close(reader)
        # A request that is refused is a log line.
        subscriber.send("healthd/gateway/request/scan", b"{")
        await subscriber.until(lambda _: subscriber.at("healthd/gateway/response/scan"))
        await streams(subscriber, process)
        await ends_well(process)


async def test_the_disk_of_the_log_is_full(settings: Path, broker: EmbeddedBroker) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        os.write(full, b"x")
    async with (
        Subscriber(broker.port, "healthd/#") as subscriber,
        demo(settings, full) as process,
    ):
        os.close(full)
        await streams(subscriber, process)
        assert await lines_lost(subscriber) > 0
        await ends_well(process)


async def test_standard_error_is_closed(settings: Path, broker: EmbeddedBroker) -> None:
    async with (
        Subscriber(broker.port, "healthd/#") as subscriber,
        demo(settings, None, 'exec "$@" 2>&-') as process,
    ):
        await streams(subscriber, process)
        # No file or socket of healthd got the number of standard error.
        assert _target(process.pid, 2) == os.devnull
        assert await lines_lost(subscriber) > 0
        await ends_well(process)


def _target(pid: int, descriptor: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())


async def test_the_last_lines_are_written_when_the_reader_comes_back(
    settings: Path, broker: EmbeddedBroker
) -> None:
    reader, writer = _full_pipe()
    async with (
        Subscriber(broker.port, "healthd/#") as subscriber,
        demo(settings, writer) as process,
    ):
        os.close(writer)
        await streams(subscriber, process)
        process.send_signal(signal.SIGTERM)
        with os.fdopen(reader, "rb") as log:
            text = await asyncio.to_thread(log.read)
        assert await process.wait() == 0
    events = [orjson.loads(line)["event"] for line in text.splitlines() if line]
    assert events[0] == "demo"
    assert events[-1] == "stopped"
    assert "streaming" in [orjson.loads(line).get("state") for line in text.splitlines() if line]
