"""The folders that healthd keeps its files in."""

from collections.abc import Iterator, Mapping
from pathlib import Path

# The unit's RuntimeDirectory, for commands that were not started by systemd.
SERVICE_RUNTIME = Path("/run/healthd")


def state_folder(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the outbox's folder: configured, systemd's StateDirectory, or the user's own."""
    if configured is not None:
        return configured
    if under_systemd := environ.get("STATE_DIRECTORY"):
        return Path(under_systemd)
    state_home = environ.get("XDG_STATE_HOME")
    return (Path(state_home) if state_home else Path.home() / ".local/state") / "healthd"


def broken_link(path: Path) -> Path | None:
    """Return the link on the way to ``path`` whose target does not exist; None if there is none."""
    return next(
        (link for link in (path, *path.parents) if link.is_symlink() and not link.exists()), None
    )


def runtime_folder(environ: Mapping[str, str]) -> Path | None:
    """Return a folder in memory: systemd's RuntimeDirectory or the user's own; None if none."""
    if under_systemd := environ.get("RUNTIME_DIRECTORY"):
        return Path(under_systemd)
    users = environ.get("XDG_RUNTIME_DIR")
    return Path(users) if users else None


def socket_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders that may contain a daemon's socket: the user's own, then the system's."""
    own = runtime_folder(environ)
    if own is not None:
        yield own
    if own != SERVICE_RUNTIME:
        yield SERVICE_RUNTIME
