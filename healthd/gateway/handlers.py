"""Carries requests out: what each verb does to peripherals and to the radio."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson

from healthd.central.radio import Radio
from healthd.gateway.facts import fetch_event
from healthd.gateway.sessions import AnySession
from healthd.profiles.registry import Registry
from healthd.sessions.choice import Choice
from healthd.sessions.listening import Listening
from healthd.sessions.periodic import NotFetched, Periodic
from healthd.sessions.session import NotStreaming, Session
from healthd.verbs import (
    REQUESTS,
    Fetch,
    Handler,
    OfPeripheral,
    Reconnect,
    RequestRefused,
    Scan,
    short_json,
)

# A peripheral that advertises is back within two seconds; one that advertises every ten seconds, or
# needs a second try, within this. The client does not wait any longer.
_RECONNECT_S = 30.0

_LISTENED_TO = "it only advertises, and healthd listens to it without a link"

# In bytes. Some brokers carry at most 128 kB; a device takes 0.3 to 1 kB.
_LARGEST_SCAN = 60_000


class PeripheralRequests:
    """Requests to one peripheral.

    Attributes:
        handlers: by verb.
    """

    def __init__(self, sessions: Mapping[str, AnySession]) -> None:
        """Act on these sessions, by peripheral."""
        self._sessions = sessions
        self.handlers: dict[str, Handler] = {
            verb: self.control
            for verb, model in REQUESTS.items()
            if issubclass(model, OfPeripheral)
        }
        self.handlers |= {Fetch.verb: self.fetch, Reconnect.verb: self.reconnect}

    async def fetch(self, request: Fetch) -> Mapping[str, Any]:
        """Run a periodic peripheral now; return the keys of the fetch event, and the ``error``.

        Raises:
            RequestRefused: there is no such periodic peripheral, or it cannot be fetched now.
        """
        session = self._session(request.peripheral)
        if isinstance(session, Listening):
            raise RequestRefused(f"{_LISTENED_TO}; expected a periodic one")
        if not isinstance(session, Periodic):
            raise RequestRefused(
                "it is continuous and sends its data by itself; expected a periodic one"
            )
        try:
            fetched = await session.fetch()
        except NotFetched as error:
            raise RequestRefused(str(error)) from error
        return {**fetch_event(request.peripheral, fetched).fields(), "error": fetched.error}

    async def reconnect(self, request: Reconnect) -> Mapping[str, Any]:
        """End the link; return how long it took until a new link streamed.

        Raises:
            RequestRefused: there is no such continuous peripheral, it has no link, or no new link
                was made in time.
        """
        session = self._continuous(
            request.peripheral, "it is periodic and has a link only during its runs"
        )
        began = time.monotonic()
        try:
            async with asyncio.timeout(_RECONNECT_S):
                await session.reconnect()
        except NotStreaming as error:
            raise RequestRefused(f"{error}; healthd connects as soon as it can") from error
        except TimeoutError as error:
            waited = f"disconnected, but not connected again within {_RECONNECT_S:.0f} s"
            raise RequestRefused(f"{waited} ({session.state}): healthd keeps trying") from error
        return {
            "peripheral": request.peripheral,
            "duration_s": round(time.monotonic() - began, 3),
        }

    async def control(self, request: OfPeripheral) -> Mapping[str, Any]:
        """Send a command to the device; return what was set, and for how long control is held.

        Raises:
            RequestRefused: there is no such continuous peripheral, or it cannot do that.
        """
        session = self._continuous(request.peripheral, "it is periodic and cannot be controlled")
        return await session.remote.ask(request)

    def _continuous(self, peripheral: str, if_periodic: str) -> Session:
        match self._session(peripheral):
            case Session() as session:
                return session
            case Periodic():
                raise RequestRefused(f"{if_periodic}; expected a continuous one")
            case Listening():
                raise RequestRefused(f"{_LISTENED_TO}; expected a continuous one")

    def _session(self, peripheral: str) -> Session | Periodic | Listening:
        if (session := self._sessions.get(peripheral)) is None:
            known = ", ".join(self._sessions) or "none"
            raise RequestRefused(
                f"peripheral: found {short_json(peripheral)}, expected one of the running healthd: "
                f"{known}"
            )
        return session.current if isinstance(session, Choice) else session


class ScanRequests:
    """Requests to the radio."""

    def __init__(self, radio: Radio, registry: Registry) -> None:
        """Use the scanner of ``radio``; ``registry`` says what healthd can read."""
        self._radio = radio
        self._registry = registry

    async def scan(self, request: Scan) -> Mapping[str, Any]:
        """Listen alongside the sessions; return what is in range, as in ``healthd scan --json``.

        Raises:
            RequestRefused: the adapter does not scan.
        """
        # Imported for the first scan: most gateways are never asked for one.
        from healthd.central.survey import Heard, in_range

        matches = self._radio.matches
        heard = Heard(self._registry, matches)
        with self._radio.listening(heard.add, self._registry.broadcast_keys):
            await asyncio.sleep(request.seconds)
            scanned = self._radio.is_scanning
        if not scanned and not heard.devices():
            raise RequestRefused("the adapter does not scan: see the log and healthd doctor")
        found = in_range(heard, self._radio.linked, self._registry, matches)
        devices, size = list[dict[str, Any]](), 0
        for device in found:
            size += len(orjson.dumps(fields := device.fields()))
            if size > _LARGEST_SCAN:
                break
            devices.append(fields)
        return {"found": devices, "left_out": heard.left_out + len(found) - len(devices)}
