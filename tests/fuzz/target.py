"""What all targets have in common."""

import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar


class Target:
    """Passes bytes from outside to one parser of healthd. Base of ``Target`` in each module.

    Use it as a context manager.
    """

    words: ClassVar[Sequence[bytes]] = ()
    """Parts that random changes of bytes would hardly find."""

    def seeds(self) -> Iterable[bytes]:
        """Yield good inputs to begin with."""
        raise NotImplementedError

    def fuzz(self, data: bytes) -> None:
        """Pass the bytes on, and check what comes out.

        Raises:
            Exception: for anything but the errors that the parser documents.
        """
        raise NotImplementedError

    def __enter__(self) -> "Target":
        """Open what the parser needs."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""


def folder() -> "TemporaryDirectory[str]":
    """Return a new folder for parsers of files, in memory if the machine has such a place."""
    memory = Path("/dev/shm")
    return TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def names() -> list[str]:
    """Return the names of all targets: the modules of ``tests/fuzz/targets``."""
    return sorted(file.stem for file in (Path(__file__).parent / "targets").glob("[a-z]*.py"))


def load(name: str) -> Target:
    """Return the target of a module."""
    made = importlib.import_module(f"tests.fuzz.targets.{name}").Target()
    assert isinstance(made, Target)
    return made
