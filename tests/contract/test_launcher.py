"""The command of an installation, in a virtual environment that an upgrade of Python has broken."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from healthd.cli.run import EXIT_BAD_SETTINGS
from tests.support.process import clean_environment

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "systemd/setup"

# In place of healthd: prints how it was called.
_STAND_IN = """
import sys

def main():
    print(sys.argv)
    sys.exit(7)
"""


class Installation:
    """A virtual environment with the command, as ``make install`` makes it, and no healthd.

    Attributes:
        python: the interpreter of the virtual environment, a link to another one.
        library: the folder with its packages; its name has the version of that interpreter.
        command: the command, called by a link to it.
    """

    def __init__(self, folder: Path) -> None:
        """Create it."""
        root = folder / "version"
        venv.create(root, symlinks=True, with_pip=False)
        self.python = root / "bin/python"
        (self.library,) = (root / "lib").iterdir()
        launcher = root / "bin/healthd"
        # As pip leaves it.
        launcher.touch(0o755)
        (line,) = (line for line in SETUP.read_text().splitlines() if "systemd/launcher" in line)
        subprocess.run(["sh", "-euc", line], cwd=ROOT, env={"venv": str(root)}, check=True)
        self.command = folder / "healthd"
        self.command.symlink_to(launcher)
        self.write(_STAND_IN)

    def write(self, code: str) -> None:
        """Write the module that the command starts."""
        package = self.library / "site-packages/healthd"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "cli.py").write_text(code, encoding="utf-8")

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command."""
        return subprocess.run(
            [self.command, *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_it_starts_healthd(installation: Installation) -> None:
    done = installation.run("run", "--config", "a b")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.strip() == str([str(installation.command), "run", "--config", "a b"])


def test_issue_16_the_packages_are_of_another_python(installation: Installation) -> None:
    """The link points to a newer version: the folder with the packages has another name."""
    installation.library.rename(installation.library.with_name("python3.1"))
    imported = subprocess.run(
        [installation.python, "-I", "-c", "import healthd"], capture_output=True, check=False
    )
    assert b"ModuleNotFoundError" in imported.stderr
    done = installation.run("run")
    assert (done.returncode, done.stdout) == (EXIT_BAD_SETTINGS, "")
    assert "sudo make install" in done.stderr
    assert "{}.{}".format(*sys.version_info) in done.stderr
    assert "Traceback" not in done.stderr


def test_issue_16_the_interpreter_is_gone(installation: Installation) -> None:
    installation.python.unlink()
    installation.python.symlink_to("/nowhere/python3.1")
    done = installation.run("run")
    assert (done.returncode, done.stdout) == (EXIT_BAD_SETTINGS, "")
    assert "sudo make install" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_another_missing_module_keeps_its_traceback(installation: Installation) -> None:
    installation.write("import module_that_does_not_exist")
    done = installation.run("run")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "module_that_does_not_exist" in done.stderr
    assert "make install" not in done.stderr
