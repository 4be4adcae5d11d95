"""Who does what a request asks for."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from healthd.central.radio import Radio
from healthd.central.survey import Heard, in_range
from healthd.gateway.pipeline import fetch_event
from healthd.profiles.registry import Registry
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
    shown,
)

# A peripheral that advertises is back within two seconds; one that advertises every ten seconds, or
# is linked at the second try, within this. Who asked waits for no longer.
_RECONNECT_S = 30.0


class PeripheralRequests:
    """What is asked of one peripheral.

    Attributes:
        handlers: by verb.
    """

    def __init__(self, sessions: Mapping[str, Session | Periodic]) -> None:
        """Wire it to every peripheral's session."""
        self._sessions = sessions
        self.handlers: dict[str, Handler] = {
            verb: self.control
            for verb, model in REQUESTS.items()
            if issubclass(model, OfPeripheral)
        }
        self.handlers |= {Fetch.verb: self.fetch, Reconnect.verb: self.reconnect}

    async def fetch(self, request: Fetch) -> Mapping[str, Any]:
        """Have a run made; what the event tells, and the ``error``.

        Raises:
            RequestRefused: there is no such periodic peripheral, or it is not fetched now.
        """
        session = self._session(request.peripheral)
        if not isinstance(session, Periodic):
            raise RequestRefused(
                "it is continuous: what it has comes by itself; expected a periodic one"
            )
        try:
            fetched = await session.fetch()
        except NotFetched as error:
            raise RequestRefused(str(error)) from error
        return {**fetch_event(request.peripheral, fetched).fields(), "error": fetched.error}

    async def reconnect(self, request: Reconnect) -> Mapping[str, Any]:
        """End the link; how long it took until the next one streamed.

        Raises:
            RequestRefused: no such continuous peripheral, it is not linked, or not linked again
                in time.
        """
        session = self._session(request.peripheral)
        if isinstance(session, Periodic):
            raise RequestRefused(
                "it is periodic: linked for its runs only; expected a continuous one"
            )
        began = time.monotonic()
        try:
            async with asyncio.timeout(_RECONNECT_S):
                await session.reconnect()
        except NotStreaming as error:
            raise RequestRefused(
                f"{error}, expected streaming: healthd links it when it can"
            ) from error
        except TimeoutError as error:
            waited = f"the link was ended, and there is no new one after {_RECONNECT_S:.0f} s"
            raise RequestRefused(f"{waited} ({session.state}): healthd goes on trying") from error
        return {
            "peripheral": request.peripheral,
            "duration_s": round(time.monotonic() - began, 3),
        }

    async def control(self, request: OfPeripheral) -> Mapping[str, Any]:
        """Have the device itself do something; what was set, and for how long it is held.

        Raises:
            RequestRefused: there is no such continuous peripheral, or it does not do that.
        """
        session = self._session(request.peripheral)
        if isinstance(session, Periodic):
            raise RequestRefused("it is periodic, and not controlled; expected a continuous one")
        return await session.remote.ask(request)

    def _session(self, peripheral: str) -> Session | Periodic:
        if (session := self._sessions.get(peripheral)) is None:
            there = ", ".join(self._sessions) or "none"
            raise RequestRefused(
                f"peripheral: found {shown(peripheral)}, expected one that the running healthd "
                f"has: {there}"
            )
        return session


class ScanRequests:
    """What is asked of the radio."""

    def __init__(self, radio: Radio, registry: Registry) -> None:
        """Wire it to the one scanner, and to what healthd reads."""
        self._radio = radio
        self._registry = registry

    async def scan(self, request: Scan) -> Mapping[str, Any]:
        """Listen beside those who search; what is in range, as ``healthd scan --json`` has it.

        Raises:
            RequestRefused: nothing can be heard.
        """
        heard = Heard()
        with self._radio.listening(heard.add):
            await asyncio.sleep(request.seconds)
            scanned = self._radio.is_scanning
        if not scanned and not heard.by_address:
            raise RequestRefused("the adapter does not scan: the log says why, and healthd doctor")
        found = in_range(heard, self._radio.linked, self._registry, self._radio.matches)
        return {"found": [one.fields() for one in found]}
