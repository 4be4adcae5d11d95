"""Which commit this healthd was made from, as far as anybody knows."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

# Written into wheels and source archives by .ci/build_info.py; a source tree has none.
FILE = Path(__file__).with_name("build.json")

# What a wheel is made of.
_SOURCES = ("healthd", "pyproject.toml")

# git answers at once; a file system that hangs must not hold up who only asks for a version.
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Build:
    """A commit, and whether the code is as it has it.

    Attributes:
        commit: its 40 hexadecimal digits.
        date: when it was committed, a day in UTC.
        modified: the code differed from it.
    """

    commit: str
    date: str
    modified: bool

    @property
    def name(self) -> str:
        """In a word: ``0f4ddd8``, or ``0f4ddd8-modified``."""
        return self.commit[:7] + ("-modified" if self.modified else "")

    @classmethod
    def read(cls, text: str) -> Self:
        """From what ``text`` wrote."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """As JSON, the same for the same build."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"


@cache
def recorded() -> Build | None:
    """What this package was made from; None for a source tree, or one that was made without git."""
    return Build.read(FILE.read_text(encoding="utf-8")) if FILE.exists() else None


def fields() -> dict[str, Any]:
    """Return the build's name under ``build``, for ``info`` and the log; empty if unknown."""
    build = recorded()
    return {} if build is None else {"build": build.name}


def of_tree(root: Path, environ: Mapping[str, str]) -> Build | None:
    """What a source tree holds now; None where it is no repository, or there is no git.

    Args:
        root: the folder that ``healthd`` is in.
        environ: ``SOURCE_DATE_EPOCH`` takes the place of the commit's time.
    """
    # A tree that was unpacked somewhere in another repository is none of that one's commits.
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
    # Of a hook that runs us it says where another repository is.
    inherited = {key: value for key, value in environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        # Root installs from a tree that is another user's.
        ["git", "-C", root, "-c", "safe.directory=*", *arguments],
        # Without leaving its own files there.
        env={**inherited, "GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout.strip()
