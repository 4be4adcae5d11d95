"""Payloads of messages from any publisher, within bounds."""

from typing import Any, cast

from healthd.bounded_json import Bounds, parsed

# Far above what healthd publishes. Deeper JSON is refused by some programs that read the rows, and
# a megabyte of brackets takes a hundred megabytes of memory.
_BOUNDS = Bounds(size=1024 * 1024, depth=64, values=100_000)


def text_of(payload: bytes) -> str:
    """Return the payload as text."""
    return payload.decode("utf-8", "replace")


def readable(payload: bytes) -> object:
    """Return the payload as a JSON value, or as text if it is not JSON or beyond the bounds."""
    try:
        return parsed(payload, _BOUNDS)
    except ValueError:
        return text_of(payload)


def json_object(payload: bytes, longest: int) -> dict[str, Any] | None:
    """Return the payload as a JSON object; None if it is anything else.

    Args:
        payload: any bytes.
        longest: of a longer payload nothing is read.
    """
    try:
        value = parsed(payload, _BOUNDS._replace(size=longest))
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
