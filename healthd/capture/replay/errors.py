"""What bleak raises for an error that a capture has as a text."""

import re

from bleak.exc import (
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

# What bleak-retry-connector writes in front of the reason; replayed, it writes that again.
_RETRIED = re.compile(r".*: Failed to connect after \d+ attempt\(s\): ?")

# How bleak shows an error of D-Bus.
_DBUS = re.compile(r"\[(?P<name>[\w.]+)\] ?(?P<text>.*)", re.DOTALL)


def is_silence(error: str | None) -> bool:
    """Whether a request was never answered: the central gave up."""
    return error is not None and "gave up waiting" in error


# By name, as healthd's table of faults has it.
_PassedOn = type("BleakError", (Exception,), {})


def connect_error_of(text: str) -> Exception:
    """Return what a connect raises that failed.

    bleak-retry-connector tries again after many errors, and the capture has one line for all its
    tries. So this is an exception that it passes on.
    """
    error = error_of(text)
    if not isinstance(error, BleakError):
        return error
    kind: type[Exception] = type(type(error).__name__, (_PassedOn,), {})
    return kind(str(error))


def error_of(text: str, code: int | None = None) -> Exception:
    """Return the exception that bleak raises, so that the same fault is recognised.

    Args:
        text: the error of a line.
        code: its ATT error code; None if there is none.
    """
    if code is not None and 0 < code <= 0xFF:
        return BleakGATTProtocolError(code)
    text = _RETRIED.sub("", text, count=1)
    if text in ("", "TimeoutError"):
        return TimeoutError()
    if found := _DBUS.fullmatch(text):
        return BleakDBusError(found["name"], [found["text"]])
    if "was not found" in text:
        return BleakDeviceNotFoundError("", text)
    return BleakError(text)
