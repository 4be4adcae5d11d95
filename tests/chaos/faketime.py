"""libfaketime: control the wall clock of a process, but not its monotonic clock."""

from pathlib import Path

import pytest

_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
LIBRARY = next(
    (found for place in _PLACES for found in Path(place).glob("**/libfaketimeMT.so.1")), None
)
needs_faketime = pytest.mark.skipif(
    LIBRARY is None, reason="NOT TESTED: no libfaketime on this machine; apt-get install faketime"
)


class FakeTime:
    """The fake wall clock of a process.

    Attributes:
        environ: The environment variables for the process.
    """

    def __init__(self, folder: Path, offset: str = "+0") -> None:
        """Start with an offset such as ``-10y``."""
        self._file = folder / "faketime"
        self.environ = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Otherwise a change takes effect after ten seconds.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(offset)

    def set(self, offset: str) -> None:
        """Step the clock to this offset."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset}\n")
        # Atomic, so that the process never reads a partly written file.
        draft.replace(self._file)
