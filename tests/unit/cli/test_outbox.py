"""``healthd outbox`` shows what waits on disk, even while the daemon runs."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest

from healthd.cli.outbox import main
from healthd.outbox.store import Store
from healthd.samples import utc_text
from tests.unit.outbox.bench import QUOTA, entry

ROOT = Path(__file__).parents[3]

# Owns no files.
OTHER_UID = 65534

# One hour before the tests are loaded.
OLD_NS = time.time_ns() - 3600 * 1_000_000_000

# Opens the outbox as the daemon does, and writes another sample for each line of input.
HOLDER = """
import asyncio, sys
from pathlib import Path
from healthd.outbox.disk import Disk
from tests.unit.outbox.bench import entry

async def hold():
    disk = Disk(Path(sys.argv[1]), 1_000_000, print)
    await disk.open()
    print("open", flush=True)
    for number, _ in enumerate(sys.stdin, 1000):
        await disk.call(lambda store: store.append([entry(number)]))
        print("stored", flush=True)

asyncio.run(hold())
"""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the terminal wide, so that no cell is split over two lines."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


def age_s() -> float:
    """Return the present age of the oldest sample."""
    return (time.time_ns() - OLD_NS) / 1e9


@contextmanager
def held(path: Path) -> Generator["Popen[str]"]:
    """Keep the outbox open in another process."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield holder
        assert holder.stdin is not None
        holder.stdin.close()
        assert holder.wait(timeout=20) == 0


def store_another(holder: "Popen[str]") -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "stored\n"


def fill(path: Path) -> None:
    store = Store(path, QUOTA)
    store.append(entry(n, wall_ns=OLD_NS + n, payload=b"12345") for n in range(3))
    store.append(
        [entry(1, peripheral="scale", stream="weight", wall_ns=OLD_NS + 9, payload=b"1234567")]
    )
    store.append([entry(1, peripheral="", stream="event/gap", wall_ns=OLD_NS + 9, payload=b"1")])
    store.record_outcomes([], {"healthd/gw/device/strap/beat": "Not authorized [0x87]"})
    store.close()


