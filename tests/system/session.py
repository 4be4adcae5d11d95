"""One machine for each guest: started when its first case is asked for, heard until it ends."""

import shutil
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.system.guests import GUESTS
from tests.system.image import image_of
from tests.system.machine import Hung, Machine
from tests.system.payload import pack
from tests.system.report import say

# Emulated, `make install` takes two minutes, and the longest case four.
_SILENCE_S = 420.0


class Sessions:
    """Asks the guests for what came of their cases.

    Attributes:
        outcomes: so far, by guest and case.
        notes: how long the parts of each run took.
    """

    def __init__(
        self, plans: Mapping[str, Sequence[str]], soak: Mapping[str, float], kept: Path
    ) -> None:
        """Prepare.

        Args:
            plans: for each guest the names of the cases to run, in order.
            soak: ``soak_s`` and ``seed``, for the case of this name.
            kept: a folder for the consoles of the guests.
        """
        self.outcomes: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in plans}
        self.notes: list[str] = []
        self._plans = plans
        self._soak = soak
        self._kept = kept
        self._running: dict[str, Generator[dict[str, Any]]] = {}
        self._ended: dict[str, str] = {}

    def outcome(self, guest: str, case: str) -> dict[str, Any]:
        """What came of a case; waits until the guest has run it."""
        outcomes = self.outcomes[guest]
        running = self._running.setdefault(guest, self._run(guest))
        while case not in outcomes and guest not in self._ended:
            message = next(running, None)
            if message is None:
                self._ended.setdefault(guest, "the machine went off")
            elif message["event"] == "outcome":
                outcomes[message["case"]] = message
                _tell(guest, message)
        if case in outcomes:
            return outcomes[case]
        return {"verdict": "not run", "why": self._ended[guest], "case": case}

    def close(self) -> None:
        """Switch off what still runs."""
        for running in self._running.values():
            running.close()

    def _run(self, name: str) -> Generator[dict[str, Any]]:
        guest = next(guest for guest in GUESTS if guest.name == name)
        clock = _Stopwatch()
        try:
            image = image_of(guest)
            clock.lap("image")
            with tempfile.TemporaryDirectory(prefix="healthd-system-test-") as made:
                folder = Path(made)
                payload = pack(guest, {"cases": self._plans[name], **self._soak}, folder)
                clock.lap("payload")
                with Machine(image, payload, folder) as machine:
                    try:
                        for message in machine.messages(_SILENCE_S):
                            if message["event"] in ("installed", "running"):
                                clock.lap(f"until {message['event']}")
                                _tell(guest.name, message)
                            if message["event"] == "over" and message["why"]:
                                self._ended[name] = f"{message['why']}\n{machine.tail()}"
                            yield message
                        self._ended.setdefault(name, f"the machine went off\n{machine.tail()}")
                    except Hung as hung:
                        self._ended[name] = str(hung)
                    finally:
                        clock.lap("cases")
                        self._keep(name, machine)
        except Exception as error:  # every case of this guest has this to say
            self._ended[name] = f"{type(error).__name__}: {error}"
        self.notes.append(f"{name}: {clock}")

    def _keep(self, name: str, machine: Machine) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        for file in (machine.console, machine.results):
            if file.exists():
                shutil.copy(file, self._kept / f"{name}.{file.name}")


class _Stopwatch:
    """What took how long."""

    def __init__(self) -> None:
        self._laps: list[str] = []
        self._since = time.monotonic()

    def lap(self, what: str) -> None:
        now = time.monotonic()
        self._laps.append(f"{what} {now - self._since:.0f} s")
        self._since = now

    def __str__(self) -> str:
        return ", ".join(self._laps)


def _tell(guest: str, message: Mapping[str, Any]) -> None:
    keys = ("case", "verdict", "recovery_s", "took_s", "seconds")
    shown = " ".join(f"{key}={message[key]}" for key in keys if key in message)
    say(f"{guest}: {message['event']} {shown}")
