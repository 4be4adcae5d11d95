"""The commit that this healthd was built from, if it is known."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

# Written into wheels and source archives by .ci/build_info.py; a source tree has no such file.
FILE = Path(__file__).with_name("build.json")

# What a wheel is built from.
_SOURCES = ("healthd", "pyproject.toml")

# git answers at once; a file system that hangs must not block `healthd version`.
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Build:
    """A commit, and whether the code was modified since.

    Attributes:
        commit: 40 hexadecimal digits.
        date: the day of the commit, in UTC.
        modified: whether the code differs from the commit.
    """

    commit: str
    date: str
    modified: bool

    @property
    def name(self) -> str:
        """The short name: ``0f4ddd8``, or ``0f4ddd8-modified``."""
        return self.commit[:7] + ("-modified" if self.modified else "")

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse what ``text`` returned."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return the build as JSON, equal for equal builds."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"


@cache
def recorded() -> Build | None:
    """Return the build of this package; None for a source tree, or if it was built without git."""
    return Build.read(FILE.read_text(encoding="utf-8")) if FILE.exists() else None


def fields() -> dict[str, Any]:
    """Return the build's name under ``build``, for ``info`` and the log; empty if unknown."""
    build = recorded()
    return {} if build is None else {"build": build.name}


def of_tree(root: Path, environ: Mapping[str, str]) -> Build | None:
    """Return the build of a source tree; None if it is not a repository, or git is missing.

    Args:
        root: the folder that contains ``healthd``.
        environ: ``SOURCE_DATE_EPOCH`` replaces the time of the commit.
    """
    # A tree that was unpacked inside another repository is not a commit of that repository.
    if not (root / ".git").exists():
        return None
    try:
        commit, _, seconds = _git(root, environ, "show", "-s", "--format=%H %ct", "HEAD").partition(
            " "
        )
        changed = _git(root, environ, "status", "--porcelain", "--", *_SOURCES)
    except (OSError, subprocess.SubprocessError):
        return None
    date = datetime.fromtimestamp(int(environ.get("SOURCE_DATE_EPOCH") or seconds), UTC).date()
    return Build(commit, date.isoformat(), modified=bool(changed))


def _git(root: Path, environ: Mapping[str, str], *arguments: str) -> str:
    # If a git hook runs this, its GIT_ variables point to another repository.
    inherited = {key: value for key, value in environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        # Root installs from a tree that belongs to another user.
        ["git", "-C", root, "-c", "safe.directory=*", *arguments],
        # Without these locks, git leaves no files of root's in that tree.
        env={**inherited, "GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout.strip()
