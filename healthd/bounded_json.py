"""JSON that other programs have written, read within bounds.

A parser accepts much deeper values than an encoder, so a value that was read could not always be
written again, not even into an error.
"""

from typing import NamedTuple, cast

import orjson


class Bounds(NamedTuple):
    """How much is accepted.

    Attributes:
        size: bytes of the text.
        depth: lists and objects within each other.
        values: values in all, keys included.
    """

    size: int
    depth: int
    values: int


def parsed(text: bytes, bounds: Bounds) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, or not within the bounds.
    """
    if len(text) > bounds.size:
        raise ValueError(f"longer than {bounds.size} bytes")
    value: object = orjson.loads(text)
    level: list[object] = [value]
    count = depth = 0
    while level:
        count += len(level)
        if count > bounds.values:
            raise ValueError(f"more than {bounds.values} values")
        if depth > bounds.depth:
            raise ValueError(f"nested deeper than {bounds.depth} levels")
        level, depth = _parts(level), depth + 1
    return value


def _parts(level: list[object]) -> list[object]:
    parts: list[object] = []
    for value in level:
        if isinstance(value, dict):
            fields = cast("dict[str, object]", value)
            parts.extend(fields)
            parts.extend(fields.values())
        elif isinstance(value, list):
            parts.extend(cast("list[object]", value))
    return parts
