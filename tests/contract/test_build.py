"""A package built by pip knows the commit it was built from, and its gateway publishes it."""

import asyncio
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from healthd import __version__
from healthd.central.link import Backends
from healthd.gateway.daemon import Daemon
from healthd.host import build
from healthd.host.build import Build
from healthd.profiles import registry
from healthd.settings.model import Settings
from tests.support.conformity import conform
from tests.support.mosquitto import StartMosquitto, needs_mosquitto
from tests.support.process import clean_environment
from tests.support.subscriber import Received, Subscriber

ROOT = Path(__file__).parents[2]

_PIP_S = 100.0

RECORDED = Build("0123456789" * 4, "2026-03-01", modified=True)

pytestmark = pytest.mark.timeout(2 * _PIP_S)

needs_git = pytest.mark.skipif(
    shutil.which("git") is None, reason="NOT TESTED: no git on this machine; apt-get install git"
)

_WHO = {f"GIT_{role}_{key}": "x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


def run(folder: Path, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**clean_environment(), **environ},
        capture_output=True,
        text=True,
        timeout=_PIP_S,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of a clone that a package is built from."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("healthd", ".ci"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, root)
    return root


def wheel(tree: Path, folder: Path) -> Path:
    """The wheel that pip makes of a tree, with the build requirements of .venv."""
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    command = (sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, ".")
    done = run(tree, *command)
    assert done.returncode == 0, done.stderr[-3000:]
    (made,) = folder.glob("*.whl")
    return made


def version(wheel: Path, folder: Path) -> str:
    """Unpack a wheel; return the first line of its ``healthd --version``."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    done = run(folder, sys.executable, "-m", "healthd", "--version")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


@needs_git
def test_a_wheel_knows_its_commit_and_is_reproducible(tree: Path, tmp_path: Path) -> None:
    environ = {**_WHO, "GIT_COMMITTER_DATE": "2026-03-01T12:00:00Z", "HOME": str(tmp_path)}
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        assert run(tree, "git", *arguments, **environ).returncode == 0
    commit = run(tree, "git", "rev-parse", "HEAD", **environ).stdout.strip()
    first = wheel(tree, tmp_path / "first")
    second = wheel(tree, tmp_path / "second")
    assert version(first, tmp_path / "site") == (
        f"healthd {__version__} (commit {commit[:7]}, 2026-03-01)"
    )
    assert first.read_bytes() == second.read_bytes()
    # The build leaves no files in the tree.
    assert run(tree, "git", "status", "--porcelain", **environ).stdout == ""


def test_without_git_the_commit_comes_from_the_source_archive(tree: Path, tmp_path: Path) -> None:
    plain = wheel(tree, tmp_path / "plain")
    assert version(plain, tmp_path / "plain-site") == f"healthd {__version__}"
    (tree / "healthd" / "host" / "build.json").write_text(RECORDED.text())
    archived = wheel(tree, tmp_path / "archived")
    assert version(archived, tmp_path / "archived-site") == (
        f"healthd {__version__} (commit 0123456, 2026-03-01, modified)"
    )


@needs_mosquitto
async def test_a_gateway_publishes_its_build(
    mosquitto: StartMosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "build.json"
    file.write_text(RECORDED.text())
    monkeypatch.setattr(build, "FILE", file)
    # Without the cache.
    monkeypatch.setattr(build, "recorded", build.recorded.__wrapped__)
    broker = await mosquitto()
    settings = Settings.model_validate(
        {
            "gateway": {"id": "gateway"},
            "mqtt": {"brokers": [broker.address]},
            "outbox": {"directory": tmp_path / "outbox", "max_size": "4MB"},
        }
    )
    stop = asyncio.Event()
    async with Subscriber(broker.port, "healthd/gateway/info") as subscriber:
        daemon = Daemon(settings, registry.load(), {}, Backends())
        running = asyncio.create_task(daemon.run(stop))

        def first(messages: list[Received]) -> Received | None:
            return next(iter(messages), None)

        info = await subscriber.until(first)
        stop.set()
        await running
    assert conform([info]) == {"info"}
    assert info.json()["build"] == "0123456-modified"
