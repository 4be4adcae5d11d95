"""The control socket: its permissions, its answers, and that no input harms the daemon."""

import asyncio
import socket
import stat
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from healthd.gateway import control_socket as control
from healthd.gateway.control_socket import ControlSocket, asking, socket_file
from healthd.host.folders import runtime_folder
from healthd.verbs import LONGEST_REQUEST, Fetch, Handler, Reconnect, RequestRefused, Scan


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


async def echo(request: Fetch) -> Mapping[str, Any]:
    if not request.peripheral:
        raise KeyError
    return {"fetched": request.peripheral}


async def refuse(_: Reconnect) -> Mapping[str, Any]:
    raise RequestRefused("not today")


async def wait(_: Scan) -> Mapping[str, Any]:
    await asyncio.Event().wait()
    return {}


HANDLERS: dict[str, Handler] = {"fetch": echo, "reconnect": refuse, "scan": wait}


class Counting:
    """A request that is answered with numbered lines, as long as there is one who reads them."""

    def __init__(self) -> None:
        self.sent, self.ended = 0, asyncio.Event()

    @asynccontextmanager
    async def stream(self, fields: Mapping[str, Any]) -> AsyncGenerator[AsyncGenerator[bytes]]:
        if "to" not in fields:
            raise RequestRefused("to: found nothing")
        try:
            yield self._pieces(fields["to"])
        finally:
            self.ended.set()

    async def _pieces(self, to: int) -> AsyncGenerator[bytes]:
        for number in range(to):
            self.sent = number
            yield b"%d\n" % number + b"x" * 60_000 + b"\n"
            if number == 3 and to == 4:
                raise KeyError
        await asyncio.Event().wait()


@asynccontextmanager
async def served(folder: Path, counting: Counting | None = None) -> AsyncGenerator[Path]:
    """Serve the socket of a gateway during the block."""
    listens = asyncio.Event()
    streamers = {} if counting is None else {"count": counting.stream}
    control_socket = ControlSocket(folder, "gw", HANDLERS, streamers)
    running = asyncio.create_task(control_socket.run(listens.set))
    async with asyncio.timeout(20):
        await listens.wait()
        try:
            yield socket_file(folder, "gw")
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])


async def answers(file: Path, sent: bytes) -> list[dict[str, Any]]:
    """Return all answers until the daemon closes the connection."""
    reader, writer = await asyncio.open_unix_connection(file)
    writer.write(sent)
    writer.write_eof()
    lines = (await reader.read()).splitlines()
    writer.close()
    return [orjson.loads(line) for line in lines]


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def ask(file: Path, request: Mapping[str, str]) -> dict[str, Any]:
    with asking(file, request) as (data, _):
        return data


async def ask_daemon(file: Path, **request: str) -> dict[str, Any]:
    return await asyncio.to_thread(ask, file, request)


async def test_a_request_is_answered_and_only_the_owner_may_connect(folder: Path) -> None:
    async with served(folder) as file:
        assert await ask_daemon(file, verb="fetch", peripheral="hello") == {"fetched": "hello"}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert names(folder) == [file.name]
    assert not names(folder)


async def test_a_refusal_reaches_the_client(folder: Path) -> None:
    async with served(folder) as file:
        with pytest.raises(RequestRefused, match="not today"):
            await ask_daemon(file, verb="reconnect", peripheral="hello")
        with pytest.raises(
            RequestRefused, match="unknown verb, expected one of fetch, reconnect, scan"
        ):
            await ask_daemon(file, verb="dance")


async def test_wrong_keys_are_refused(folder: Path) -> None:
    async with served(folder) as file:
        with pytest.raises(RequestRefused, match="peripheral: found nothing, expected a value"):
            await ask_daemon(file, verb="fetch")
        with pytest.raises(
            RequestRefused, match='unknown key "say", expected one of transaction, time, perip'
        ):
            await ask_daemon(file, verb="fetch", peripheral="strap", say="hello")


async def test_a_crash_of_one_handler_is_answered_and_logged_and_ends_nothing_else(
    folder: Path,
) -> None:
    async with served(folder) as file:
        with capture_logs() as logs, pytest.raises(RequestRefused, match="bug"):
            await ask_daemon(file, verb="fetch", peripheral="")
        assert [line["event"] for line in logs] == ["crashed"]
        assert await ask_daemon(file, verb="fetch", peripheral="still here") == {
            "fetched": "still here"
        }


async def test_a_killed_daemons_socket_is_replaced(folder: Path) -> None:
    file, draft = socket_file(folder, "gw"), folder / "healthd-gw.new-sock"
    for left in (file, draft):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(left))
    with pytest.raises(ConnectionRefusedError):
        ask(file, {"verb": "fetch"})
    async with served(folder):
        assert await ask_daemon(file, verb="fetch", peripheral="new") == {"fetched": "new"}