def ask_json(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(None, path.parent, True) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (line,) = out.splitlines()
    return orjson.loads(line)


def ask(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(None, path.parent, False) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_json_has_every_stream_and_topic(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(path)
    with held(path):
        before = time.time_ns()
        report = ask_json(path, capsys)
    assert report["file"] == str(path)
    assert report["file_bytes"] > 0
    assert (report["samples"], report["payload_bytes"]) == (5, 23)
    assert 3600 <= report["age_s"] <= age_s() + 0.1
    streams = {(row["peripheral"], row["stream"]): row for row in report["streams"]}
    assert len(report["streams"]) == 3
    assert streams["strap", "beat"] == {
        "peripheral": "strap",
        "stream": "beat",
        "count": 3,
        "oldest_ns": OLD_NS,
        "oldest": utc_text(OLD_NS),
        "payload_bytes": 15,
    }
    assert streams["scale", "weight"]["count"] == 1
    assert streams["", "event/gap"]["payload_bytes"] == 1
    (parked,) = report["parked"]
    assert parked["topic"] == "healthd/gw/device/strap/beat"
    assert parked["reason"] == "Not authorized [0x87]"
    assert utc_text(OLD_NS) < parked["since"] <= utc_text(before)


def test_without_json_there_is_a_table(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(path)
    with held(path):
        lines = ask(path, capsys)
    first = re.fullmatch(r"(.+): 5 samples waiting, the oldest is (.+) s old", lines[0])
    assert first is not None
    assert first[1] == str(path)
    assert 3600 <= float(first[2]) <= age_s() + 0.1
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert ["strap", "beat", "3", "15", utc_text(OLD_NS)] in cells
    assert ["scale", "weight", "1", "7"] in [row[:4] for row in cells]
    assert ["(gateway)", "event/gap", "1", "1"] in [row[:4] for row in cells]
    assert lines[-1] == (
        "refused by the broker: healthd/gw/device/strap/beat (Not authorized [0x87])"
    )


def test_the_daemon_is_not_disturbed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(path) as holder:
        for count in range(1, 4):
            # Samples are stored before and after each answer.
            store_another(holder)
            assert ask_json(path, capsys)["samples"] == count


def test_without_a_daemon_it_changes_neither_content_nor_owner(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(path)
    if os.geteuid() == 0:
        # The files belong to the service's user, while root runs the command.
        for file in (path.parent, *path.parent.iterdir()):
            os.chown(file, 65534, 65534)
    before, owner = path.read_bytes(), path.stat().st_uid
    assert ask_json(path, capsys)["samples"] == 5
    assert path.read_bytes() == before
    assert {file.stat().st_uid for file in path.parent.iterdir()} == {owner}
    store = Store(path, QUOTA)
    assert len(store.oldest(10)) == 5
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: needs root to become another user")
@pytest.mark.parametrize("running", [False, True])
def test_a_user_who_may_only_read_sees_it(path: Path, *, running: bool) -> None:
    fill(path)
    # pytest's own folders are closed to other users.
    with TemporaryDirectory() as folder:
        path = Path(shutil.move(path.parent, folder)) / path.name
        with held(path) if running else nullcontext():
            # healthd has closed them to other users.
            for place in (path.parents[1], path.parent):
                place.chmod(0o755)
            for file in path.parent.iterdir():
                file.chmod(0o644)
            before = sorted(path.parent.iterdir())
            # The modules are loaded first: this user may not be allowed to read them.
            load = "import os; from pathlib import Path; from healthd.cli.outbox import main"
            show = f"main(None, Path({str(path.parent)!r}), True)"
            script = f"{load}; os.setuid({OTHER_UID}); {show}"
            done = subprocess.run(
                [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, b"")
            assert orjson.loads(done.stdout)["samples"] == 5
            assert sorted(path.parent.iterdir()) == before


def test_an_empty_outbox(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(path, QUOTA).close()
    report = ask_json(path, capsys)
    assert report.pop("file_bytes") == path.stat().st_size
    assert report == {
        "file": str(path),
        "samples": 0,
        "payload_bytes": 0,
        "age_s": None,
        "streams": [],
        "parked": [],
        "set_aside": [],
    }
    assert ask(path, capsys) == [f"{path}: 0 samples waiting"]


@pytest.mark.parametrize("content", [None, b"", b"no database here" * 100])
@pytest.mark.parametrize("as_json", [False, True])
def test_without_an_outbox_it_fails(
    path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, as_json: bool
) -> None:
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    assert main(None, path.parent, as_json) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"{path}: ")
    assert line.endswith("expected an outbox of healthd")
    # The command neither creates nor repairs a file.
    assert path.exists() == (content is not None)
    assert content is None or path.read_bytes() == content


@pytest.mark.parametrize(("make", "kind"), [("mkdir", "a folder"), ("mkfifo", "a named pipe")])
def test_something_else_than_a_file_is_named(path: Path, make: str, kind: str) -> None:
    path.parent.mkdir()
    getattr(os, make)(path)
    command = [sys.executable, "-m", "healthd", "outbox", "--directory", str(path.parent)]
    # In a process of its own: SQLite waits forever for a writer of the pipe.
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith(f"{path} is {kind}, expected a file; ")


def change(path: Path, statement: str) -> None:
    """Change the file as another version of healthd does."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("PRAGMA user_version = 7", "version 7"),
        ("ALTER TABLE pending ADD COLUMN colour INTEGER", "unknown columns in table pending"),
    ],
)
def test_an_outbox_of_another_version_is_named(
    path: Path, capsys: pytest.CaptureFixture[str], statement: str, found: str
) -> None:
    fill(path)
    change(path, statement)
    before = path.read_bytes()
    assert main(None, path.parent, False) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"{path}: {found}, expected an outbox of version")
    assert path.read_bytes() == before


def test_files_that_were_set_aside_are_listed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for statement in ("PRAGMA user_version = 7", "DROP TABLE runs"):
        fill(path)
        change(path, statement)
    Store(path, QUOTA).close()
    newer, other = ask_json(path, capsys)["set_aside"]
    assert newer.startswith("outbox.version-7-")
    assert other.startswith("outbox.unknown-")
    assert ask(path, capsys)[1:] == [
        f"set aside, not delivered: {newer}",
        f"set aside, not delivered: {other}",
    ]


def test_an_outbox_of_an_older_version_is_shown(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before healthd has started for the first time after an upgrade."""
    fill(path)
    for trigger in ("pending_added", "pending_removed"):
        change(path, f"DROP TRIGGER {trigger}")
    change(path, "DROP TABLE tally")
    change(path, "PRAGMA user_version = 0")
    report = ask_json(path, capsys)
    assert (report["samples"], report["payload_bytes"]) == (5, 23)
    assert {(row["stream"], row["count"]) for row in report["streams"]} == {
        ("beat", 3),
        ("weight", 1),
        ("event/gap", 1),
    }


@pytest.mark.parametrize("name", ["[bold]", "with [/x] in it", "ä b?c#d%20"])
def test_any_folder_is_shown_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / name / "outbox.sqlite3"
    Store(path, QUOTA).close()
    assert ask(path, capsys) == [f"{path}: 0 samples waiting"]
    assert ask_json(path, capsys)["file"] == str(path)


def test_the_settings_name_the_folder(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(path)
    config = tmp_path / "healthd.toml"
    config.write_text(f'[outbox]\ndirectory = "{path.parent}"\n')
    assert main(config, None, True) == 0
    assert orjson.loads(capsys.readouterr().out)["samples"] == 5
    # --directory takes precedence.
    assert main(config, tmp_path / "elsewhere", True) == 1


def test_without_settings_it_is_in_the_state_folder_of_systemd(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    monkeypatch.setenv("STATE_DIRECTORY", str(path.parent))
    assert main(None, None, True) == 0
    assert orjson.loads(capsys.readouterr().out)["file"] == str(path)


def test_the_command(path: Path) -> None:
    fill(path)
    command = [sys.executable, "-m", "healthd", "outbox", "--directory", str(path.parent)]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert orjson.loads(done.stdout)["samples"] == 5
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "refused by the broker: healthd/gw/device/strap/beat" in done.stdout
    path.unlink()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{path}: ")
