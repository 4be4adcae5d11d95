"""Where the parts of a document lead."""

from typing import Any


def references(part: Any) -> Any:
    """Every ``$ref`` in a document."""
    if isinstance(part, dict):
        for key, value in part.items():  # pyright: ignore[reportUnknownVariableType]
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(part, list):
        for value in part:  # pyright: ignore[reportUnknownVariableType]
            yield from references(value)
