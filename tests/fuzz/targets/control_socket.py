"""The control socket of the daemon: any bytes get one line of JSON, or the connection closes."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from healthd.gateway.control_socket import ControlSocket, socket_file
from healthd.verbs import BUG, Fetch, Reconnect
from tests.fuzz import target

_ANSWER_S = 30.0


class Target(target.Target):
    """The input is what a client sends before it closes its end."""

    words = (
        b'"verb":',
        b'"fetch"',
        b'"peripheral":',
        b"\n",
        b"{",
        b"}",
        b"[",
        b"null",
        b"\\ud800",
        b'""',
    )

    def __init__(self) -> None:
        """Start it, with handlers that only take note."""
        self._temporary = target.folder()
        self._folder = Path(self._temporary.name)
        self._runner = asyncio.Runner()
        self._task = self._runner.run(self._started())

    def seeds(self) -> Iterable[bytes]:
        """Yield a request of each verb, and one that is wrong."""
        yield b'{"verb":"fetch","peripheral":"scale"}\n'
        yield b'{"verb":"reconnect","peripheral":"strap"}\n{"verb":"fetch"}\n'
        yield b'{"verb":"no","x":[1,2.5,null,"\\u0041"]}\n'

    def fuzz(self, data: bytes) -> None:
        """Send it; wait for the answer."""
        self._runner.run(self._ask(data))

    async def _started(self) -> asyncio.Task[None]:
        ready = asyncio.Event()
        handlers = dict.fromkeys((Fetch.verb, Reconnect.verb), _handle)
        served = ControlSocket(self._folder, "g", handlers)
        task = asyncio.create_task(served.run(ready.set))
        await ready.wait()
        return task

    async def _ask(self, data: bytes) -> None:
        assert not self._task.done()
        reader, writer = await asyncio.open_unix_connection(socket_file(self._folder, "g"))
        try:
            async with asyncio.timeout(_ANSWER_S):
                writer.write(data)
                writer.write_eof()
                answer = await reader.read()
        except ConnectionError:
            return  # it did not read to the end of what is too long
        finally:
            writer.close()
        if answer:
            assert answer.count(b"\n") == 1
            found = orjson.loads(answer)
            assert found["status"] in {"ok", "error"}
            assert found.get("error") != BUG

    def __exit__(self, *exception: object) -> None:
        """Stop it."""
        self._task.cancel()
        self._runner.run(asyncio.wait([self._task]))
        self._runner.close()
        self._temporary.cleanup()


async def _handle(request: Any) -> Mapping[str, Any]:
    return {"peripheral": request.peripheral}
