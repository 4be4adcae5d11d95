"""What the whole daemon does that no part does alone."""

import asyncio
from pathlib import Path

import pytest

from healthd.central.link import Backends
from healthd.cli.run import EXIT_FAILED, until_signal
from healthd.gateway.daemon import Daemon
from healthd.host import descriptors
from healthd.profiles import registry
from healthd.settings.model import Settings


def test_a_leak_of_files_stops_the_daemon_cleanly_so_that_it_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(descriptors, "LIMIT", 1)
    settings = Settings.model_validate(
        {
            "mqtt": {"brokers": ["127.0.0.1:1"]},
            "outbox": {"directory": tmp_path, "max_size": "4MB"},
        }
    )
    stopped: list[bool] = []

    async def body(stop: asyncio.Event) -> None:
        try:
            await Daemon(settings, registry.load(), {}, Backends()).run(stop)
        finally:
            stopped.append(stop.is_set())

    # Not 78: that is the only exit code after which systemd does not restart the service.
    assert until_signal(body) == EXIT_FAILED
    assert stopped == [True]
    written = capfd.readouterr()
    lines = (written.out + written.err).splitlines()
    leak_lines = [index for index, line in enumerate(lines) if "leak" in line]
    assert leak_lines
    assert leak_lines[0] < next(i for i, line in enumerate(lines) if "stopping" in line)
