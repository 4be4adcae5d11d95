"""What an id may contain; apart from the other types of settings, because completion needs it."""

import re

# A dot or a space in a topic level breaks NATS, RabbitMQ or Home Assistant.
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def is_slug(value: object) -> bool:
    """Return whether it can be the id of a gateway, a peripheral or a person."""
    return isinstance(value, str) and _SLUG.fullmatch(value) is not None
