"""``healthd capture ID``: write what the daemon and a peripheral say to each other to a file."""

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from healthd.cli import console
from healthd.cli.capture_stored import stored_lines
from healthd.cli.capture_writing import CaptureFile
from healthd.cli.daemon_socket import NoDaemon, asking_daemon
from healthd.cli.run import DEFAULT_CONFIG, EXIT_BAD_SETTINGS, EXIT_FAILED
from healthd.doctor.machine import Machine
from healthd.gateway.captures import FOLDER
from healthd.host.folders import state_folder
from healthd.profiles import registry
from healthd.settings.file import read
from healthd.settings.model import Settings
from healthd.settings.problems import SettingsError
from healthd.traffic.codec import BadCapture, decode
from healthd.verbs import RequestRefused

_EXIT_USAGE = 2

# How often the counter is redrawn and the time is checked, if no line comes.
_LOOK_S = 0.5

_PIECE = 65536

_STOP = (signal.SIGINT, signal.SIGTERM)


def main(
    peripheral: str,
    minutes: float | None,
    out: Path,
    keep_identity: bool,
    stored: bool,
    config: Path | None,
) -> int:
    """Write a capture until Ctrl-C, or the one that the daemon has kept on disk.

    Args:
        peripheral: its id.
        minutes: ends the capture; None: it goes on until Ctrl-C.
        out: the file to write.
        keep_identity: write addresses, names and serial numbers as they are.
        stored: write what is on disk instead.
        config: the settings; None for the default file.

    Returns:
        The exit code: 0; 1 no daemon is running, it ended, or the file cannot be written; 2 no such
        peripheral; 78 bad settings.
    """
    file = config or DEFAULT_CONFIG
    try:
        settings = read(file, os.environ, registry.load().listed)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            return _failed(f"{file}: {_OTHER_USER}")
        return _failed(*map(str, error.problems), code=EXIT_BAD_SETTINGS)
    if peripheral not in (known := [entry.id for entry in settings.peripherals]):
        ids = ", ".join(known) or "none"
        return _failed(
            f"no peripheral {peripheral!r} in the settings; peripherals: {ids}", code=_EXIT_USAGE
        )
    if out.exists():
        return _failed(f"{out} exists: healthd capture replaces no file, choose another name")
    try:
        if stored:
            environ = Machine(os.environ).as_daemon(installed=file == DEFAULT_CONFIG)
            folder = state_folder(settings.outbox.directory, environ) / FOLDER
            return _write_stored(peripheral, folder, out, keep_identity)
        return _write_live(peripheral, settings, minutes, out, keep_identity)
    except OSError as error:
        return _failed(f"{error.filename or out}: {error.strerror or error}")


_OTHER_USER = "healthd runs as another user: run this command with sudo"


def _write_stored(peripheral: str, folder: Path, out: Path, keep_identity: bool) -> int:
    try:
        if not any(True for _ in stored_lines(folder, peripheral)):
            return _failed(
                f"{folder} has no capture of {peripheral}; [capture] in the settings keeps one: "
                f'peripherals = ["{peripheral}"]'
            )
        with CaptureFile(out, keep_identity=keep_identity) as written:
            for line in stored_lines(folder, peripheral):
                written.learn(line)
            for line in stored_lines(folder, peripheral):
                written.write(line)
    except PermissionError:
        return _failed(f"{folder}: {_OTHER_USER}")
    except BadCapture as error:
        return _failed(f"{folder}: {error}")
    console.say(f"{out}: {written.count} lines")
    return 0


def _write_live(
    peripheral: str, settings: Settings, minutes: float | None, out: Path, keep_identity: bool
) -> int:
    request = {"verb": "capture", "peripheral": peripheral}
    with ExitStack() as stack:
        try:
            _, connected = stack.enter_context(asking_daemon(settings.gateway.id, request))
        except PermissionError:
            return _failed(_OTHER_USER)
        except NoDaemon as error:
            return _failed(str(error))
        except RequestRefused as error:
            return _failed(f"{peripheral}: {error}")
        written = stack.enter_context(CaptureFile(out, keep_identity=keep_identity))
        until = None if minutes is None else time.monotonic() + minutes * 60
        try:
            has_ended = _copy(connected, until, written)
        except BadCapture as error:
            return _failed(f"healthd sent what this version does not understand: {error}")
    console.say(f"{out}: {written.count} lines")
    return _failed("healthd ended") if has_ended else 0


def _copy(connected: socket.socket, until: float | None, written: CaptureFile) -> bool:
    """Write lines until the time is over or Ctrl-C; return whether the daemon ended before that.

    Raises:
        BadCapture: a line is none.
    """
    # Both finish the file, even if a shell that began the command in the background ignores Ctrl-C.
    before = {each: signal.signal(each, signal.default_int_handler) for each in _STOP}
    began = time.monotonic()
    connected.settimeout(_LOOK_S)
    rest = b""
    try:
        while until is None or time.monotonic() < until:
            try:
                piece = connected.recv(_PIECE)
            except TimeoutError:
                piece = None
            if piece == b"":
                return True
            *lines, rest = (rest + (piece or b"")).split(b"\n")
            for line in lines:
                written.write(decode(line, written.count + 1))
            console.show_progress(f"{written.count} lines in {time.monotonic() - began:.0f} s")
    except KeyboardInterrupt:
        pass
    except ConnectionError:
        return True
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        console.show_progress("")
    return False


def _failed(*lines: str, code: int = EXIT_FAILED) -> int:
    console.complain(*lines)
    return code
