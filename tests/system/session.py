"""Runs one machine for each guest, a few at a time, and collects the results of the cases."""

import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.system.guests import GUESTS
from tests.system.image import image_of
from tests.system.machine import Machine
from tests.system.payload import pack
from tests.system.report import say

# Emulated, `make install` takes two minutes; after that a guest reports at least every minute.
_SILENCE_S = 420.0


class Sessions:
    """The results of the cases in all guests.

    Attributes:
        outcomes: the results so far, by guest and case.
        notes: how long the parts of each run took.
    """

    def __init__(
        self,
        plans: Mapping[str, Sequence[str]],
        sizes: Mapping[str, float],
        kept: Path,
        at_once: int,
    ) -> None:
        """Prepare; the machines start at the first call of ``outcome``.

        Args:
            plans: for each guest the names of the cases to run, in order.
            sizes: of the soak, ``soak_s`` and ``seed``, and of the comparison, ``rounds``.
            kept: a folder for the output of the guests.
            at_once: how many machines may run at a time.
        """
        self.outcomes: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in plans}
        self.notes: list[str] = []
        self._plans = plans
        self._sizes = sizes
        self._kept = kept
        self._changed = threading.Condition()
        self._ended: dict[str, str] = {}
        self._machines: list[Machine] = []
        self._workers = ThreadPoolExecutor(at_once)
        self._started = False

    def outcome(self, guest: str, case: str) -> dict[str, Any]:
        """Return the result of a case; wait until the guest has run it."""
        with self._changed:
            if not self._started:
                self._started = True
                for name in self._plans:
                    self._workers.submit(self._run, name)
            outcomes = self.outcomes[guest]
            self._changed.wait_for(lambda: case in outcomes or guest in self._ended)
            if case in outcomes:
                return outcomes[case]
            return {"verdict": "not run", "why": self._ended[guest], "case": case}

    def close(self) -> None:
        """Switch off the running machines, and start no more."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        for machine in self._machines:
            machine.switch_off()
        self._workers.shutdown()

    def _run(self, name: str) -> None:
        clock = _Stopwatch()
        try:
            why = self._run_machine(name, clock)
        except Exception as error:  # reported as the reason for each missing case of this guest
            why = f"{type(error).__name__}: {error}"
        with self._changed:
            self._ended[name] = why
            self.notes.append(f"{name}: {clock}")
            self._changed.notify_all()

    def _run_machine(self, name: str, clock: "_Stopwatch") -> str:
        """Run a guest to its end; return why it ended."""
        guest = next(guest for guest in GUESTS if guest.name == name)
        image = image_of(guest)
        clock.lap("image")
        with tempfile.TemporaryDirectory(prefix="healthd-system-test-") as made:
            folder = Path(made)
            payload = pack(guest, {"cases": self._plans[name], **self._sizes}, folder)
            clock.lap("payload")
            with Machine(image, payload, folder) as machine:
                self._machines.append(machine)
                try:
                    why = ""
                    for message in machine.messages(_SILENCE_S):
                        why = self._handle(name, message, clock) or why
                    return f"{why or 'the machine switched itself off'}\n{machine.tail()}"
                finally:
                    clock.lap("cases")
                    self._keep(name, machine)

    def _handle(self, name: str, message: dict[str, Any], clock: "_Stopwatch") -> str:
        """Handle a message of the guest; return why it is over if it says so."""
        event = message["event"]
        if event == "outcome":
            with self._changed:
                self.outcomes[name][message["case"]] = message
                self._changed.notify_all()
        elif event in ("installed", "running"):
            clock.lap(f"until {event}")
        if event not in ("alive", "over"):
            keys = ("case", "verdict", "recovery_s", "took_s", "seconds")
            shown = " ".join(f"{key}={message[key]}" for key in keys if key in message)
            say(f"{name}: {event} {shown}")
        return message.get("why", "") if event == "over" else ""

    def _keep(self, name: str, machine: Machine) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        for file in (machine.console, machine.results):
            if file.exists():
                shutil.copy(file, self._kept / f"{name}.{file.name}")


class _Stopwatch:
    """Measures how long each part takes."""

    def __init__(self) -> None:
        self._laps: list[str] = []
        self._since = time.monotonic()

    def lap(self, what: str) -> None:
        now = time.monotonic()
        self._laps.append(f"{what} {now - self._since:.0f} s")
        self._since = now

    def __str__(self) -> str:
        return ", ".join(self._laps)
