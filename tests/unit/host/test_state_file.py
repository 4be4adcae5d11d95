"""A small document, across restarts, and on a disk that fails."""

import asyncio
from pathlib import Path

import pytest

from healthd.host.state_file import StateFile


async def test_the_next_start_reads_the_last_document(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "new" / "it.json", "it")
    assert file.read() is None
    await asyncio.gather(*(file.keep({"number": number}) for number in range(5)))
    assert StateFile(tmp_path / "new" / "it.json", "it").read() == {"number": 4}
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["it.json"]


async def test_the_content_at_the_time_of_the_call_is_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "it.json", "it")
    document = {"number": 1}
    writing = asyncio.ensure_future(file.keep(document))
    await asyncio.sleep(0)
    document["number"] = 2
    await writing
    assert file.read() == {"number": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_an_unreadable_document_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it.json").write_bytes(content)
    assert StateFile(tmp_path / "it.json", "it").read() is None


async def test_a_failing_disk_is_logged_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"")  # not a folder
    file = StateFile(blocked / "it.json", "it")
    for _ in range(3):
        await file.keep(1)
    written = capfd.readouterr()
    assert (written.out + written.err).count("it not kept") == 1
    blocked.unlink()
    await file.keep(2)
    assert file.read() == 2
