"""Runs the daemon on a capture until everything in it has happened and is delivered."""

import asyncio
import os
import random
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from healthd.capture.replay.air import ReplayedAir
from healthd.capture.replay.recording import Recording
from healthd.capture.replay.timing import ANSWER_S, FastClock, ReplayLoop, VirtualClock
from healthd.gateway.daemon import Daemon
from healthd.gateway.surroundings import Surroundings
from healthd.host.clock import Clock
from healthd.host.in_thread import is_working
from healthd.log import get_logger
from healthd.mqtt.acked_client import awaits_answers, follow_replaced_clock
from healthd.profiles.registry import Registry
from healthd.settings.model import Settings

# Long enough for what the daemon does about a last link that ended, and for results that are held
# back until nothing more of them arrives.
_LINGER_S = 10.0

# What is not acknowledged by then stays undelivered: a broker answers in milliseconds.
_DELIVERY_S = 30.0
_LOOK_S = 0.1

# What belongs to the running service, and must not be touched by a replay next to it.
_OF_SERVICE = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The name of the machine in a deterministic run.
_HOST = "replay"


class Player:
    """Plays one capture.

    Attributes:
        problem: why it did not end well; None: it did.
    """

    def __init__(self, recording: Recording, speed: float = 1.0, seed: int | None = None) -> None:
        """Prepare.

        Args:
            recording: the capture.
            speed: how many times as fast as it was; not for a deterministic run.
            seed: what the ids of a deterministic run are made from, up to 32 bits. Such a run has
                the times of the capture, and everything it publishes and logs is the same each
                time. None: it is another one each time, and has the present time.
        """
        self.problem: str | None = None
        self._recording = recording
        self._speed = speed
        self._seed = seed

    async def play(
        self, settings: Settings, known: Registry, stop: asyncio.Event, seconds: float | None = None
    ) -> None:
        """Run the daemon; call it in a ``ReplayLoop``.

        Args:
            settings: of the daemon. Its outbox must be a folder for this replay only.
            known: what healthd reads.
            stop: ends it early; set when everything has happened.
            seconds: how long at most; None: to the end of the capture.
        """
        air = ReplayedAir(self._recording)
        with self._time(stop):
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            environ = self._environ()
            daemon = Daemon(settings, known, environ, air.backends, self._surroundings())
            running = asyncio.create_task(daemon.run(stop), name="replay daemon")
            playing = asyncio.create_task(self._end(air, daemon, stop), name="replay")
            try:
                # An error of the replay itself ends the daemon, too.
                await asyncio.wait((running, playing), return_when=asyncio.FIRST_EXCEPTION)
            finally:
                stop.set()
                playing.cancel()
                await asyncio.wait((running, playing))
            running.result()
            if not playing.cancelled():
                playing.result()

    async def _end(self, air: ReplayedAir, daemon: Daemon, stop: asyncio.Event) -> None:
        """Stop the daemon once everything has happened and is delivered."""
        playing = asyncio.create_task(air.play(), name="replay radio")
        stopping = asyncio.create_task(stop.wait(), name="replay stop")
        try:
            await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                return
            playing.result()
            if not air.is_closing:
                await asyncio.sleep(_LINGER_S)
            left = await daemon.waiting()
            loop = asyncio.get_running_loop()
            until = loop.time() + _DELIVERY_S
            while left and loop.time() < until and not stop.is_set():
                await asyncio.sleep(_LOOK_S)
                left = await daemon.waiting()
            if left:
                self.problem = f"{left} samples were not delivered to the broker"
        finally:
            stop.set()
            playing.cancel()
            stopping.cancel()

    def _time(self, stop: asyncio.Event) -> AbstractContextManager[None]:
        if self._seed is None and self._speed == 1:
            return nullcontext()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ReplayLoop), "only its time can be replaced"
        follow_replaced_clock()
        if self._seed is None:
            return loop.shows(FastClock(self._speed), _is_busy)
        # Of everything else that is drawn, such as pauses of announcements.
        random.seed(self._seed)
        wall_ns = (self._recording.began - _EPOCH) // timedelta(microseconds=1) * 1000
        return loop.shows(VirtualClock(wall_ns, partial(self._on_silence, stop)), _is_busy)

    def _on_silence(self, stop: asyncio.Event) -> None:
        self.problem = f"the broker has not answered for {ANSWER_S:.0f} s"
        get_logger().error("replay stopped", error=self.problem)
        stop.set()

    def _environ(self) -> Mapping[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in _OF_SERVICE}
        return own if self._seed is None else {**own, "BOOT_ID": f"{self._seed:032x}"}

    def _surroundings(self) -> Surroundings:
        if self._seed is None:
            return Surroundings()
        # A capture is dated by the clock of the machine that has made it, whenever that was.
        clock = Clock(Path("/nonexistent"), earliest_wall_ns=0)
        return Surroundings(
            clock, f"{self._seed:08x}", _HOST, partial(_Prompt, self._seed), has_health=False
        )


class _Prompt(random.Random):
    """Draws short pauses, so that healthd is never later than it was in the capture."""

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) / 100


def _is_busy() -> bool:
    return awaits_answers() or is_working()
