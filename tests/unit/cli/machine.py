"""healthd as a process of its own."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import healthd


@dataclass(frozen=True)
class Machine:
    """A machine with neither radio nor broker, nor anything of the user's."""

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
        """The outboxes in the user's state folder."""
        return [file.name for file in self.home.glob(".local/state/healthd/*.sqlite3")]

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "healthd", *arguments]

    def write(self, text: str) -> str:
        """A settings file."""
        file = self.home / "healthd.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)
