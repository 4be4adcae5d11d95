"""Nothing is installed, and nothing runs during an installation, whose hash is not in the lists.

D17. The packages here are made by the tests, so no index is needed.
"""

import hashlib
import re
import shutil
import subprocess
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pip
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.process import clean_environment

ROOT = Path(__file__).parents[2]
LISTS = (ROOT / "constraints.txt", *sorted((ROOT / ".ci/requirements").glob("*.txt")))
SCRIPTS = (".ci/venv", ".ci/install", ".ci/constraints", "systemd/setup")

# The least that pip accepts as the program that builds a package; it leaves a trace of each run.
_BACKEND = """
from pathlib import Path
from zipfile import ZipFile

Path("it-ran").touch()
INFO = "project-1.dist-info/"

def build_editable(folder, config=None, metadata=None):
    with ZipFile(Path(folder, "project-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr(INFO + "METADATA", "Metadata-Version: 2.1\\nName: project\\nVersion: 1\\n")
        wheel.writestr(INFO + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(INFO + "RECORD", "")
    return "project-1-py3-none-any.whl"
"""
_PROJECT = '[build-system]\nrequires = ["backend"]\nbuild-backend = "backend"\n'


class Tree:
    """A source tree with .ci/install, an index of two packages, and a virtual environment.

    The list of what is installed names ``library``; the list of what builds names ``backend``.
    """

    def __init__(self, folder: Path) -> None:
        """Make it; both lists have the right hashes."""
        self.root, self.wheels, self._venv = folder / "tree", folder / "wheels", folder / "venv"
        (self.root / ".ci/requirements").mkdir(parents=True)
        self.wheels.mkdir()
        shutil.copy(ROOT / ".ci/install", self.root / ".ci")
        (self.root / "pyproject.toml").write_text(_PROJECT)
        self.list = self.root / ".ci/requirements/install.txt"
        self.list.write_text(self.wheel("library", "VALUE = 1\n"))
        (self.root / ".ci/requirements/build.txt").write_text(self.wheel("backend", _BACKEND))
        venv.create(self._venv, symlinks=True, with_pip=False)
        self.packages = next((self._venv / "lib").iterdir()) / "site-packages"
        # Faster than a copy of its own.
        (self.packages / "pip").symlink_to(Path(pip.__file__).parent)

    def wheel(self, name: str, code: str) -> str:
        """Put a wheel into the index, and return its line for a list."""
        file = self.wheels / f"{name}-1-py3-none-any.whl"
        info = f"{name}-1.dist-info"
        with ZipFile(file, "w") as packed:
            packed.writestr(f"{name}.py", code)
            packed.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
            )
            packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            packed.writestr(f"{info}/RECORD", "")
        return f"{name}==1 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"

    def install(self, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run the script as ``make setup`` does, with more variables of the user's."""
        environ = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        return subprocess.run(
            [".ci/install", self._venv / "bin/python", self.list, "--editable", "."],
            cwd=self.root,
            env=clean_environment() | environ | more,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def installed(self) -> list[str]:
        """Return the names of the installed packages."""
        return sorted(folder.name.split("-")[0] for folder in self.packages.glob("*.dist-info"))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_what_has_the_pinned_hash_is_installed(tree: Tree) -> None:
    done = tree.install()
    assert done.returncode == 0, done.stderr
    # What builds the project does not stay.
    assert tree.installed() == ["library", "project"]
    assert (tree.root / "it-ran").exists()


@pytest.mark.parametrize(
    "setting", [{"PIP_REQUIRE_HASHES": "1"}, {"PIP_PYTHON": "/bin/false"}], ids=str
)
def test_the_pip_settings_of_the_user_do_not_matter(tree: Tree, setting: dict[str, str]) -> None:
    done = tree.install(**setting)
    assert done.returncode == 0, done.stderr
    assert tree.installed() == ["library", "project"]


def test_a_package_with_another_content_is_refused(tree: Tree) -> None:
    tree.wheel("library", "VALUE = 2\n")
    done = tree.install()
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert tree.installed() == []
    assert not (tree.root / "it-ran").exists()


def test_a_build_requirement_with_another_content_does_not_run(tree: Tree) -> None:
    tree.wheel("backend", _BACKEND + "# more\n")
    done = tree.install()
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert tree.installed() == []
    assert not (tree.root / "it-ran").exists()


def test_a_package_that_is_not_listed_is_refused(tree: Tree) -> None:
    """It may come as a dependency of a listed one."""
    tree.wheel("unlisted", "VALUE = 1\n")
    with tree.list.open("a") as file:
        file.write("unlisted==1\n")
    done = tree.install()
    assert done.returncode != 0
    assert "hashes" in done.stderr.lower()
    assert tree.installed() == []


def entries(file: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """Read a list: the packages with their hashes, by name and marker."""
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in file.read_text().replace("\\\n", "").splitlines():
        if not line.startswith("#"):
            pin, *hashes = (part.strip() for part in line.split("--hash="))
            requirement = Requirement(pin)
            key = f"{canonicalize_name(requirement.name)} {requirement.marker}"
            found[key] = (requirement, hashes)
    return found


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_each_pin_is_exact_and_has_a_hash(file: Path) -> None:
    pins = entries(file)
    assert pins
    for requirement, hashes in pins.values():
        assert [part.operator for part in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes), requirement
    # Where the packages come from is a matter of the machine.
    assert "://" not in file.read_text()


def test_the_parts_have_the_versions_of_the_whole() -> None:
    whole = entries(ROOT / "constraints.txt")
    for name in ("install", "bthome", "demo", "build"):
        part = entries(ROOT / f".ci/requirements/{name}.txt")
        assert part.items() <= whole.items(), name


def test_what_pyproject_names_is_listed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = config["project"]
    extras = project["optional-dependencies"]
    wanted = {
        ".ci/requirements/install.txt": [*project["dependencies"], *extras["hass"]],
        ".ci/requirements/bthome.txt": extras["bthome"],
        ".ci/requirements/demo.txt": [*project["dependencies"], *extras["sim"]],
        ".ci/requirements/build.txt": config["build-system"]["requires"],
        "constraints.txt": [
            *project["dependencies"],
            *(x for extra in extras.values() for x in extra),
        ],
    }
    for name, requirements in wanted.items():
        pins = {canonicalize_name(pin.name): pin for pin, _ in entries(ROOT / name).values()}
        for requirement in map(Requirement, requirements):
            (exact,) = pins[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(exact.version), (name, requirement)


def test_what_is_installed_together_is_listed_once() -> None:
    """Pip refuses a list that names a package twice."""
    lists = [entries(ROOT / f".ci/requirements/{name}.txt") for name in ("install", "bthome")]
    assert lists[0].keys().isdisjoint(lists[1])


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_pip_of_the_scripts_checks_hashes_or_fetches_nothing(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", "")
    for line in text.splitlines():
        # The function that all of .ci/install calls passes its arguments on.
        if (
            re.search(r"-m pip\b.*\binstall\b|^ *pip --", line)
            and '-user-action ignore "$@"' not in line
        ):
            assert "--require-hashes" in line or "--no-index" in line, line
            assert "--constraint" not in line, line


def test_the_makefile_fetches_through_the_scripts_only() -> None:
    assert not re.search(r"\bpip install|\buvx?\b", (ROOT / "Makefile").read_text())
