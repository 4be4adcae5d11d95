"""The opening exchanges: what profiles ask a device once per link, over control points."""

import asyncio
import time
from collections.abc import Iterable
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
from healthd.sessions.values import Explain, Heard
from healthd.supervision.deadline import timeout_at

# For everything that is written before disconnecting; systemd gives the whole stop 20 s.
_CLOSE_S = 2.0

# The timeout of an ATT transaction, and of the services' procedures. It starts again with every
# value of the profile: a glucose meter answers only after it has sent all its records.
_ANSWER_S = 30.0

# A transfer of more values, or for longer, has no end: records have numbers of 16 bits, and each
# may have a context. A sensor that measures every minute for 14 days sends 20,000 in half an hour.
_MOST_VALUES = 2 * 65_536
_LONGEST_S = 3600.0


class _Silent(Exception):
    """The control point did not answer."""


class _Endless(Exception):
    """The device sends values and does not answer."""


class Openings:
    """Runs the opening exchanges of one link, one after the other.

    A failure is logged and ends only that exchange: a device that refuses may still stream.

    Attributes:
        asks: whether an exchange is running.
        broke_off: whether the link ended while the device was asked for its data.
        denied: whether the device refused the results of the user in the settings.
        refusal: the fault of the last exchange that ended with a fault.
        cost: the control point of an optional exchange in which the link ended or the device did
            not answer, and how; None if there was none.
        survived: when optional exchanges ended well, by their control points.
        points: the device's control points.
    """

    def __init__(
        self,
        points: ControlPoints,
        peripheral: str,
        options: Options,
        values: Heard,
        explain: Explain,
    ) -> None:
        """Prepare.

        Args:
            points: the device's control points.
            peripheral: its id.
            options: what the settings say about it.
            values: what each subscribed characteristic has sent; read at any time.
            explain: returns what a refusal means, taking the device's bond into account.
        """
        self.asks = self.broke_off = self.denied = False
        self.refusal: LinkFault | None = None
        self.cost: tuple[str, LinkFault] | None = None
        self.survived: dict[str, float] = {}
        self.points = points
        self._link = points.link
        self._options = options
        self._values = values
        self._explain = explain
        self._opened: list[Opening] = []
        self._due: list[tuple[Profile, Opening]] = []
        self._log = get_logger(peripheral=peripheral)

    @property
    def asked(self) -> bool:
        """Whether any profile asked the device for its data."""
        return any(opening.turn is Turn.DATA for opening in self._opened)

    @property
    def unfinished(self) -> bool:
        """Whether any profile has still to ask the device for its data, or is asking."""
        return any(opening.turn is Turn.DATA for _, opening in self._due)

    async def run(
        self, profiles: Iterable[Profile], anywhere: Iterable[tuple[Profile, Opening]] = ()
    ) -> None:
        """Run the opening of each profile that has one, in the order of their turns.

        Args:
            profiles: what the device has.
            anywhere: more openings with their profiles, for any device with their control point.
        """
        can_write = self._link.can_write
        openings = [
            (profile, profile.opening) for profile in profiles if profile.opening is not None
        ]
        writable = [
            (profile, opening)
            for profile, opening in (*openings, *anywhere)
            if can_write(opening.control) and not (opening.unless and can_write(opening.unless))
        ]
        self._due = sorted(writable, key=lambda due: due[1].turn)
        while self._due:
            profile, opening = self._due[0]
            exchange = opening.exchange(self._options)
            # If there is no first request, do not even subscribe.
            if (request := next(exchange, None)) is not None:
                self._opened.append(opening)
                self.asks = True
                await self._open(profile, self.points.of(opening.control), exchange, request)
                self.asks = False
            del self._due[0]

    async def close(self) -> None:
        """Write the last requests of the profiles, if there are any and the link still works."""
        with suppress(LinkFault, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                if self.asks and (running := self._opened[-1]).abort:
                    await self._link.write(running.control, running.abort)
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
            if opening.optional:
                self.survived[opening.control] = time.monotonic()
        except LinkLost as fault:
            self.broke_off |= opening.turn is Turn.DATA
            self._note_cost(opening, fault)
            # The session learns from the link itself why it ended.
            self._log.debug("link ended", profile=profile.name)
        except LinkFault as fault:
            self._note_cost(opening, fault)
            self.refusal = explained = await self._explain(self._link.found, fault)
            self._log_failure(profile, explained.reason, str(explained))
        except _Silent:
            self._log_failure(profile, "silent", f"no answer within {_ANSWER_S:.0f} s")
            await self._abort(opening)
        except _Endless:
            self._log_failure(profile, "endless", "it sends values and does not end")
            await self._abort(opening)
        except ExchangeRefused as refusal:
            self.denied |= opening.turn is Turn.USER
            self._log_failure(profile, "refused", str(refusal))
        except DecodeError as error:
            self._log_failure(profile, "not_understood", str(error))
        finally:
            exchange.close()

    async def _abort(self, opening: Opening) -> None:
        """End a procedure that still runs: the device would refuse the next request."""
        if opening.abort:
            with suppress(LinkFault):
                await self._link.write(opening.control, opening.abort)

    def _note_cost(self, opening: Opening, fault: LinkFault) -> None:
        if opening.optional:
            self.cost = (opening.control, fault)

    def _log_failure(self, profile: Profile, reason: str, error: str) -> None:
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
        uuids = [characteristic.uuid for characteristic in profile.characteristics]
        before = self._received(uuids)

        def end() -> float:
            values = [self._values.heard.get(uuid, asked_at) for uuid in uuids]
            return max(asked_at, *values) + _ANSWER_S

        while True:
            try:
                async with timeout_at(min(end(), asked_at + _LONGEST_S)):
                    return await point.answer()
            except TimeoutError:
                if end() <= time.monotonic():
                    raise _Silent from None
            is_long = time.monotonic() >= asked_at + _LONGEST_S
            if is_long or self._received(uuids) - before > _MOST_VALUES:
                raise _Endless

    def _received(self, uuids: Iterable[str]) -> int:
        return sum(self._values.received[uuid] for uuid in uuids)
