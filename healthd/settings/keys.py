"""The keys that ``healthd pair`` has agreed with devices: one file for each, next to the outbox."""

import os
import re
from contextlib import suppress
from pathlib import Path

from healthd.host.atomic import replace_file
from healthd.host.private import acting_as_owner, make_folder
from healthd.settings.text import read_text

# Of any length that a key has: 16 bytes are usual, and 64 are more than any cipher takes.
_HEX = re.compile("(?:[0-9A-Fa-f]{2}){1,64}")

# What a file takes on most file systems, however small it is.
_BLOCK = 4096


class Keys:
    """The key files of all peripherals; read when they are needed, so a new key is used at once."""

    def __init__(self, state: Path) -> None:
        """Look for them in this state folder."""
        self._state = state
        self._folder = state / "keys"

    def file(self, peripheral: str) -> Path:
        """Return the file of a peripheral, whether it exists or not."""
        return self._folder / peripheral

    def read(self, peripheral: str) -> bytes | None:
        """Return the key of a peripheral; None if there is none.

        Raises:
            OSError: the file cannot be read.
            ValueError: it contains something else; the text names it.
        """
        file = self.file(peripheral)
        try:
            text = read_text(file).strip()
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{file}: found {error}") from error
        # Never show the content: it may be a part of the key.
        if not _HEX.fullmatch(text):
            raise ValueError(f"{file}: found something else, expected the hex digits of a key")
        return bytes.fromhex(text)

    def exists(self, peripheral: str) -> bool:
        """Return whether a peripheral has a key file, as far as this user may look."""
        with suppress(OSError):
            return self.file(peripheral).exists()
        return False

    def make_folder(self) -> None:
        """Create the folder of the keys, for the owner of the state folder only.

        Raises:
            OSError: a key could not be written there.
        """
        # Imported late: of all commands only ``healthd pair`` needs it.
        from tempfile import TemporaryFile

        make_folder(self._state)
        with acting_as_owner(self._state):
            make_folder(self._folder)
            # The device must not get a key that cannot be kept: is there space for it?
            with TemporaryFile(dir=self._folder) as probe:
                probe.write(bytes(_BLOCK))
                probe.flush()
                os.fsync(probe.fileno())

    def store(self, peripheral: str, key: bytes) -> None:
        """Write the key of a peripheral, in place of an earlier one.

        Raises:
            OSError: it cannot be written; an earlier one is unchanged.
        """
        with acting_as_owner(self._state):
            replace_file(self.file(peripheral), f"{key.hex()}\n".encode(), durable=True)
