"""SHA-256 as Python itself has it.

hashlib prefers the one of OpenSSL, whose library takes 4 MB of memory. A gateway that connects to
its broker without TLS needs nothing else of it.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast


class Hash(Protocol):
    """The part of a hash object that healthd uses."""

    def digest(self) -> bytes:
        """Return the 32 bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the 64 hex digits."""
        ...


def _constructor() -> Callable[[bytes], Hash]:
    # From Python 3.12 on, in 3.11, and where a system's Python has neither (as FIPS may demand).
    for module in ("_sha2", "_sha256"):
        try:
            return cast("Callable[[bytes], Hash]", import_module(module).sha256)
        except ImportError:
            continue
    return cast("Callable[[bytes], Hash]", import_module("hashlib").sha256)


sha256 = _constructor()
"""Return a hash of these bytes; see ``Hash``."""