async def test_a_waiting_client_gets_an_answer_when_healthd_stops(folder: Path) -> None:
    async with served(folder) as file:
        reader, writer = await asyncio.open_unix_connection(file)
        writer.write(b'{"verb": "scan"}\n')
        # Answered after the first request arrived, so that one is waiting by now.
        assert await ask_daemon(file, verb="fetch", peripheral="hello")
    assert orjson.loads(await reader.read()) == {
        "status": "error",
        "error": "healthd is stopping",
    }
    writer.close()
    with pytest.raises(FileNotFoundError):
        ask(file, {"verb": "fetch"})


async def test_a_client_that_disconnects_early_does_no_harm(folder: Path) -> None:
    async with served(folder) as file:
        for sent in (b"", b'{"verb": "fetch", "peripheral": "hello"}\n', b'{"verb": "scan"}\n'):
            _, writer = await asyncio.open_unix_connection(file)
            writer.write(sent)
            writer.transport.abort()
        assert await ask_daemon(file, verb="fetch", peripheral="hello") == {"fetched": "hello"}


async def test_a_client_that_sends_nothing_is_disconnected(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_REQUEST_S", 0.1)
    async with served(folder) as file:
        reader, writer = await asyncio.open_unix_connection(file)
        assert "no request" in orjson.loads(await reader.read())["error"]
        writer.close()


async def test_the_number_of_requests_at_once_is_limited(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_MOST_AT_A_TIME", 1)
    async with served(folder) as file:
        _, writer = await asyncio.open_unix_connection(file)
        writer.write(b'{"verb": "scan"}\n')
        with pytest.raises(RequestRefused, match="too many"):
            await ask_daemon(file, verb="fetch", peripheral="hello")
        writer.close()


async def test_lines_follow_the_answer_until_the_client_disconnects(folder: Path) -> None:
    counting = Counting()
    async with served(folder, counting) as file:
        reader, writer = await asyncio.open_unix_connection(file, limit=1 << 20)
        writer.write(b'{"verb": "count", "to": 1000}\n')
        lines = [await reader.readline() for _ in range(5)]
        assert orjson.loads(lines[0]) == {"status": "ok", "data": {}}
        assert [lines[1], lines[3]] == [b"0\n", b"1\n"]
        writer.close()
        await counting.ended.wait()
        # It was not asked for more than fits into the buffers of a socket.
        assert counting.sent < 100
        assert await ask_daemon(file, verb="fetch", peripheral="hello") == {"fetched": "hello"}


async def test_a_refused_stream_is_answered(folder: Path) -> None:
    async with served(folder, Counting()) as file:
        with pytest.raises(RequestRefused, match="to: found nothing"):
            await ask_daemon(file, verb="count")


@pytest.mark.parametrize("to", [3, 4])
async def test_a_stream_ends_without_an_answer_if_healthd_stops_or_crashes(
    folder: Path, to: int
) -> None:
    counting = Counting()
    with capture_logs() as logs:
        async with served(folder, counting) as file:
            reader, writer = await asyncio.open_unix_connection(file, limit=1 << 20)
            writer.write(orjson.dumps({"verb": "count", "to": to}) + b"\n")
            # The whole answer, and the lines.
            received = [await reader.readline() for _ in range(1 + 2 * to)]
            if to == 4:
                assert await reader.read() == b""
        assert received[-2] == b"%d\n" % (to - 1)
        assert await reader.read() == b""
        writer.close()
    assert [line["event"] for line in logs] == (["crashed"] if to == 4 else [])


@pytest.mark.parametrize("how", ["no folder", "folder is gone", "path too long"])
async def test_without_a_socket_the_daemon_continues(folder: Path, how: str) -> None:
    where = {"no folder": None, "folder is gone": folder / "gone"}
    with capture_logs() as logs:
        await ControlSocket(where.get(how, folder / ("x" * 120)), "gw", HANDLERS).run(lambda: None)
    assert [line["event"] for line in logs] == ["no control socket"]


LINES = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=LONGEST_REQUEST, max_size=LONGEST_REQUEST + 100),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ).map(lambda value: orjson.dumps(value, default=str) if _fits(value) else b"{}"),
    st.dictionaries(st.sampled_from(["verb", "peripheral"]), st.text()).map(orjson.dumps),
)


def _fits(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


@given(st.lists(LINES, min_size=1, max_size=5))
def test_any_line_gets_one_error_and_does_no_harm(lines: list[bytes]) -> None:
    async def send() -> None:
        with tempfile.TemporaryDirectory() as name:
            async with served(Path(name)) as file:
                for line in lines:
                    (answer,) = await answers(file, line + b"\n")
                    assert answer["status"] == "error"
                    assert isinstance(answer["error"], str)
                assert await ask_daemon(file, verb="fetch", peripheral="hello") == {
                    "fetched": "hello"
                }

    asyncio.run(send())


def test_the_runtime_folder_is_systemds_or_the_users_or_none() -> None:
    both = {"RUNTIME_DIRECTORY": "/run/healthd", "XDG_RUNTIME_DIR": "/run/user/1000"}
    assert runtime_folder(both) == Path("/run/healthd")
    assert runtime_folder({"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/user/1000")
    assert runtime_folder({}) is None
