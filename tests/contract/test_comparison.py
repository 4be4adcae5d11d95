"""The comparisons of the benchmarks work; what they find is not judged here.

The tree is compared with itself: another commit would have to be set up first.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import parts, report
from benchmarks.comparison import against, peers, running
from benchmarks.comparison.contenders import Row, healthd
from benchmarks.figures import QUICK, Budget, Figure
from benchmarks.trees import WORKING, NotBuilt, built
from tests.support.bluez import needs_dbus
from tests.support.certificates import needs_openssl
from tests.support.mosquitto import needs_mosquitto

_PAIR = against.Pair(WORKING, WORKING)

needs_make = pytest.mark.skipif(
    None in (shutil.which("git"), shutil.which("make")), reason="NOT TESTED: no git or make"
)

# As the real one, it leaves an environment; how often it ran is kept outside of the tree.
_MAKEFILE = """\
setup:
\t@test ! -e broken
\t@echo once >>{log}
\t@mkdir -p .venv/bin && ln -s $(PYTHON) .venv/bin/python
"""


def _commit(repository: Path, name: str) -> None:
    (repository / name).touch()
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["add", "."], [*identity, "commit", "--quiet", "--message", name]):
        subprocess.run(["git", "-C", repository, *command], check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits: ``works``, and then ``broken``, which cannot be set up."""
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    (folder / "Makefile").write_text(_MAKEFILE.format(log=tmp_path / "log"))
    _commit(folder, "works")
    _commit(folder, "broken")
    return folder


@needs_make
def test_a_commit_is_built_once_with_the_same_python(repository: Path, tmp_path: Path) -> None:
    trees = [built("HEAD~1", repository, tmp_path / "cache") for _ in range(2)]
    assert trees[0] == trees[1]
    root, python = trees[0]
    assert (root / "works").exists()
    assert not (root / "broken").exists()
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True)
    assert version.stdout.split()[1] == sys.version.split()[0]
    assert (tmp_path / "log").read_text() == "once\n"


@needs_make
def test_a_commit_that_cannot_be_built_is_not_kept(repository: Path, tmp_path: Path) -> None:
    for commit, reason in (("HEAD", "setup"), ("HEAD", "setup"), ("nowhere", "no such commit")):
        with pytest.raises(NotBuilt, match=reason):
            built(commit, repository, tmp_path / "cache")
    assert not (tmp_path / "log").exists()


@needs_mosquitto
@needs_dbus
async def test_imports_and_wake_ups_of_two_trees_are_compared() -> None:
    measures = against.measures(_PAIR)
    (imports,) = await measures["import"](QUICK)
    assert (len(imports.product), len(imports.floor)) == (1, 1)
    # The whole of healthd and its libraries cannot be loaded in less.
    assert min(imports.product + imports.floor) > 0.05
    cost, switches, wakes = await measures["pace"](QUICK)
    assert min(cost.product + cost.floor) > 10
    for side in ("product", "floor"):
        ((all_,), (woken,)) = (getattr(one, side) for one in (switches, wakes))
        assert all_ >= woken > 0.5, "a strap's sample wakes the process"
    assert [str(one.budget) for one in (imports, switches, wakes)] == ["≤ 0.6 ×"] * 3


@needs_mosquitto
async def test_two_daemons_share_a_broker_and_an_outage() -> None:
    measures = against.measures(_PAIR)
    rows = await measures["cpu"](QUICK)
    assert [row.unit for row in rows] == ["µs", "µs", "µs", ""]
    assert all(min(row.product + row.floor) > 0 for row in rows)
    (written,) = await measures["outage"](QUICK)
    # Each byte of payload was on the disk, in both.
    assert min(written.product + written.floor) > 1


@needs_mosquitto
@needs_dbus
@needs_openssl
async def test_memory_is_that_of_a_process_of_its_own() -> None:
    contenders = [healthd("healthd", WORKING), peers.SCRIPT]
    row = await running.memory(contenders, QUICK, tls=False)
    (mine,), (script,) = row.values
    assert 20 < script < mine < 200
    # Only healthd is asked to use TLS.
    tls = await running.memory(contenders[:1], QUICK, tls=True)
    assert 20 < tls.values[0][0] < 200


@needs_mosquitto
@needs_dbus
async def test_the_parts_add_up_to_the_whole() -> None:
    table = await parts.parts(QUICK)
    for column in (1, 2):
        *several, whole = [float(row[column]) for row in table.rows]
        assert sum(several) == pytest.approx(whole, abs=1)
    assert [row[0] for row in table.rows if float(row[1]) > 1 and float(row[2]) > 1][:3] == [
        "start of Python",
        "healthd",
        "pydantic",
    ]


def test_ratios_to_another_commit_have_no_budget() -> None:
    of_ratio = Figure("CPU", "s", [2.0], [1.0], Budget(0.5, of_ratio=True))
    assert (of_ratio.verdict, against.without_budgets(of_ratio).verdict) == ("missed", "")
    of_value = Figure("bytes", "MB", [2.0], [1.0], Budget(1))
    assert against.without_budgets(of_value).verdict == "missed"


def test_the_table_has_a_ratio_to_each_peer() -> None:
    row = Row("memory", "MB", note="of one round")
    row.add(60.0, 30.0, 120.0)
    row.add(62.0, 31.0, 124.0)
    table = report.of_peers([row], ["healthd", "script", "other"])
    assert table.markdown() == (
        "| what | healthd | script | ratio | other | ratio |\n"
        "| --- | --: | --: | --: | --: | --: |\n"
        "| memory | 61.0 MB | 30.5 | 2.00 × | 122 | 0.50 × |\n"
        "\n"
        "- memory: of one round."
    )
    assert table.text().splitlines()[0].split() == table.markdown().splitlines()[0].split()[1::2]
