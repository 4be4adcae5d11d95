"""What stops the signs of life, and what does not: the whole daemon, without radio and broker.

The daemon runs in a thread of its own, so that its loop can be blocked; the test acts as systemd.
"""

import asyncio
import os
import random
import sqlite3
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from healthd.gateway.daemon import Daemon
from healthd.outbox.schema import Depth
from healthd.outbox.store import Store
from healthd.profiles import registry
from healthd.settings.model import Settings
from healthd.supervision.notify import Manager
from healthd.supervision.supervisor import Supervisor
from healthd.supervision.watchdog import Gate
from tests.unit.outbox.bench import Bench
from tests.unit.supervision.listener import BOUND_S, Listener

# The daemon sends a sign of life twice in this period.
WATCHDOG_S = 0.2

# The time of ten signs of life.
SILENCE_S = 1.0

REGISTRY = registry.load()
T = TypeVar("T")


class Running:
    """A daemon in a thread; ``stop`` ends it."""

    def __init__(self, folder: Path, notify_socket: str) -> None:
        self._environ = {
            "NOTIFY_SOCKET": notify_socket,
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            "WATCHDOG_PID": str(os.getpid()),
        }
        # Nothing listens on port 1.
        self._settings = Settings.model_validate(
            {
                "gateway": {"id": "gateway"},
                "mqtt": {"brokers": ["127.0.0.1:1"]},
                "outbox": {"directory": folder, "max_size": 1_000_000},
                "peripherals": [{"id": "strap", "name": "Strap"}],
            }
        )
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._started.wait(BOUND_S)

    async def _run(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        daemon = Daemon(self._settings, REGISTRY, self._environ)
        self._started.set()
        await daemon.run(self._stop)

    def inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the daemon's loop, which proves that the loop is alive."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(BOUND_S)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(BOUND_S)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'no-bus'}")


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    with Listener(tmp_path / "notify") as listener:
        yield listener


@pytest.fixture
def daemon(systemd: Listener, tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "state", systemd.address)
    try:
        yield running
    finally:
        running.stop()


def expect_alive(systemd: Listener, times: int = 3) -> None:
    """Wait for this number of new signs of life."""
    systemd.discard()
    for _ in range(times):
        message = systemd.next()
        assert message is not None
        assert message.get("WATCHDOG") == "1"


def test_ready_signs_of_life_and_stopping(daemon: Running, systemd: Listener) -> None:
    first = systemd.next()
    assert first is not None
    assert first["READY"] == "1"
    # Neither radio nor broker is available, and neither is needed.
    expect_alive(systemd, 10)
    status = systemd.until("STATUS", "1 searching, outbox 0")[-1]
    assert status.keys() == {"STATUS", "WATCHDOG"}
    daemon.stop()
    assert systemd.until("STOPPING", "1")[-1]["STATUS"] == "stopping"


def test_a_blocked_loop_stops_the_signs_of_life(daemon: Running, systemd: Listener) -> None:
    expect_alive(systemd)
    blocked, release = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        release.wait(BOUND_S)

    daemon.loop.call_soon_threadsafe(block)
    assert blocked.wait(BOUND_S)
    assert systemd.is_silent(SILENCE_S)
    release.set()
    expect_alive(systemd)


def test_a_hung_outbox_thread_stops_the_signs_of_life(
    daemon: Running, systemd: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_alive(systemd)
    hung, release, healthy = threading.Event(), threading.Event(), Store.depth

    def hang(store: Store) -> Depth:
        assert threading.current_thread().name.startswith("outbox")
        hung.set()
        release.wait(BOUND_S)
        return healthy(store)

    monkeypatch.setattr(Store, "depth", hang)
    assert hung.wait(BOUND_S)
    assert systemd.is_silent(SILENCE_S)
    assert daemon.inside(asyncio.sleep(0, "alive")) == "alive"
    release.set()
    expect_alive(systemd)


def test_a_failing_disk_does_not_stop_the_signs_of_life(
    daemon: Running, systemd: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_alive(systemd)
    failures = 0

    def fail(_: Store) -> Depth:
        nonlocal failures
        failures += 1
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Store, "depth", fail)
    while not failures:
        expect_alive(systemd, 1)
    before = failures
    expect_alive(systemd, 5)
    assert failures > before


def test_a_missing_restart_stops_the_signs_of_life(
    systemd: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[Any]
) -> None:
    wake = asyncio.Event()

    async def oversleep(wait_s: float) -> None:
        await wake.wait()
        await asyncio.sleep(wait_s)

    module = "healthd.supervision.supervisor"
    monkeypatch.setattr(
        f"{module}.asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": oversleep})
    )
    monkeypatch.setattr(f"{module}.LATE_AFTER_S", -3600)  # a wait is late as soon as it begins
    daemon = Running(tmp_path / "state", systemd.address)
    try:
        while not any(line["event"] == "not restarted in time" for line in log):
            daemon.inside(asyncio.sleep(0))
        assert systemd.is_silent(SILENCE_S)
        daemon.loop.call_soon_threadsafe(wake.set)
        monkeypatch.setattr(f"{module}.LATE_AFTER_S", 5)
        expect_alive(systemd)
    finally:
        daemon.stop()


async def test_the_status_of_the_outbox_writes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.outbox() as outbox:

        def files() -> dict[str, tuple[int, int]]:
            found = [file.stat() for file in sorted(bench.folder.iterdir())]
            return {str(one.st_ino): (one.st_size, one.st_mtime_ns) for one in found}

        before = files()
        for _ in range(20):
            await outbox.stats()
        assert files() == before


async def test_without_a_manager_the_gate_returns_at_once() -> None:
    async def describe() -> str:
        pytest.fail("the outbox was asked")

    await Gate(Manager({}), Supervisor(random.Random()), describe).run(lambda: None)
