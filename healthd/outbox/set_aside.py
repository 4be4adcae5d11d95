"""Files next to the database that cannot be used, or hold what was found damaged: their names."""

import re
import time
from contextlib import suppress
from pathlib import Path


def labelled(path: Path, label: str) -> Path:
    """Return a new name next to the database at ``path``; later ones sort after earlier ones."""
    return path.with_suffix(f".{label}-{time.time_ns():019}")


def set_file_aside(path: Path, label: str = "corrupt") -> Path:
    """Rename the file at ``path``, if there is one, with its log, and return its new name."""
    aside = labelled(path, label)
    rename_with_log(path, aside)
    remove_logs(path)
    return aside


def rename_with_log(path: Path, name: Path) -> None:
    """Rename a database, if there is one, with its log."""
    # What is only in the log belongs to the file: both are needed to recover the samples.
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{name}{suffix}")


def reunite_log(path: Path, label: str) -> None:
    """Give the newest file of this label its log, if a kill has separated them."""
    if path.exists():
        return
    named = [file for file in files_set_aside(path) if f".{label}-" in file.name]
    if named and not Path(f"{named[-1]}-wal").exists():
        with suppress(FileNotFoundError):
            Path(f"{path}-wal").rename(f"{named[-1]}-wal")


def files_set_aside(path: Path) -> list[Path]:
    """Return the files that were set aside in favour of the one at ``path``, oldest first."""
    pattern = re.compile(rf"{re.escape(path.stem)}\.[a-z][a-z0-9-]*-(\d{{19}})")
    names = (pattern.fullmatch(file.name) for file in path.parent.iterdir())
    found = sorted((name[1], name[0]) for name in names if name)
    return [path.with_name(name) for _, name in found]


def remove_logs(path: Path) -> None:
    """Remove the log files that SQLite keeps next to the file at ``path``."""
    # A log without its database would be replayed into the next one.
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
