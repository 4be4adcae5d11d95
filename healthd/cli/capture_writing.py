"""The file that ``healthd capture`` writes, line by line."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from healthd.traffic.codec import decode, encode
from healthd.traffic.lines import Line
from healthd.traffic.masking import Masker


class CaptureFile:
    """A new file; as a context, it is closed at the end.

    Attributes:
        count: how many lines were written.
    """

    def __init__(self, file: Path, *, keep_identity: bool) -> None:
        """Create the file.

        Args:
            file: its path; it must not exist.
            keep_identity: write addresses, names and serial numbers as they are.

        Raises:
            OSError: it exists, or cannot be created.
        """
        self.count = 0
        self._file = file
        self._masker = Masker(keep_identity=keep_identity)
        # For its owner only: it says something about people's health.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._opened = os.fdopen(os.open(file, flags, 0o600), "wb")

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._opened.close()

    def learn(self, line: Line) -> None:
        """Learn from a line that will be written later."""
        self._masker.learn(line)

    def write(self, line: Line) -> None:
        """Write a line, masked.

        Raises:
            OSError: the disk is full, or fails.
        """
        self._opened.write(encode(self._masker.line(line)) + b"\n")
        self._opened.flush()
        self.count += 1
        if self._masker.late:
            self._mask_again()

    def _mask_again(self) -> None:
        """Mask earlier lines as well, at once: the command may be killed at any time."""
        self._opened.close()
        draft = self._file.with_name(f".{self._file.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with (
            self._file.open("rb") as lines,
            os.fdopen(os.open(draft, flags, 0o600), "wb") as masked,
        ):
            for number, text in enumerate(lines, start=1):
                line = self._masker.again(decode(text, number))
                masked.write(encode(line) + b"\n")
        draft.replace(self._file)
        self._masker.late = False
        self._opened = self._file.open("ab")
