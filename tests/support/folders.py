"""Folders of tests."""

from pathlib import Path


def let_others_enter(folder: Path) -> None:
    """Let other users enter a folder, and those above it: pytest makes them for its own user."""
    for path in (folder, *folder.parents):
        mode = path.stat().st_mode
        if not mode & 0o001:
            path.chmod(mode | 0o055)
