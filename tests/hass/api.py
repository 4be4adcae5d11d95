"""Home Assistant's REST and WebSocket APIs, as a person's browser or script uses them."""

import asyncio
import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from websockets.asyncio.client import connect

from tests.support.mosquitto import HOST

_REQUEST_S = 30.0


class Api:
    """One installation.

    Attributes:
        token: an access token of its owner.
        url: of its WebSocket API.
    """

    def __init__(self, port: int, token: str) -> None:
        """Address the installation at this port of this machine."""
        self.token = token
        self.url = f"ws://{HOST}:{port}/api/websocket"
        self._base = f"http://{HOST}:{port}"

    async def get(self, path: str) -> Any:
        """Return the JSON at a path such as ``/api/states``.

        Raises:
            OSError: it does not answer, or with an error.
        """
        return await asyncio.to_thread(self._request, path, None)

    async def call(self, action: str, entity: str, **data: Any) -> None:
        """Perform an action such as ``button.press`` on an entity."""
        body = {"entity_id": entity, **data}
        path = f"/api/services/{action.replace('.', '/')}"
        await asyncio.to_thread(self._request, path, json.dumps(body).encode())

    async def is_running(self) -> bool:
        """Return whether it has started and set up everything."""
        try:
            config = await self.get("/api/config")
        except (OSError, ValueError):  # not listening yet, or still without its API
            return False
        return config.get("state") == "RUNNING"

    async def ask(self, *commands: dict[str, Any]) -> list[Any]:
        """Send WebSocket commands, and return the result of each.

        Args:
            commands: each with its ``type``, such as ``config/entity_registry/list``.

        Raises:
            AssertionError: Home Assistant refuses one.
        """
        results: list[Any] = []
        async with asyncio.timeout(_REQUEST_S), connect(self.url, max_size=None) as socket:
            await socket.recv()  # auth_required
            await socket.send(json.dumps({"type": "auth", "access_token": self.token}))
            answer = json.loads(await socket.recv())
            assert answer["type"] == "auth_ok", answer
            for number, command in enumerate(commands, start=1):
                await socket.send(json.dumps({"id": number, **command}))
                answer = json.loads(await socket.recv())
                assert answer["id"] == number, (command, answer)
                assert answer["success"], (command, answer)
                results.append(answer["result"])
        return results

    def _request(self, path: str, body: bytes | None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = Request(f"{self._base}{path}", data=body, headers=headers)
        try:
            with urlopen(request, timeout=_REQUEST_S) as answer:
                return json.load(answer)
        except HTTPError as error:
            error.close()
            raise
