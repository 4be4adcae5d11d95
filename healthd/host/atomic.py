"""Replaces a file in one step: a reader sees the old content or the new, never a part of it."""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(file: Path, content: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace a file that only this process writes, or create it.

    The draft always has the same name, so one that is left by a kill does not stay: the next call
    overwrites it.

    Args:
        file: what is replaced.
        content: its new content.
        durable: flush the content to the disk first, so that the file is whole after a power cut.
        mode: its permissions, whatever the umask.

    Raises:
        OSError: the file could not be written; it is unchanged.
    """
    draft = file.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, mode), "wb") as opened:
        os.fchmod(opened.fileno(), mode)
        opened.write(content)
        if durable:
            opened.flush()
            os.fsync(opened.fileno())
    draft.replace(file)


def replace_shared_file(file: Path, content: bytes, check: Callable[[Path], None]) -> None:
    """Replace a file that other programs and people write, too; keep its owner and permissions.

    The content is flushed to the disk before the file is replaced.

    Args:
        file: what is replaced; it exists.
        content: its new content.
        check: called with the draft before it replaces the file; what it raises leaves the file
            unchanged.

    Raises:
        OSError: the file could not be written; it is unchanged.
    """
    # Imported late: the daemon never needs it (0.6 MB).
    import tempfile

    status = file.stat()
    # A unique name, as two programs may write at once; private until it has the permissions of the
    # file. In the same folder, because a rename does not cross file systems.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(opened.fileno(), status.st_uid, status.st_gid)
            os.fchmod(opened.fileno(), status.st_mode & 0o7777)
            os.fsync(opened.fileno())
        check(draft)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
