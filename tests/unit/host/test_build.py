"""The commit of a source tree, according to a real git."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from healthd.host.build import Build, fields, of_tree, recorded

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None, reason="NOT TESTED: no git on this machine; apt-get install git"
)

# 23:30 in New York, and the next day in UTC.
WHEN = "2026-03-01T23:30:00-05:00"
ENVIRON = {"PATH": os.environ["PATH"]}


@dataclass(frozen=True)
class Tree:
    """A repository with one commit."""

    root: Path

    def git(self, *arguments: str) -> str:
        identity = {
            f"GIT_{role}_{key}": "x"
            for role in ("AUTHOR", "COMMITTER")
            for key in ("NAME", "EMAIL")
        }
        environ = {**ENVIRON, **identity, "GIT_COMMITTER_DATE": WHEN, "HOME": str(self.root)}
        command = ["git", "-C", self.root, *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @property
    def commit(self) -> str:
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "tree")
    (made.root / "healthd").mkdir(parents=True)
    for name in ("healthd/code.py", "pyproject.toml", "README.md"):
        (made.root / name).write_text("as committed\n")
    made.git("init", "--quiet")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message", "x")
    return made


def test_a_tree_as_it_was_committed(tree: Tree) -> None:
    build = of_tree(tree.root, ENVIRON)
    assert build == Build(tree.commit, "2026-03-02", modified=False)
    assert build is not None
    assert build.name == tree.commit[:7]
    assert Build.read(build.text()) == build


@pytest.mark.parametrize("changed", ["healthd/code.py", "healthd/new.py", "pyproject.toml"])
def test_code_that_was_changed_since(tree: Tree, changed: str) -> None:
    (tree.root / changed).write_text("changed\n")
    build = of_tree(tree.root, ENVIRON)
    assert build == Build(tree.commit, "2026-03-02", modified=True)
    assert build is not None
    assert build.name == f"{tree.commit[:7]}-modified"


def test_files_outside_the_package_do_not_count_as_modified(tree: Tree) -> None:
    (tree.root / "README.md").write_text("changed\n")
    (tree.root / "notes.txt").write_text("new\n")
    build = of_tree(tree.root, ENVIRON)
    assert build is not None
    assert not build.modified


def test_the_date_follows_source_date_epoch(tree: Tree) -> None:
    build = of_tree(tree.root, ENVIRON | {"SOURCE_DATE_EPOCH": "86400"})
    assert build is not None
    assert build.date == "1970-01-02"


def test_a_tree_inside_another_repository_is_not_its_commit(tree: Tree) -> None:
    inner = tree.root / "vendor"
    (inner / "healthd").mkdir(parents=True)
    assert of_tree(inner, ENVIRON) is None


def test_variables_of_a_git_hook_are_ignored(tree: Tree, tmp_path: Path) -> None:
    environ = ENVIRON | {"GIT_DIR": str(tmp_path / "nowhere"), "GIT_WORK_TREE": "/"}
    build = of_tree(tree.root, environ)
    assert build is not None
    assert build.commit == tree.commit


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give a file away")
def test_root_can_read_the_commit_of_another_users_tree(tree: Tree) -> None:
    for path in (tree.root, *tree.root.rglob("*")):
        os.chown(path, 65534, 65534)
    with pytest.raises(subprocess.CalledProcessError):  # git itself refuses
        tree.git("status")
    build = of_tree(tree.root, ENVIRON)
    assert build is not None
    assert not build.modified
    assert {path.owner() for path in tree.root.rglob("*")} == {tree.root.owner()}


def test_without_git_or_without_a_commit_the_build_is_unknown(tree: Tree, tmp_path: Path) -> None:
    assert of_tree(tree.root, {"PATH": str(tmp_path)}) is None
    shutil.rmtree(tree.root / ".git")
    tree.git("init", "--quiet")
    assert of_tree(tree.root, ENVIRON) is None


def test_a_source_tree_itself_has_no_record() -> None:
    assert recorded() is None
    assert fields() == {}
