"""Reads the text files of an administrator: the settings, passwords and codes."""

from pathlib import Path


def read_text(file: Path) -> str:
    """Return the text of a file, without the byte order mark that Windows editors write.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8. The message does not show the content, which may be a secret.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"text that is not UTF-8 in line {line}; save it as UTF-8") from error
