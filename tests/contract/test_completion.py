"""Completion with the Tab key in real shells, with the files that `make install` installs."""

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.process import clean_environment
from tests.support.terminal import running

SYSTEMD = Path(__file__).parents[2] / "systemd"

SETTINGS = """
[[peripherals]]
id = "scale-of-the-attic"
name = "MI SCALE*"
on = "advertising"
"""

BOUND_S = 20.0


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(shell) is None,
        reason=f"NOT TESTED: no {shell} on this machine; apt-get install {shell}",
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return a user's environment with healthd on the PATH and settings in the home folder."""
    for name in ("healthd.toml", "other.toml"):
        (tmp_path / name).write_text(SETTINGS)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {"HOME": str(tmp_path), "PATH": path, "PS1": "> ", "ZDOTDIR": str(tmp_path)}


async def completes(shell: Sequence[str], environ: dict[str, str], *preparation: str) -> None:
    """Press Tab after the start of a command, an option, an id of the settings and a file name."""
    async with running(*shell, environ=environ) as terminal:
        for line in preparation:
            terminal.type(f"{line}\n")
        terminal.type("echo rea''dy\n")
        await terminal.shows("ready")
        for start, completed in (
            ("healthd doct", "healthd doctor"),
            ("healthd run --conf", "--config"),
            ("healthd fetch --config ~/healthd.toml scale-", "scale-of-the-attic"),
            ("healthd outbox --config ~/oth", "~/other.toml"),
        ):
            since = len(terminal.screen)
            # Ctrl-U clears the line first.
            terminal.type(f"\x15{start}\t")
            await terminal.shows(completed, since=since)


@needs("bash")
async def test_bash(environ: dict[str, str]) -> None:
    shell = ("bash", "--norc", "-i")
    await completes(shell, environ, f". {SYSTEMD / 'healthd.bash'}")


@needs("bash")
async def test_bash_after_install_completion(environ: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", "healthd --install-completion && exit"),
        stdout=asyncio.subprocess.PIPE,
        env={**clean_environment(), **environ},
    )
    async with asyncio.timeout(BOUND_S):
        out, _ = await process.communicate()
    assert b"bash completion installed" in out
    await completes(("bash", "-i"), environ)


@needs("zsh")
async def test_zsh(environ: dict[str, str], tmp_path: Path) -> None:
    functions = tmp_path / "site-functions"
    functions.mkdir()
    shutil.copy(SYSTEMD / "healthd.zsh", functions / "_healthd")
    preparation = f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u"
    await completes(("zsh", "-f", "-i"), environ, preparation)


@needs("fish")
@pytest.mark.parametrize(
    ("start", "completed"),
    [
        ("doct", "doctor"),
        ("run --conf", "--config"),
        ("fetch --config ~/healthd.toml scale-", "scale-of-the-attic"),
        ("outbox --config ~/oth", "~/other.toml"),
    ],
)
async def test_fish(environ: dict[str, str], tmp_path: Path, start: str, completed: str) -> None:
    completions = tmp_path / ".config" / "fish" / "completions"
    completions.mkdir(parents=True)
    shutil.copy(SYSTEMD / "healthd.fish", completions)
    process = await asyncio.create_subprocess_exec(
        *("fish", "-c", f"complete -C 'healthd {start}'"),
        stdout=asyncio.subprocess.PIPE,
        env={**clean_environment(), **environ},
    )
    async with asyncio.timeout(BOUND_S):
        out, _ = await process.communicate()
    assert [line.partition("\t")[0] for line in out.decode().splitlines()] == [completed]
