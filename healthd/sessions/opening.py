"""What profiles ask of a device once per link, over their control points."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from healthd.central.faults import LinkFault, LinkLost
from healthd.errors import DecodeError
from healthd.log import get_logger
from healthd.profiles.characteristic import (
    Exchange,
    ExchangeRefused,
    Opening,
    Options,
    Profile,
    Turn,
)
from healthd.sessions.control_point import ControlPoint, ControlPoints
from healthd.sessions.subscriptions import Explain

# Before hanging up, for all that is written then: systemd gives the whole stop 20 s.
_FAREWELL_S = 2.0

# ATT gives a transaction 30 s, and the services give as much to a procedure of theirs. It begins
# anew with every value of the profile: a glucose meter answers when it has sent all its records.
_ANSWER_S = 30.0


class _Silent(Exception):
    """The control point did not answer."""


class Openings:
    """Holds the conversations of one link, one after the other.

    What goes wrong in one of them is logged and is the end of it alone: a device that refuses to
    be asked may still stream what it streams.

    Attributes:
        asks: one of them is being held.
        broke_off: the link ended while the device was asked for what it has.
        denied: the device does not give the results of the user who was named.
        refusal: the fault that was the end of the last one that ended by a fault.
        points: the device's control points.
    """

    def __init__(
        self,
        points: ControlPoints,
        peripheral: str,
        options: Options,
        heard: Mapping[str, float],
        explain: Explain,
    ) -> None:
        """Prepare.

        Args:
            points: the device's control points.
            peripheral: its id.
            options: what the settings say of it.
            heard: when each subscribed characteristic sent its last value, as it is now.
            explain: says what a refusal means, the device's bond considered.
        """
        self.asks = self.broke_off = self.denied = False
        self.refusal: LinkFault | None = None
        self.points = points
        self._link = points.link
        self._options = options
        self._heard = heard
        self._explain = explain
        self._opened: list[Opening] = []
        self._due: list[tuple[Profile, Opening]] = []
        self._log = get_logger(peripheral=peripheral)

    @property
    def asked(self) -> bool:
        """Whether any profile asked it for what it has."""
        return any(opening.turn is Turn.DATA for opening in self._opened)

    @property
    def unfinished(self) -> bool:
        """Whether any profile is yet to ask it for what it has, or is at it."""
        return any(opening.turn is Turn.DATA for _, opening in self._due)

    async def run(self, profiles: Iterable[Profile]) -> None:
        """Open these profiles, as far as they have anything to ask; each in its turn."""
        can_write = self._link.can_write
        openings = [(one, one.opening) for one in profiles if one.opening is not None]
        writable = [(one, opening) for one, opening in openings if can_write(opening.control)]
        self._due = sorted(writable, key=lambda due: due[1].turn)
        while self._due:
            profile, opening = self._due[0]
            exchange = opening.exchange(self._options)
            # Without a first request the device is left alone: not even subscribed.
            if (request := next(exchange, None)) is not None:
                self._opened.append(opening)
                self.asks = True
                await self._open(profile, self.points.of(opening.control), exchange, request)
                self.asks = False
            del self._due[0]

    async def close(self) -> None:
        """Take leave of the device, as far as there is anything to say and it can be said."""
        with suppress(LinkFault, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                if self.asks and (held := self._opened[-1]).abort:
                    await self._link.write(held.control, held.abort)
                for opening in self._opened:
                    for request in opening.closing(self._options):
                        await self._link.write(opening.control, request)

    async def _open(
        self, profile: Profile, point: ControlPoint, exchange: Exchange, request: bytes
    ) -> None:
        opening = self._opened[-1]
        try:
            async with point.turn():
                if opening.answers:
                    await point.subscribe()
                while True:
                    request = exchange.send(await self._ask(profile, point, request))
        except StopIteration:
            self._log.debug("opened", profile=profile.name)
        except LinkLost:
            self.broke_off |= opening.turn is Turn.DATA
            # Why it ended is for those to find out who wait for its end.
            self._log.debug("link ended", profile=profile.name)
        except LinkFault as fault:
            self.refusal = told = await self._explain(self._link.found, fault)
            self._refuse(profile, told.reason, str(told))
        except _Silent:
            self._refuse(profile, "silent", f"no answer within {_ANSWER_S:.0f} s")
            if opening.abort:
                # It may still be at it, and would refuse whatever it is asked next.
                with suppress(LinkFault):
                    await self._link.write(opening.control, opening.abort)
        except ExchangeRefused as refusal:
            self.denied |= opening.turn is Turn.USER
            self._refuse(profile, "refused", str(refusal))
        except DecodeError as error:
            self._refuse(profile, "not_understood", str(error))
        finally:
            exchange.close()

    def _refuse(self, profile: Profile, reason: str, error: str) -> None:
        self._log.warning("profile setup failed", profile=profile.name, reason=reason, error=error)

    async def _ask(self, profile: Profile, point: ControlPoint, request: bytes) -> bytes:
        opening = self._opened[-1]
        try:
            await point.write(request)
        except LinkFault as fault:
            if fault.att_error is None or fault.att_error != opening.excused:
                raise
        if not opening.answers:
            return b""
        asked_at = time.monotonic()

        def left_s() -> float:
            values = [self._heard.get(one.uuid, asked_at) for one in profile.characteristics]
            return max(asked_at, *values) + _ANSWER_S - time.monotonic()

        while (wait_s := left_s()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await point.answer()
        raise _Silent
