"""References within a JSON document."""

from typing import Any


def references(part: Any) -> Any:
    """Yield every ``$ref`` in a document."""
    if isinstance(part, dict):
        for key, value in part.items():  # pyright: ignore[reportUnknownVariableType]
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(part, list):
        for value in part:  # pyright: ignore[reportUnknownVariableType]
            yield from references(value)
