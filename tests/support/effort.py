"""How much a test tries: little in ``make test``, much in the commands for long runs."""

import os

FULL = bool(os.environ.get("FULL_EFFORT"))
"""Whether the command set ``FULL_EFFORT`` (``make attack``, ``make fuzz``)."""


def effort(quick: int, full: int) -> int:
    """Return ``full`` in the commands for long runs, else ``quick``."""
    return full if FULL else quick
