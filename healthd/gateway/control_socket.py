"""A Unix socket over which commands send requests to the running daemon.

Each connection carries one request: a line of JSON with a ``verb``, answered by a line of JSON,
``{"status":"ok","data":…}`` or ``{"status":"error","error":…}``. After the answer to some verbs,
lines follow until the client disconnects. Every user who can open the socket may send requests: the
user that healthd runs as, and root.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from healthd.log import get_logger
from healthd.verbs import BUG, LONGEST_REQUEST, Handler, RequestRefused, fields_of, request_of

# A client writes its request at once; a slow one would keep one of the few places.
_REQUEST_S = 5.0

# Commands are started by people or timers, so few run at once. Each needs one of a few hundred
# file descriptors.
_MOST_AT_A_TIME = 16

Streamer = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[AsyncGenerator[bytes]]]
"""Carries out a request that is answered with lines; the block yields pieces of whole lines.

It gets the keys of the request, and raises ``RequestRefused`` at its start. What the client reads
too slowly has to be left out here: the socket has no bound of its own.
"""


def socket_file(folder: Path, gateway: str) -> Path:
    """Return the path of a gateway's socket."""
    return folder / f"healthd-{gateway}.sock"


class ControlSocket:
    """The daemon's end of the socket."""

    def __init__(
        self,
        folder: Path | None,
        gateway: str,
        handlers: Mapping[str, Handler],
        streamers: Mapping[str, Streamer] | None = None,
    ) -> None:
        """Prepare the socket; ``run`` opens it.

        Args:
            folder: where the socket is created; None for no socket.
            gateway: the gateway's id.
            handlers: by verb, the function that carries a request out.
            streamers: the same for requests that are answered with lines; None: there are none.
        """
        self._file = None if folder is None else socket_file(folder, gateway)
        self._handlers = handlers
        self._streamers = streamers or {}
        self._conversations = 0
        self._log = get_logger(service="control")

    async def run(self, mark_healthy: Callable[[], None]) -> None:
        """Answer requests until cancelled. If the socket cannot be opened, log that and return."""
        if self._file is None:
            hint = "set XDG_RUNTIME_DIR"
            self._log.info("no control socket", error="no runtime folder", hint=hint)
            return
        try:
            listening = _listen(self._file)
        except OSError as error:
            self._log.warning("no control socket", error=str(error), file=str(self._file))
            return
        try:
            async with asyncio.TaskGroup() as tasks:

                def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    tasks.create_task(self._converse(reader, writer), name="control request")

                server = await asyncio.start_unix_server(
                    accept, sock=listening, limit=LONGEST_REQUEST
                )
                try:
                    mark_healthy()
                    await asyncio.Event().wait()
                finally:
                    server.close()
        finally:
            listening.close()
            self._file.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer: bytes | None = _error("healthd is stopping")
        self._conversations += 1
        try:
            verb, fields = await self._read(reader)
            if streamer := self._streamers.get(verb):
                async with streamer(fields) as pieces:
                    # From here on there are only lines.
                    answer = None
                    writer.write(_ok({}))
                    await _send(pieces, reader, writer)
            else:
                answer = _ok(await self._handlers[verb](request_of(verb, fields)))
        except RequestRefused as refusal:
            answer = _error(str(refusal))
        except Exception as error:
            # A bug in one handler ends this request, and nothing else.
            self._log.exception("crashed", exc_info=error)
            answer = None if answer is None else _error(BUG)
        finally:
            self._conversations -= 1
            # A client that has disconnected misses the answer.
            with suppress(OSError):
                if answer is not None:
                    writer.write(answer)
                writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
        """Return the verb and the other keys of a request.

        Raises:
            RequestRefused: it is none, or there are too many.
        """
        request = await _request(reader)
        if self._conversations > _MOST_AT_A_TIME:
            raise RequestRefused("too many requests at once")
        verb = str(request.pop("verb", None))
        if verb not in self._handlers and verb not in self._streamers:
            known = ", ".join((*self._handlers, *self._streamers))
            raise RequestRefused(f"unknown verb, expected one of {known}")
        return verb, request


async def _send(
    pieces: AsyncGenerator[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send pieces until the client disconnects."""

    async def send() -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                writer.write(piece)
                await writer.drain()

    sending = asyncio.create_task(send(), name="control stream")
    # A client has nothing more to say, so this ends when it disconnects.
    gone = asyncio.create_task(reader.read(1), name="control client")
    try:
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        gone.cancel()
        await asyncio.wait({sending, gone})
    with suppress(OSError, asyncio.CancelledError):
        gone.result()
    with suppress(OSError, asyncio.CancelledError):
        sending.result()


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_REQUEST_S):
            line = await reader.readline()
    except TimeoutError as error:
        raise RequestRefused(f"no request within {_REQUEST_S:.0f} s") from error
    except ValueError as error:
        raise RequestRefused(f"request is longer than {LONGEST_REQUEST} bytes") from error
    except OSError as error:
        raise RequestRefused("the connection failed before the request arrived") from error
    return fields_of(line)


def _ok(data: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"status": "ok", "data": data}) + b"\n"


def _error(text: str) -> bytes:
    return orjson.dumps({"status": "error", "error": text}) + b"\n"


def _listen(file: Path) -> socket.socket:
    """Open the socket; replace one that a killed daemon left.

    Its permissions are set before it listens, so no other user can connect. It listens before it is
    renamed into place, so no command ever finds a socket that does not answer.
    """
    draft = file.with_suffix(".new-sock")
    draft.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(draft))
        draft.chmod(0o600)
        listening.setblocking(False)
        listening.listen()
        draft.replace(file)
    except BaseException:
        listening.close()
        draft.unlink(missing_ok=True)
        raise
    return listening


@contextmanager
def asking(
    file: Path, request: Mapping[str, Any]
) -> Generator[tuple[dict[str, Any], socket.socket]]:
    """Send a request to the daemon that serves this socket; the connection is open in the block.

    Yields:
        The data of the answer, and the connection, which lines may follow.

    Raises:
        RequestRefused: the daemon refused the request.
        OSError: no daemon is running, it ended meanwhile, or this user may not open the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.connect(os.fspath(file))
        connected.sendall(orjson.dumps(request) + b"\n")
        # Unbuffered: what follows the answer belongs to the block.
        with connected.makefile("rb", buffering=0) as lines:
            line = lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionAbortedError("healthd ended before it answered")
        answer: dict[str, Any] = orjson.loads(line)
        if answer["status"] != "ok":
            raise RequestRefused(answer["error"])
        yield answer["data"], connected
