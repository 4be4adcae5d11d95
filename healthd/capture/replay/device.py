"""One replayed device: it advertises, lets itself be connected and refuses as in the capture."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from healthd.capture.replay.errors import connect_error_of, is_silence
from healthd.capture.replay.link import ReplayedLink
from healthd.capture.replay.recording import RecordedDevice, RecordedLink
from healthd.log import get_logger
from healthd.traffic.lines import Advertised, ConnectFailed

# How often a device advertises that has to be found. Straps do once a second.
_INTERVAL_S = 1.0

# healthd makes a link within seconds if it wants one, and after the longest of its pauses for a
# device that failed (30 s) at the latest.
_NOT_WANTED_S = 60.0


class ReplayedDevice:
    """Goes through what a device did, entry by entry.

    Attributes:
        recorded: what it did.
        link: its link; None if there is none.
    """

    def __init__(self, recorded: RecordedDevice, advertise: Callable[[Advertised], None]) -> None:
        """Prepare; ``play`` begins.

        Args:
            recorded: what it did.
            advertise: reports an advertisement to the scanner, if one runs.
        """
        self.recorded = recorded
        self.link: ReplayedLink | None = None
        self._advertise = advertise
        self._origin = 0.0
        self._late_s = 0.0
        self._wanted: asyncio.Future[ReplayedLink] | None = None
        self._next: ConnectFailed | RecordedLink | None = None
        self._changed = asyncio.Event()
        self._log = get_logger(service="replay")

    async def play(self, origin: float, scanned: asyncio.Event) -> None:
        """Do everything that it did; return when all of it has happened.

        Args:
            origin: when the capture began, by the loop's clock.
            scanned: set while there is a scan.
        """
        self._origin = origin
        last: Advertised | None = None
        for entry in self.recorded.entries:
            if isinstance(entry, Advertised):
                await self._sleep_until(origin + self._late_s + entry.t)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_INTERVAL_S):
                        await scanned.wait()
                self._advertise(entry)
                last = entry
            else:
                await self._offer(entry, last)
                last = None

    async def connect(self) -> ReplayedLink:
        """Wait for the next link of the capture, and make it.

        Raises:
            Exception: what bleak raises if it could not be made.
        """
        wanted: asyncio.Future[ReplayedLink] = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self._changed.set()
        try:
            return await wanted
        finally:
            self._wanted = None

    async def _offer(self, entry: ConnectFailed | RecordedLink, last: Advertised | None) -> None:
        """Wait until healthd connects, and answer as in the capture."""
        line = entry.connected if isinstance(entry, RecordedLink) else entry
        due = self._origin + self._late_s + line.t
        repeat = last or Advertised(
            t=line.t,
            time=line.time,
            device=self.recorded.address,
            name=self.recorded.name,
            services=self.recorded.services,
        )
        began = due - (line.took_s or 0.0)
        # What the capture has of its advertisements is enough, if healthd was quick to connect.
        await self._sleep_until(began if last is not None else began - _INTERVAL_S)
        gives_up_at = due + _NOT_WANTED_S
        while self._wanted is None and self._now() < gives_up_at:
            if last is None or self._now() > due:
                self._advertise(repeat)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._changed.wait()
        await self._sleep_until(due)
        if self._wanted is None:
            what = "link" if isinstance(entry, RecordedLink) else "failed connect"
            self._log.warning("not replayed", what=what, at_s=round(line.t, 3))
        elif isinstance(entry, RecordedLink):
            await self._play_link(entry, self._wanted)
        elif not is_silence(entry.error) and not self._wanted.done():
            self._wanted.set_exception(connect_error_of(entry.error))
            self._wanted = None

    async def _play_link(
        self, recorded: RecordedLink, wanted: asyncio.Future[ReplayedLink]
    ) -> None:
        self._late_s = max(self._late_s, self._now() - self._origin - recorded.connected.t)
        self.link = link = ReplayedLink(recorded, self._late_s, self._origin, self._advertise)
        if wanted.done():
            link.hang_up()  # the connect was cancelled at the same moment
        else:
            wanted.set_result(link)
        await link.played
        self._late_s += link.late_s

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _sleep_until(self, due: float) -> None:
        if (left_s := due - self._now()) > 0:
            await asyncio.sleep(left_s)
