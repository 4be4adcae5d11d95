"""Payloads of messages from any publisher, within bounds."""

from collections.abc import Iterable
from typing import Any, cast

import orjson

# Far above what healthd publishes; deeper JSON is refused by some programs that read the rows.
MAX_DEPTH = 64


def text_of(payload: bytes) -> str:
    """Return the payload as text."""
    return payload.decode("utf-8", "replace")


def readable(payload: bytes) -> object:
    """Return the payload as a JSON value, or as text if it is not JSON or nested too deeply."""
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return text_of(payload)
    return text_of(payload) if _is_deep(value) else value


def json_object(payload: bytes, longest: int) -> dict[str, Any] | None:
    """Return the payload as a JSON object; None if it is anything else.

    Args:
        payload: any bytes.
        longest: of a longer payload nothing is read.
    """
    if len(payload) > longest:
        return None
    value = readable(payload)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()
