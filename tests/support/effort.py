"""How much a test tries: little in ``make test``, much in the commands for long runs."""

import os


def effort(quick: int, full: int) -> int:
    """Return ``full`` if the command set ``FULL_EFFORT`` (``make attack``, ``make fuzz``)."""
    return full if os.environ.get("FULL_EFFORT") else quick
