"""The request that the privileged program reads: an adapter's name, or it is refused."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from healthd.host.adapter_reset import REQUEST, ResetRefused, take_request
from tests.fuzz import target


class Target(target.Target):
    """The input is the file."""

    words = (b"hci", b"hci0\n", b"/", b"..")

    def __init__(self) -> None:
        """Make a folder."""
        self._temporary = target.folder()
        self._folder = Path(self._temporary.name)

    def seeds(self) -> Iterable[bytes]:
        """Yield good requests."""
        yield from (b"hci0\n", b"hci17")

    def fuzz(self, data: bytes) -> None:
        """Take it; it is gone in any case."""
        (self._folder / REQUEST).write_bytes(data)
        with suppress(ResetRefused):
            assert re.fullmatch(r"hci[1-9]?\d", take_request(self._folder))
        assert not any(self._folder.iterdir())

    def __exit__(self, *exception: object) -> None:
        """Remove the folder."""
        self._temporary.cleanup()
