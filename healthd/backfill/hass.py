"""Home Assistant's WebSocket API; the only importer of websockets.

https://developers.home-assistant.io/docs/api/websocket
"""

import asyncio
import itertools
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, cast

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from healthd.errors import Backoff, HealthdError, Transient

_TIMEOUT_S = 30.0

RETRY = Backoff(first_s=5.0, ceiling_s=60.0)

# Home Assistant can ban an address for wrong tokens, and a person has to write a new one.
_REFUSED_RETRY = Backoff(first_s=60.0, ceiling_s=900.0)


class CommandRefused(HealthdError):
    """Home Assistant refused a command; the message has its words and its code."""


class HomeAssistant:
    """One connection; an async context manager that logs in."""

    def __init__(self, url: str, token: str) -> None:
        """Prepare.

        Args:
            url: such as ``http://homeassistant.local:8123``.
            token: a long-lived access token of an administrator.
        """
        self._url = url
        self._token = token
        self._connection: ClientConnection | None = None
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        """Connect and log in.

        Raises:
            Transient: it cannot be reached, or refuses the token.
        """
        endpoint = f"ws{self._url.removeprefix('http').rstrip('/')}/api/websocket"
        try:
            # No limit: the answers are as long as the questions ask for.
            self._connection = await connect(endpoint, max_size=None, open_timeout=_TIMEOUT_S)
        except (OSError, WebSocketException) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        try:
            await self._log_in()
        except BaseException:
            await self._connection.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def _log_in(self) -> None:
        await self._receive()  # auth_required
        await self._send({"type": "auth", "access_token": self._token})
        answer = await self._receive()
        if answer.get("type") != "auth_ok":
            raise Transient(
                "token_refused",
                f"Home Assistant at {self._url} refuses the token: {answer.get('message')}; create "
                "a long-lived access token of an administrator on its page Profile, Security",
                _REFUSED_RETRY,
            )

    async def command(self, kind: str, **fields: object) -> Any:
        """Send a command and return its result.

        Raises:
            CommandRefused: Home Assistant refuses it.
            Transient: the connection ended, or there is no answer.
        """
        number = next(self._numbers)
        await self._send({"id": number, "type": kind, **fields})
        return (await self._answer(number, kind, "result")).get("result")

    async def now(self) -> float:
        """Return the time by its clock, in seconds since 1970.

        Raises:
            CommandRefused: see ``command``.
            Transient: see ``command``.
        """
        number = next(self._numbers)
        template = "{{ utcnow().isoformat() }}"
        await self._send({"id": number, "type": "render_template", "template": template})
        event = (await self._answer(number, "render_template", "event"))["event"]
        # A template stays subscribed to its changes.
        await self.command("unsubscribe_events", subscription=number)
        return datetime.fromisoformat(event["result"]).timestamp()

    async def _answer(self, number: int, command: str, kind: str) -> Mapping[str, Any]:
        """Return the first message of this kind that answers the command with this number."""
        while True:
            message = await self._receive()
            if message.get("id") != number:
                continue
            if message.get("success") is False:
                error = cast("Mapping[str, Any]", message.get("error") or {})
                raise CommandRefused(f"{command}: {error.get('message')} ({error.get('code')})")
            if message.get("type") == kind:
                return message

    async def _send(self, message: Mapping[str, object]) -> None:
        try:
            await self._open.send(orjson.dumps(message).decode())
        except WebSocketException as error:
            raise self._unreachable(str(error)) from error

    async def _receive(self) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                message: object = orjson.loads(await self._open.recv())
        except TimeoutError as error:
            raise self._unreachable(f"no answer within {_TIMEOUT_S:.0f} s") from error
        except (WebSocketException, ValueError) as error:
            raise self._unreachable(str(error)) from error
        return cast("Mapping[str, Any]", message if isinstance(message, dict) else {})

    @property
    def _open(self) -> ClientConnection:
        if self._connection is None:
            raise RuntimeError("used before it is entered")
        return self._connection

    def _unreachable(self, problem: str) -> Transient:
        message = f"no connection to Home Assistant at {self._url}: {problem}"
        return Transient("hass_unreachable", message, RETRY)
