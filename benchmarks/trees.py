"""Source trees of healthd, each with an environment of its own, so that two can be compared."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "healthd-bench"

_ROOT = Path(__file__).parents[1]

# Variables with which make or Python would work on another tree than the one that is built.
_OF_THIS_TREE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH", "PYTHON")


class Tree(NamedTuple):
    """A checked-out commit, or the working tree.

    Attributes:
        root: its folder.
        python: the interpreter of its environment.
    """

    root: Path
    python: str

    def compile(self) -> None:
        """Compile it, as pip does on installation: at each start it would take time, and 8 MB."""
        command = [self.python, "-m", "compileall", "-q", "healthd", "benchmarks"]
        subprocess.run(command, cwd=self.root, check=True)


WORKING = Tree(_ROOT, sys.executable)
"""The tree of this file."""


class NotBuilt(Exception):
    """The commit does not exist, or its environment cannot be set up; the text says why."""


def built(commit: str, repository: Path = _ROOT, cache: Path = CACHE) -> Tree:
    """Check out a commit and set up its environment with its own ``make setup``, once.

    Both are kept, and used again by the next run.

    Args:
        commit: its hash, a branch, or anything else that names it.
        repository: where it comes from.
        cache: the folder for all such trees.

    Raises:
        NotBuilt: the commit is unknown, or its setup failed.
    """
    full = _git(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"{full[:12]}-python{VERSION}"
    done = root / ".built"
    # Two runs at the same time must not build in the same folder.
    with (cache / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            _git(repository, "clone", "--quiet", "--no-checkout", str(repository), str(root))
            _git(root, "checkout", "--quiet", "--detach", full)
            _setup(root)
            done.touch()
    return Tree(root, str(root / ".venv/bin/python"))


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotBuilt(f"{' '.join(command)}: {done.stderr.strip() or 'no such commit'}")
    return done.stdout.strip()


def base_python() -> str:
    """Return the interpreter of this environment: a newer one would be another difference."""
    return f"{sys.base_prefix}/bin/python{VERSION}"


def outside_make() -> dict[str, str]:
    """Return the environment variables without those that concern this tree alone."""
    return {name: value for name, value in os.environ.items() if name not in _OF_THIS_TREE}


def _setup(root: Path) -> None:
    command = ["make", "-C", str(root), "setup", f"PYTHON={base_python()}"]
    done = subprocess.run(
        command, env=outside_make(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise NotBuilt(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
