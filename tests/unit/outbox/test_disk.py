"""The store's thread: what it reports when file and disk fail, and that started work is done."""

import asyncio
import gc
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from healthd.errors import Fatal
from healthd.outbox.disk import Disk, DiskFailing
from healthd.outbox.store import Store
from tests.unit.outbox.bench import (
    BOUND_S,
    QUOTA,
    SmallDisk,
    changes,
    checkpoint,
    entry,
    failing_disk,
    garble_header,
    select,
    seqs_in,
)

# The user ID that Linux keeps for unprivileged use: it owns no files.
UNPRIVILEGED = 65534

OTHER_DATA = b"no database here" * 1000


class Notices(list[tuple[str, str]]):
    """The changes that the disk reported, and the threads that it reported them on."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def __call__(self, change: str, detail: str) -> None:
        self.append((change, detail))
        self.threads.add(threading.get_ident())


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
async def disk(path: Path, notices: Notices) -> AsyncIterator[Disk]:
    disk = Disk(path, QUOTA, notices)
    await disk.open()
    assert notices == []
    yield disk
    await disk.close()


async def append(disk: Disk, *seqs: int) -> list[int]:
    return await disk.call(lambda store: store.append([entry(seq) for seq in seqs]))


async def stored(disk: Disk) -> list[int]:
    return await disk.call(seqs_in)


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def disable_cache(store: Store) -> None:
    """Make SQLite read every page from the file again."""
    with store.transaction() as db:
        db.execute("PRAGMA cache_size=0")


async def test_calls_run_one_at_a_time_off_the_event_loop(disk: Disk) -> None:
    threads = await asyncio.gather(*(disk.call(lambda _: threading.get_ident()) for _ in range(10)))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    # In the order of the calls.
    await asyncio.gather(*(append(disk, seq) for seq in range(20)))
    assert await stored(disk) == list(range(20))


async def test_each_transition_is_reported_once(disk: Disk, notices: Notices) -> None:
    await append(disk, 1)
    for _ in range(2):
        notices.clear()
        with failing_disk():
            for _ in range(3):
                with pytest.raises(DiskFailing, match="I/O") as caught:
                    await append(disk, 2)
                assert caught.value.reason == "disk_failing"
                assert disk.degraded
        assert changes(notices) == ["degraded"]
        for seq in (3, 4):
            await append(disk, seq)
            assert not disk.degraded
        assert changes(notices) == ["degraded", "recovered"]
    assert await stored(disk) == [1, 3, 4, 3, 4]
    assert notices.threads == {threading.get_ident()}


async def test_a_read_does_not_end_a_write_fault(disk: Disk, notices: Notices) -> None:
    await append(disk, 1)
    with failing_disk():
        for _ in range(2):
            with pytest.raises(DiskFailing):
                await append(disk, 2)
            # The health topic and the backlog read like this.
            await disk.call(lambda store: store.depth())
            assert await stored(disk) == [1]
            assert disk.degraded
    await append(disk, 3)
    assert changes(notices) == ["degraded", "recovered"]


async def test_a_full_disk_is_degraded_until_there_is_space(
    small_disk: SmallDisk, notices: Notices
) -> None:
    disk = Disk(small_disk.folder / "outbox.sqlite3", QUOTA, notices)
    await disk.open()
    small_disk.fill()
    with pytest.raises(DiskFailing, match="full"):
        for seq in range(10_000):
            await append(disk, seq)
    small_disk.empty()
    await append(disk, 10_000)
    assert changes(notices) == ["degraded", "recovered"]
    await disk.close()


async def test_a_damaged_file_is_replaced_and_the_work_done_on_the_new_one(
    disk: Disk, path: Path, notices: Notices
) -> None:
    await append(disk, *range(1000))
    await disk.call(disable_cache)
    checkpoint(path)
    garble_header(path)
    assert len(await append(disk, 1000)) == 1
    assert changes(notices) == ["corrupt", "damaged"]
    assert not disk.degraded
    (aside,) = path.parent.glob("*.corrupt-*[0-9]")
    assert aside.name in notices[1][1]
    assert aside.read_bytes().startswith(b"no database here")
    assert await stored(disk) == list(range(1001))
    assert changes(notices) == ["corrupt", "damaged"]


@pytest.fixture
def other_data(path: Path) -> None:
    """A file at the path that is not a database."""
    path.parent.mkdir()
    path.write_bytes(OTHER_DATA)


@pytest.mark.usefixtures("other_data")
async def test_a_file_that_is_damaged_at_the_start_is_reported(
    path: Path, notices: Notices
) -> None:
    disk = Disk(path, QUOTA, notices)
    await disk.open()
    (aside,) = path.parent.glob("*.corrupt-*[0-9]")
    assert changes(notices) == ["corrupt", "damaged"]
    assert aside.name in notices[1][1]
    assert await stored(disk) == []
    await disk.close()


async def test_a_deleted_file_is_recreated_and_reported_once(
    disk: Disk, path: Path, notices: Notices
) -> None:
    await append(disk, 1, 2)
    remove(path)
    assert await stored(disk) == [1, 2]
    await append(disk, 3)
    assert changes(notices) == ["deleted"]
    assert [seq for (seq,) in select(path, "SELECT seq FROM pending ORDER BY row")] == [1, 2, 3]


@pytest.mark.parametrize("moved", [False, True])
async def test_a_folder_that_is_moved_away_or_deleted_is_created_again_with_everything(
    disk: Disk, path: Path, notices: Notices, *, moved: bool
) -> None:
    """D27: its samples went with it, and nothing said so."""
    await append(disk, 1, 2)
    if moved:
        path.parent.rename(path.parent.with_name("moved"))
    else:
        shutil.rmtree(path.parent)
    # Nothing has to be stored for it to be noticed.
    await disk.call(lambda store: store.check_step())
    assert changes(notices) == ["deleted"]
    await append(disk, 3)
    assert await stored(disk) == [1, 2, 3]
    assert changes(notices) == ["deleted"]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    second = Disk(path, QUOTA, notices)
    with pytest.raises(Fatal, match="no other process uses"):
        await second.open()


async def test_a_file_that_cannot_be_created_is_named(path: Path, notices: Notices) -> None:
    path.parent.mkdir(exist_ok=True)
    link(path, path.parent / "not-mounted" / path.name)
    disk = Disk(path, QUOTA, notices)
    await disk.open()
    with pytest.raises(DiskFailing, match="mounted") as caught:
        await append(disk, 1)
    assert str(caught.value).startswith(f"{path}: unable to open")
    ((change, detail),) = notices
    assert (change, detail) == ("degraded", str(caught.value))
    (path.parent / "not-mounted").mkdir()
    await append(disk, 2)
    assert changes(notices) == ["degraded", "recovered"]
    await disk.close()


async def test_a_file_replaced_by_other_data_does_not_stop_the_disk_for_good(
    disk: Disk, path: Path, notices: Notices, tmp_path: Path
) -> None:
    await append(disk, 1)
    other = tmp_path / "other"
    other.write_bytes(OTHER_DATA)
    other.replace(path)
    for _ in range(3):
        with suppress(DiskFailing):
            await append(disk, 2)
    assert not disk.degraded
    assert (await stored(disk))[-1] == 2


async def test_work_is_done_even_if_its_caller_is_cancelled(disk: Disk, path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def work(store: Store) -> list[int]:
        entered.set()
        assert go_on.wait(BOUND_S)
        return store.append([entry(1)])

    caller = asyncio.create_task(disk.call(work))
    await asyncio.to_thread(entered.wait, BOUND_S)
    # Not begun yet: it waits for the first one.
    waiting = asyncio.create_task(append(disk, 2))
    await asyncio.sleep(0)
    for task in (caller, waiting):
        task.cancel()
    await asyncio.wait([caller, waiting])
    assert caller.cancelled()
    assert waiting.cancelled()
    assert select(path, "SELECT seq FROM pending") == []
    go_on.set()
    assert await stored(disk) == [1, 2]


async def test_an_error_of_the_work_itself_is_not_a_disk_fault(
    disk: Disk, notices: Notices
) -> None:
    def bug(_: Store) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await disk.call(bug)
    assert not disk.degraded
    assert notices == []


async def test_a_second_instance_is_refused_and_the_first_goes_on(
    disk: Disk, path: Path, notices: Notices
) -> None:
    await append(disk, 1)
    second = Disk(path, QUOTA, notices)
    with pytest.raises(Fatal, match="no other process uses") as caught:
        await second.open()
    assert str(path.parent) in str(caught.value)
    assert await stored(disk) == [1]
    assert notices == []


async def test_a_refused_instance_leaves_no_open_file_and_no_thread(
    disk: Disk, path: Path, notices: Notices
) -> None:
    def held() -> tuple[list[str], set[threading.Thread]]:
        gc.collect()
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        files = sorted(str(link.readlink()) for link in links)
        ours = [file for file in files if file.startswith(str(path.parent))]
        return ours, set(threading.enumerate())

    before = held()
    second = Disk(path, QUOTA, notices)
    with pytest.raises(Fatal):
        await second.open()
    assert held() == before


async def test_a_folder_can_be_used_again_after_closing(path: Path, notices: Notices) -> None:
    before = set(threading.enumerate())
    for seq in range(3):
        disk = Disk(path, QUOTA, notices)
        await disk.open()
        await append(disk, seq)
        await disk.close()
    assert [seq for (seq,) in select(path, "SELECT seq FROM pending")] == [0, 1, 2]
    assert set(threading.enumerate()) <= before


async def test_a_folder_that_cannot_be_created_is_fatal(tmp_path: Path, notices: Notices) -> None:
    (tmp_path / "file").touch()
    disk = Disk(tmp_path / "file" / "outbox.sqlite3", QUOTA, notices)
    with pytest.raises(Fatal, match="expected a folder that healthd can write to"):
        await disk.open()


@pytest.mark.parametrize("below", [".", "healthd"])
async def test_a_folder_that_is_a_link_to_nothing_is_named(
    tmp_path: Path, notices: Notices, below: str
) -> None:
    state = tmp_path / "state"
    link(state, tmp_path / "not-mounted")
    disk = Disk(state / below / "outbox.sqlite3", QUOTA, notices)
    with pytest.raises(Fatal) as caught:
        await disk.open()
    found = f"{state} is a link to {tmp_path / 'not-mounted'}, which does not exist"
    assert found in str(caught.value)


@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "a folder"), (os.mkfifo, "a named pipe")])
async def test_something_else_than_a_file_is_named(
    path: Path, notices: Notices, make: Callable[[Path], None], kind: str
) -> None:
    path.parent.mkdir(exist_ok=True)
    make(path)
    disk = Disk(path, QUOTA, notices)
    with pytest.raises(Fatal) as caught:
        await disk.open()
    assert f"{path} is {kind}, expected a file" in str(caught.value)


@pytest.mark.parametrize("existed", [False, True])
async def test_a_disk_that_is_read_only_at_the_start_is_degraded_until_it_is_writable(
    small_disk: SmallDisk, notices: Notices, *, existed: bool
) -> None:
    path = small_disk.folder / "outbox.sqlite3"
    if existed:
        Store(path, QUOTA).close()
        path.with_suffix(".lock").touch()
    small_disk.make_read_only()
    disk = Disk(path, QUOTA, notices)
    await disk.open()
    with pytest.raises(DiskFailing, match="Read-only"):
        await append(disk, 1)
    assert disk.degraded
    assert changes(notices) == ["degraded"]
    small_disk.make_writable()
    await append(disk, 2)
    assert changes(notices) == ["degraded", "recovered"]
    assert await stored(disk) == [2]
    await disk.close()


async def test_a_disk_that_never_opened_can_be_closed(
    small_disk: SmallDisk, notices: Notices
) -> None:
    small_disk.make_read_only()
    disk = Disk(small_disk.folder / "outbox.sqlite3", QUOTA, notices)
    await disk.open()
    await disk.close()


async def test_another_instance_found_once_the_disk_is_back_is_fatal(
    small_disk: SmallDisk, notices: Notices
) -> None:
    path = small_disk.folder / "outbox.sqlite3"
    small_disk.make_read_only()
    late = Disk(path, QUOTA, notices)
    await late.open()
    small_disk.make_writable()
    first = Disk(path, QUOTA, notices)
    await first.open()
    with pytest.raises(Fatal, match="no other process uses"):
        await append(late, 1)
    await late.close()
    await first.close()


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A folder without write permission."""
    tmp_path.chmod(0o500)
    # Root can write everywhere, so the test runs as another user.
    was = os.geteuid()
    if was == 0:
        os.seteuid(UNPRIVILEGED)
    yield tmp_path
    os.seteuid(was)
    tmp_path.chmod(0o700)


async def test_a_folder_without_write_permission_is_fatal(
    forbidden: Path, notices: Notices
) -> None:
    with pytest.raises(Fatal, match="Permission denied"):
        await Disk(forbidden / "outbox.sqlite3", QUOTA, notices).open()
