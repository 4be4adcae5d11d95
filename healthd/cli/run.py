"""``healthd run``: the daemon."""

import argparse
import asyncio
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from healthd.errors import Fatal
from healthd.log import configure, get_logger

DEFAULT_CONFIG = Path("/etc/healthd/healthd.toml")

EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 78  # EX_CONFIG of sysexits.h; systemd is told not to restart on it


class Main(Protocol):
    """A long-running command's body; ends soon after the event it is given is set."""

    def __call__(self, stop: asyncio.Event) -> Coroutine[Any, Any, None]:
        """Run until ``stop`` is set."""
        ...


def main(arguments: Sequence[str]) -> int:
    """Run the daemon until SIGTERM or SIGINT.

    Args:
        arguments: the command line behind ``run``.

    Returns:
        The exit code: 0, 1 failed, 78 bad settings.
    """
    parser = argparse.ArgumentParser(prog="healthd run", description="Run the daemon.")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="settings (default: %(default)s)"
    )
    config: Path = parser.parse_args(arguments).config
    configure()
    return until_signal(lambda stop: _run(config, stop))


async def _run(config: Path, stop: asyncio.Event) -> None:
    # Imported late: a bad command line must not pay for the radio and the broker's client.
    from healthd.daemon import Daemon
    from healthd.profiles import registry
    from healthd.settings_file import read

    known = registry.load()
    settings = read(config, os.environ, known.profiles)
    configure(settings.log.level)
    await Daemon(settings, known, os.environ).run(stop)


def until_signal(body: Main) -> int:
    """Run ``body`` with an event that SIGTERM and SIGINT set; the exit code of its end."""
    try:
        asyncio.run(_with_signals(body))
    except Exception as error:
        # Imported late, like everything that a bad command line does not need.
        from healthd.supervision.supervisor import root_cause

        cause = root_cause(error)
        if isinstance(cause, Fatal):
            _tell(cause)
            return EXIT_BAD_SETTINGS
        get_logger().critical("failed", error=str(cause), exc_info=cause)
        return EXIT_FAILED
    return 0


async def _with_signals(body: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await body(stop)


def _tell(error: Fatal) -> None:
    from healthd.settings_file import SettingsError

    log = get_logger()
    if not isinstance(error, SettingsError):
        log.critical("bad settings", error=str(error))
        return
    for problem in error.problems:
        log.critical(
            "bad setting",
            file=problem.source,
            key=problem.key,
            found=problem.found,
            expected=problem.expected,
        )
