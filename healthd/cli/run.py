"""``healthd run``: the daemon."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from healthd.errors import Fatal, FileUnavailable
from healthd.log import configure, get_logger

if TYPE_CHECKING:
    from healthd.settings.model import MqttSettings

DEFAULT_CONFIG = Path("/etc/healthd/healthd.toml")

EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 78  # EX_CONFIG of sysexits.h; the unit does not restart after it


class Main(Protocol):
    """The body of a long-running command; it ends soon after ``stop`` is set."""

    def __call__(self, stop: asyncio.Event) -> Coroutine[Any, Any, None]:
        """Run until ``stop`` is set."""
        ...


def main(config: str | Path = DEFAULT_CONFIG) -> int:
    """Run the daemon until SIGTERM or SIGINT; it reloads its settings at SIGHUP.

    Args:
        config: the settings file.

    Returns:
        The exit code: 0, 1 failed or a file is missing that may come back, 78 bad settings.
    """
    configure()
    # Ignore SIGHUP while no event loop handles it: before the settings are read and after the stop
    # a reload changes nothing, and the default action would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return until_signal(lambda stop: _run(Path(config), stop))


async def _run(config: Path, stop: asyncio.Event) -> None:
    # Imported late: a wrong command line must not load the radio and the MQTT client.
    from healthd.gateway.daemon import Daemon
    from healthd.gateway.reload import Source
    from healthd.profiles import registry
    from healthd.settings.file import read

    hung_up = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    try:
        known = registry.load(_log_profile)
        source = Source(hung_up, partial(read, config, os.environ, known.listed))
        settings = source.read()
        configure(settings.log.level)
        daemon = Daemon(settings, known, os.environ)
        _log_notices(settings.mqtt, os.environ)
        await daemon.run(stop, source)
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _log_profile(name: str, text: str) -> None:
    get_logger().error("profile not read", profile=name, error=text)


def _log_notices(mqtt: "MqttSettings", environ: Mapping[str, str]) -> None:
    """Log what is accepted, but may not be what the user wants."""
    from healthd.settings.environment import ignored_variables
    from healthd.settings.secret_files import PASSWORD_FILE, credential, password

    log = get_logger()
    for variable in ignored_variables(environ):
        log.warning(
            "variable ignored",
            variable=variable,
            hint="settings are HEALTHD_<SECTION>__<KEY>, with two underscores; Kubernetes and "
            "Docker set others for a service named healthd, which do no harm",
        )
    has_place = mqtt.password_file is not None or credential(environ) is not None
    if has_place and password(mqtt, environ) is None:
        # With a user name it is probably a mistake, without one the broker may accept everyone.
        (log.info if mqtt.username is None else log.warning)(
            "no password",
            error=f"{mqtt.password_file or PASSWORD_FILE} is empty or missing",
            hint="healthd logs in to the broker without a password; if the broker wants one, "
            "write it into this file and restart healthd",
        )


def until_signal(
    body: Main, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> int:
    """Run ``body`` with an event that SIGTERM and SIGINT set; return the exit code.

    Args:
        body: what to run.
        loop_factory: makes the event loop; None: the usual one.
    """
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_with_signals(body))
    except Exception as error:
        # Imported late, like everything that a wrong command line does not need.
        from healthd.supervision.supervisor import root_cause

        cause = root_cause(error)
        if isinstance(cause, Fatal):
            from healthd.settings.problems import log_problems

            log_problems(cause, "the service tries again every few seconds")
            return EXIT_FAILED if isinstance(cause, FileUnavailable) else EXIT_BAD_SETTINGS
        get_logger().critical("failed", error=str(cause), exc_info=cause)
        return EXIT_FAILED
    return 0


async def _with_signals(body: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await body(stop)
