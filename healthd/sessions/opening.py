"""The opening exchanges: what profiles ask a device once per link, over control points."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from healthd.central.faults import LinkFault, LinkLost
from healthd.errors import DecodeError
from healthd.log import get_logger
from healthd.profiles.dialogue import Dialogue, ExchangeRefused, NoAnswer, Opening, Request, Turn
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.sessions.control_point import ControlPoints, Silent
from healthd.sessions.conversation import Conversation, Endless, Patience, converse
from healthd.sessions.faults import TransferStopped
from healthd.sessions.polling import Polls
from healthd.sessions.values import Explain, Heard

# For everything that is written before disconnecting; systemd gives the whole stop 20 s.
_CLOSE_S = 2.0


class Openings:
    """Runs the opening exchanges of one link, one after the other.

    A failure is logged and ends only that exchange: a device that refuses may still stream.

    Attributes:
        denied: whether the device refused the results of the user in the settings.
        refusal: the fault of the last exchange that ended with a fault.
        stopped: why the data was not fetched whole, if the device stopped answering over a channel.
        cost: the control point of an optional exchange in which the link ended or the device did
            not answer, and how; None if there was none.
        survived: when optional exchanges ended well, by their control points.
        points: the device's control points.
        polls: what is asked again and again after the openings.
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
        self.denied = False
        self.refusal: LinkFault | None = None
        self.stopped: TransferStopped | None = None
        self.cost: tuple[str, LinkFault] | None = None
        self.survived: dict[str, float] = {}
        self.points = points
        self.polls = Polls(points, peripheral, options, values, explain)
        self._link = points.link
        self._options = options
        self._values = values
        self._explain = explain
        self._opened: list[Opening] = []
        self._running: Opening | None = None
        self._broke_off = False
        self._due: list[tuple[Profile, Opening]] = []
        self._log = get_logger(peripheral=peripheral)

    @property
    def asks(self) -> bool:
        """Whether an exchange is running, or a run waits for a poll to be answered."""
        return self._running is not None or self.polls.asks

    @property
    def broke_off(self) -> bool:
        """Whether the link ended while the device was asked for its data."""
        return self._broke_off or self.polls.broke_off

    @property
    def asked(self) -> bool:
        """Whether any profile asked the device for its data."""
        return self.polls.asked or any(opening.turn is Turn.DATA for opening in self._opened)

    @property
    def unfinished(self) -> bool:
        """Whether any profile has still to ask the device for its data, or is asking."""
        is_due = any(opening.turn is Turn.DATA for _, opening in self._due)
        return is_due or self.polls.unfinished

    async def run(
        self, profiles: Iterable[Profile], anywhere: Iterable[tuple[Profile, Opening]] = ()
    ) -> None:
        """Run the opening of each profile that has one, in the order of their turns.

        Args:
            profiles: what the device has.
            anywhere: more openings with their profiles, for any device with their control point.
        """
        openings = [
            (profile, profile.opening) for profile in profiles if profile.opening is not None
        ]
        writable = [
            (profile, opening)
            for profile, opening in (*openings, *anywhere)
            if self.points.has(opening.control)
            and not (opening.unless and self._link.can_write(opening.unless))
        ]
        self._due = sorted(writable, key=lambda due: due[1].turn)
        while self._due:
            await self._open(*self._due[0])
            self._running = None
            del self._due[0]

    async def close(self) -> None:
        """Write the last requests of the profiles, if there are any and the link still works."""
        with suppress(LinkFault, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                if self._running is not None and self._running.abort:
                    await self._write_last(self._running, self._running.abort)
                for opening in self._opened:
                    for request in opening.closing(self._options):
                        await self._write_last(opening, request)

    async def _write_last(self, opening: Opening, request: bytes) -> None:
        await self.points.of(opening.control).write_last(request)

    async def _open(self, profile: Profile, opening: Opening) -> None:
        exchange = opening.exchange(self._options)
        try:
            # If there is no first request, do not even subscribe.
            if (request := next(exchange, None)) is None:
                return
            self._opened.append(opening)
            self._running = opening
            await self._converse(profile, opening, exchange, request)
            self._log.debug("opened", profile=profile.name)
            if opening.optional:
                self.survived[opening.control] = time.monotonic()
        except LinkLost as fault:
            self._broke_off |= opening.turn is Turn.DATA
            self._note_cost(opening, fault)
            # The session learns from the link itself why it ended.
            self._log.debug("link ended", profile=profile.name)
        except LinkFault as fault:
            self._note_cost(opening, fault)
            self.refusal = explained = await self._explain(self._link.found, fault)
            self._log_failure(profile, explained.reason, str(explained))
        except (Silent, NoAnswer) as silence:
            if opening.turn is Turn.DATA and isinstance(silence, NoAnswer):
                self.stopped = TransferStopped(str(silence))
            self._log_failure(profile, "silent", str(silence))
            await self._abort(opening)
        except Endless:
            self._log_failure(profile, "endless", "it sends values and does not end")
            await self._abort(opening)
        except ExchangeRefused as refusal:
            self.denied |= opening.turn is Turn.USER
            self._log_failure(profile, "refused", str(refusal))
        except DecodeError as error:
            self._log_failure(profile, "not_understood", str(error))
        finally:
            exchange.close()

    async def _converse(
        self, profile: Profile, opening: Opening, exchange: Dialogue, request: bytes | Request
    ) -> None:
        patience = Patience(self._values, [each.uuid for each in profile.characteristics])
        async with Conversation(
            self.points,
            opening.control,
            patience,
            answers=opening.answers,
            excused=opening.excused,
        ) as conversation:
            await converse(exchange, request, conversation.ask)

    async def _abort(self, opening: Opening) -> None:
        """End a procedure that still runs: the device would refuse the next request."""
        if opening.abort:
            with suppress(LinkFault):
                await self._write_last(opening, opening.abort)

    def _note_cost(self, opening: Opening, fault: LinkFault) -> None:
        if opening.optional:
            self.cost = (opening.control, fault)

    def _log_failure(self, profile: Profile, reason: str, error: str) -> None:
        self._log.warning("profile setup failed", profile=profile.name, reason=reason, error=error)
