"""Lines are written whole and in order, or counted; the caller never waits."""

import errno
import fcntl
import os
import pty
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from healthd.log.line_writer import LAST_LINES_S, MAX_WAITING_BYTES, LineWriter
from tests.unit.outbox.bench import SmallDisk

# A call that waits for a reader never returns; a machine that is busy has no such pause.
_AT_ONCE_S = 10.0


def notice(count: int) -> bytes:
    return b"lost %d\n" % count


class Pipe:
    """A pipe of which only the test reads."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def fill(self) -> None:
        """Fill it with empty lines until it is full."""
        os.set_blocking(self.write_end, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(self.write_end, b"\n" * 4096)
        os.set_blocking(self.write_end, True)

    def lines(self, last: bytes) -> list[bytes]:
        """Read up to a line; return all lines but the empty ones."""
        data = b""
        while not data.endswith(last):
            data += os.read(self.read_end, 65536)
        return [line for line in data.split(b"\n") if line]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.read_end, made.write_end):
        try:
            os.close(descriptor)
        except OSError as error:
            assert error.errno == errno.EBADF  # the test has closed it


@pytest.fixture
def writer(pipe: Pipe) -> Iterator[LineWriter]:
    made = LineWriter(pipe.write_end, notice)
    yield made
    made.close()


def waits(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _AT_ONCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def numbered(count: int) -> list[bytes]:
    return [b"line %05d" % number for number in range(count)]


def test_lines_of_all_threads_are_whole_and_in_order(pipe: Pipe, writer: LineWriter) -> None:
    def write(name: int) -> None:
        for number in range(200):
            writer.write(b"%d %d\n" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.write(b"end\n")
    lines = pipe.lines(b"end\n")[:-1]
    for name in range(4):
        mine = [line for line in lines if line.startswith(b"%d " % name)]
        assert mine == [b"%d %d" % (name, number) for number in range(200)]
    assert len(lines) == 800
    assert writer.lost == 0


def test_a_pipe_that_is_not_read_stops_no_caller(pipe: Pipe, writer: LineWriter) -> None:
    pipe.fill()
    started = time.monotonic()
    for line in numbered(1000):
        writer.write(line + b"\n")
    assert time.monotonic() - started < _AT_ONCE_S
    writer.write(b"end\n")
    assert pipe.lines(b"end\n") == [*numbered(1000), b"end"]
    assert writer.lost == 0


def test_what_has_no_place_is_counted_and_reported_where_it_is_missing(
    pipe: Pipe, writer: LineWriter
) -> None:
    pipe.fill()
    line = b"x" * 1023 + b"\n"
    for _ in range(2 * MAX_WAITING_BYTES // 1024):
        writer.write(line)
    assert writer.lost == MAX_WAITING_BYTES // 1024
    report = notice(writer.lost)
    read = pipe.lines(report)
    assert read == [line[:-1]] * (MAX_WAITING_BYTES // 1024) + [report[:-1]]
    writer.flush()
    writer.write(b"after\n")
    assert pipe.lines(b"after\n") == [b"after"]


def test_one_line_that_is_larger_than_the_bound_is_written(pipe: Pipe, writer: LineWriter) -> None:
    traceback = b"x" * (2 * MAX_WAITING_BYTES) + b"\n"
    writer.write(traceback)
    assert pipe.lines(b"x\n") == [traceback[:-1]]
    assert writer.lost == 0


def test_the_end_does_not_wait_for_a_reader_that_stands_still(
    pipe: Pipe, writer: LineWriter
) -> None:
    pipe.fill()
    writer.write(b"last\n")
    started = time.monotonic()
    writer.flush()
    assert LAST_LINES_S <= time.monotonic() - started < LAST_LINES_S + _AT_ONCE_S
    assert pipe.lines(b"last\n") == [b"last"]


@pytest.mark.parametrize("made_with", ["pipe", "socket", "terminal"])
def test_a_reader_that_is_gone(made_with: str) -> None:
    match made_with:
        case "pipe":
            reader, descriptor = os.pipe()
        case "socket":
            reader, descriptor = (end.detach() for end in socket.socketpair())
        case _:
            reader, descriptor = pty.openpty()
    os.close(reader)
    with pytest.raises(OSError, match=r"Broken pipe|Input/output error"):
        os.write(descriptor, b"x")
    writer = LineWriter(descriptor, notice)
    for _ in range(3):
        writer.write(b"line\n")
    waits(lambda: writer.lost == 3)
    writer.close()
    os.close(descriptor)


def test_a_full_disk_is_reported_once_there_is_room_again(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file, Path("/dev/full").open("wb") as full:
        descriptor = os.dup(full.fileno())
        with pytest.raises(OSError, match="No space left"):
            os.write(descriptor, b"x")
        writer = LineWriter(descriptor, notice)
        writer.write(b"first\n")
        writer.write(b"second\n")
        waits(lambda: writer.lost == 2)
        os.dup2(file.fileno(), descriptor)
        writer.write(b"third\n")
        writer.close()
        os.close(descriptor)
    assert (tmp_path / "log").read_bytes() == b"lost 2\nthird\n"
    assert writer.lost == 2


def test_a_line_that_a_full_disk_cut_in_two_gets_its_other_half(small_disk: SmallDisk) -> None:
    ballast, log = small_disk.folder / "ballast", small_disk.folder / "log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"start\n")
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    writer = LineWriter(descriptor, notice)
    torn = b"y" * 5000 + b"\n"
    writer.write(torn)
    waits(lambda: log.stat().st_size > len("start\n"))
    assert log.stat().st_size < len(torn)  # the rest of the page only
    writer.write(b"lost\n")
    waits(lambda: writer.lost == 1)
    ballast.unlink()
    writer.write(b"end\n")
    writer.close()
    os.close(descriptor)
    assert log.read_bytes() == b"start\n" + torn + b"lost 1\nend\n"


def test_another_program_may_make_the_descriptor_non_blocking(
    pipe: Pipe, writer: LineWriter
) -> None:
    pipe.fill()
    os.set_blocking(pipe.write_end, False)
    with pytest.raises(BlockingIOError):
        os.write(pipe.write_end, b"x")
    writer.write(b"line\n")
    assert pipe.lines(b"line\n") == [b"line"]
    assert writer.lost == 0


def test_a_terminal_stopped_with_ctrl_s() -> None:
    terminal, descriptor = pty.openpty()
    attributes = termios.tcgetattr(descriptor)
    assert attributes[0] & termios.IXON
    os.write(terminal, b"\x13")
    os.set_blocking(descriptor, False)
    waits(lambda: _refuses(descriptor))
    os.set_blocking(descriptor, True)
    writer = LineWriter(descriptor, notice)
    started = time.monotonic()
    writer.write(b"line\n")
    assert time.monotonic() - started < _AT_ONCE_S
    os.write(terminal, b"\x11")
    read = b""
    while not read.endswith(b"line\r\n"):
        read += os.read(terminal, 1000)
    writer.close()
    assert writer.lost == 0
    os.close(terminal)
    os.close(descriptor)


def _refuses(descriptor: int) -> bool:
    """Return whether a terminal takes no more output."""
    try:
        os.write(descriptor, b".")
    except BlockingIOError:
        return True
    return False


def test_a_closed_stream_loses_every_line() -> None:
    writer = LineWriter(None, notice)
    writer.write(b"line\n")
    writer.write(b"line\n")
    writer.close()
    assert writer.lost == 2


def test_it_leaves_the_shared_descriptor_as_it_was(pipe: Pipe, writer: LineWriter) -> None:
    before = fcntl.fcntl(pipe.write_end, fcntl.F_GETFL)
    writer.write(b"line\n")
    assert pipe.lines(b"line\n") == [b"line"]
    assert fcntl.fcntl(pipe.write_end, fcntl.F_GETFL) == before
