"""Each capture in ``tests/captures``: healthd measures in it what a second source says."""

from pathlib import Path

import pytest

from tests.support.captured import FOLDER, check

CAPTURES = sorted(path.parent for path in FOLDER.glob("*/expected.toml"))


@pytest.mark.parametrize("folder", CAPTURES, ids=lambda folder: folder.name)
def test_healthd_measures_what_the_second_source_says(folder: Path) -> None:
    check(folder)


def test_there_are_captures() -> None:
    assert len(CAPTURES) >= 2


def test_each_capture_is_described() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [each.name for each in CAPTURES if f"| `{each.name}` |" not in readme] == []


def test_captures_have_no_real_identity() -> None:
    for folder in CAPTURES:
        first = (folder / "capture.jsonl").read_text(encoding="utf-8").split("\n", 1)[0]
        assert '"identity":"replaced"' in first, folder.name
