"""What ``healthd doctor`` says about the outbox's folder and file."""

import os
from pathlib import Path

import pytest

from healthd.doctor.finding import Finding, Status
from healthd.doctor.machine import Machine
from healthd.doctor.storage import check_outbox
from healthd.settings.model import OutboxSettings, Settings


async def outbox(folder: Path) -> Finding:
    """Return what the check finds."""
    settings = Settings(outbox=OutboxSettings(directory=folder))
    return (await check_outbox(Machine({}, service_uid=os.geteuid()), settings, {}))[0]


@pytest.mark.parametrize("below", [".", "healthd"])
async def test_a_folder_that_is_a_link_to_nothing(tmp_path: Path, below: str) -> None:
    link = tmp_path / "state"
    link.symlink_to(tmp_path / "not-mounted")
    finding = await outbox(link / below)
    assert finding.status is Status.WRONG
    assert finding.found == f"{link} is a link to {tmp_path / 'not-mounted'}, which does not exist"


async def test_a_file_that_is_a_link_to_a_missing_folder(tmp_path: Path) -> None:
    file, target = tmp_path / "outbox.sqlite3", tmp_path / "not-mounted" / "outbox.sqlite3"
    file.symlink_to(target)
    finding = await outbox(tmp_path)
    assert finding.status is Status.WRONG
    assert finding.found == f"{file} is a link to {target}, which does not exist"
    # SQLite creates it there.
    target.parent.mkdir()
    assert (await outbox(tmp_path)).status is Status.OK


@pytest.mark.parametrize(("make", "kind"), [("mkdir", "a folder"), ("mkfifo", "a named pipe")])
async def test_something_else_than_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str, kind: str
) -> None:
    monkeypatch.setattr("healthd.doctor.storage._TIMEOUT_S", 5.0)
    file = tmp_path / "outbox.sqlite3"
    getattr(os, make)(file)
    finding = await outbox(tmp_path)
    assert finding.status is Status.WRONG
    assert finding.found == f"{file} is {kind}, expected a file"
