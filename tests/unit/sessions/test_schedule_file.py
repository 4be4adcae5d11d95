"""The last fetches, over restarts, and with a disk that fails."""

import asyncio
from pathlib import Path

import pytest

from healthd.schedule import Last
from healthd.sessions.schedule_file import FILE_NAME, ScheduleFile

LAST = Last(1_795_485_811_000_000_000, 5_000_000_000, "boot")


async def test_the_next_instance_reads_what_was_stored(tmp_path: Path) -> None:
    file = ScheduleFile(tmp_path / "new")
    assert file.last("scale") is None
    await asyncio.gather(*(file.remember(f"scale-{number}", LAST) for number in range(5)))
    again = ScheduleFile(tmp_path / "new")
    assert [again.last(f"scale-{number}") for number in range(5)] == [LAST] * 5
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b'{"scale": 5}', b'{"scale": {"wall_ns": "x"}}', b"\xff"),
        # It could not be written again.
        b'{"scale": {"wall_ns": 1e30, "mono_ns": 5, "boot": "b"}}',
        b'{"scale": {"wall_ns": 18446744073709551615, "mono_ns": 5, "boot": "b"}}',
    ],
)
def test_an_unreadable_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert ScheduleFile(tmp_path).last("scale") is None


async def test_a_failing_disk_is_logged_once_and_memory_is_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")  # a file, not a folder
    file = ScheduleFile(blocked)
    for _ in range(3):
        await file.remember("scale", LAST)
    assert file.last("scale") == LAST
    written = capfd.readouterr()
    assert (written.out + written.err).count("schedule not kept") == 1
    blocked.unlink()
    await file.remember("scale", LAST)
    assert ScheduleFile(blocked).last("scale") == LAST
