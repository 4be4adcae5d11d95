"""A Unix socket over which commands send requests to the running daemon.

Each connection carries one request: a line of JSON with a ``verb``, answered by a line of JSON,
``{"status":"ok","data":…}`` or ``{"status":"error","error":…}``. Every user who can open the socket
may send requests: the user that healthd runs as, and root.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
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


def socket_file(folder: Path, gateway: str) -> Path:
    """Return the path of a gateway's socket."""
    return folder / f"healthd-{gateway}.sock"


class ControlSocket:
    """The daemon's end of the socket."""

    def __init__(self, folder: Path | None, gateway: str, handlers: Mapping[str, Handler]) -> None:
        """Prepare the socket; ``run`` opens it.

        Args:
            folder: where the socket is created; None for no socket.
            gateway: the gateway's id.
            handlers: by verb, the function that carries a request out.
        """
        self._file = None if folder is None else socket_file(folder, gateway)
        self._handlers = handlers
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
        answer = _error("healthd is stopping")
        self._conversations += 1
        try:
            answer = await self._answer(reader)
        finally:
            self._conversations -= 1
            # A client that has disconnected misses the answer.
            with suppress(OSError):
                writer.write(answer + b"\n")
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            request = await _request(reader)
            if self._conversations > _MOST_AT_A_TIME:
                raise RequestRefused("too many requests at once")
            verb = str(request.pop("verb", None))
            handler = self._handlers.get(verb)
            if handler is None:
                raise RequestRefused(f"unknown verb, expected one of {', '.join(self._handlers)}")
            data = await handler(request_of(verb, request))
            return orjson.dumps({"status": "ok", "data": data})
        except RequestRefused as refusal:
            return _error(str(refusal))
        except Exception as error:
            # A bug in one handler ends this request, and nothing else.
            self._log.exception("crashed", exc_info=error)
            return _error(BUG)


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


def _error(text: str) -> bytes:
    return orjson.dumps({"status": "error", "error": text})


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


def ask(file: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a request to the daemon that serves this socket; return the data of its answer.

    Raises:
        RequestRefused: the daemon refused the request.
        OSError: no daemon is running, it ended meanwhile, or this user may not open the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.connect(os.fspath(file))
        connected.sendall(orjson.dumps(request) + b"\n")
        with connected.makefile("rb") as lines:
            line = lines.readline()
    if not line.endswith(b"\n"):
        raise ConnectionAbortedError("healthd ended before it answered")
    answer: dict[str, Any] = orjson.loads(line)
    if answer["status"] != "ok":
        raise RequestRefused(answer["error"])
    return answer["data"]
