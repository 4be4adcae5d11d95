"""Where healthd keeps what is its own."""

from collections.abc import Iterator, Mapping
from pathlib import Path

# systemd's RuntimeDirectory of the unit, as a command sees it that systemd has not started.
SERVICE_RUNTIME = Path("/run/healthd")


def state_folder(configured: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the outbox lives: as configured, else systemd's StateDirectory, else the user's own."""
    if configured is not None:
        return configured
    if under_systemd := environ.get("STATE_DIRECTORY"):
        return Path(under_systemd)
    state_home = environ.get("XDG_STATE_HOME")
    return (Path(state_home) if state_home else Path.home() / ".local/state") / "healthd"


def runtime_folder(environ: Mapping[str, str]) -> Path | None:
    """A folder that lives in memory: systemd's RuntimeDirectory, else the user's own, else none."""
    if under_systemd := environ.get("RUNTIME_DIRECTORY"):
        return Path(under_systemd)
    users = environ.get("XDG_RUNTIME_DIR")
    return Path(users) if users else None


def socket_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where a running daemon may have its socket: one of this user's own, else the system's."""
    own = runtime_folder(environ)
    if own is not None:
        yield own
    if own != SERVICE_RUNTIME:
        yield SERVICE_RUNTIME
