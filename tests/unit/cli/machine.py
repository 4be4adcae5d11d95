"""Run healthd in its own process."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import healthd


@dataclass(frozen=True)
class Machine:
    """A machine without a radio and a broker, and with an empty home folder."""

    home: Path

    @property
    def environ(self) -> dict[str, str]:
        nowhere = f"unix:path={self.home / 'no-bus'}"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(Path(healthd.__file__).parents[1]),
            "DBUS_SYSTEM_BUS_ADDRESS": nowhere,
            "DBUS_SESSION_BUS_ADDRESS": nowhere,
        }

    @property
    def stores(self) -> list[str]:
        """Return the names of the outboxes in the user's state folder."""
        return [file.name for file in self.home.glob(".local/state/healthd/*.sqlite3")]

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "healthd", *arguments]

    def write(self, text: str) -> str:
        """Write a settings file and return its path."""
        file = self.home / "healthd.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)
