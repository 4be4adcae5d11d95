"""What a case is, and how it runs: from a clean state, checked, repeated if inconclusive."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.system.guest.oracle import Counts
from tests.system.guest.radio import RadioLog
from tests.system.guest.vm import Failed
from tests.system.guest.world import World

Body = Callable[[World], Awaitable[None]]

# The longest case waits up to 60 s for the start and then up to 90 s for recovery.
_CASE_S = 240.0
# One repetition if the radio logged something; the second time it is a bug of the tests.
_ATTEMPTS = 2
_JOURNAL_TAIL = 15


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        name: unique.
        body: causes the fault, checks that it happened, and waits for the expected result.
        promise: what healthd promises, in a sentence.
        bound_s: how long it may take.
        at_boot: whether it examines the freshly booted machine, without a reset before it.
        crashes: whether a stack trace in the journal is expected.
        compares: whether it only measures; a problem of the radio then spoils a value at most.
        guest: the only machine that runs it; empty for all, because BlueZ, the kernel, systemd or
            Python could make a difference.
    """

    name: str
    body: Body
    promise: str
    bound_s: float = _CASE_S
    at_boot: bool = False
    crashes: bool = False
    compares: bool = False
    guest: str = ""


REGISTERED: list[Case] = []


def case(
    *, at_boot: bool = False, crashes: bool = False, guest: str = ""
) -> Callable[[Body], Body]:
    """Register a function as a case, with its name, and its docstring as the promise."""

    def register(body: Body) -> Body:
        name = getattr(body, "__name__", "")
        promise = (body.__doc__ or "").strip()
        REGISTERED.append(Case(name, body, promise, at_boot=at_boot, crashes=crashes, guest=guest))
        return body

    return register


@dataclass
class Outcome:
    """The result of a case; one line of the report.

    Attributes:
        case: its name.
        verdict: passed, failed (a finding) or broken (the test itself did not work).
        why: what was found; empty if it passed.
        recovery_s: from the end of the fault to the next new sample at the subscriber.
        counts: the accounting of every sample.
        notes: what a reader should know.
        took_s: reset, case and clean-up.
        attempts: more than one if the radio logged something during the first.
    """

    case: str
    verdict: str = "passed"
    why: str = ""
    recovery_s: float | None = None
    counts: Counts = field(default_factory=Counts)
    notes: list[str] = field(default_factory=list[str])
    took_s: float = 0.0
    attempts: int = 1

    def message(self) -> dict[str, Any]:
        """Return the outcome as the host reads it."""
        return asdict(self)


async def run_case(case: Case, log: RadioLog) -> Outcome:
    """Run a case, and repeat it if an attempt is inconclusive."""
    began_at = time.monotonic()
    notes: list[str] = []
    attempt = 0
    while True:
        attempt += 1
        log.lines.clear()
        outcome = await _attempt(case)
        if not log.lines:
            break
        notes.append(f"attempt {attempt} is inconclusive, the radio logged: {log.lines[:3]}")
        if case.compares:
            break
        if attempt == _ATTEMPTS:
            outcome.verdict, outcome.why = "broken", "\n".join([*notes, outcome.why])
            break
    outcome.attempts = attempt
    outcome.notes = [*notes, *outcome.notes]
    outcome.took_s = round(time.monotonic() - began_at, 1)
    return outcome


async def _attempt(case: Case) -> Outcome:
    outcome = Outcome(case.name)
    world = World()
    try:
        async with asyncio.timeout(case.bound_s):
            if not case.at_boot:
                await world.reset()
            await case.body(world)
            outcome.counts = counts = await world.settled()
            findings = counts.wrong[:5]
            if counts.lost:
                findings.append(f"{counts.lost} of {counts.sent} samples lost: {counts.losses[:5]}")
            findings += await world.journal_faults(allow_stack=case.crashes)
            if findings:
                raise Failed("; ".join(findings))
    except Failed as finding:
        outcome.verdict, outcome.why = "failed", str(finding)
    except Exception as error:  # the next case may still work; the report names this one
        outcome.verdict, outcome.why = "broken", f"{type(error).__name__}: {error}"
    outcome.recovery_s, outcome.notes = world.recovery_s, world.notes
    if outcome.verdict != "passed":
        for name, journal in (("healthd", world.journal), ("bluetoothd", world.bluez_journal)):
            lines = (await journal.lines())[-_JOURNAL_TAIL:]
            outcome.why += "\n".join(["", f"the journal of {name} ends with:", *lines])
    await _clean_up(world, outcome)
    return outcome


async def _clean_up(world: World, outcome: Outcome) -> None:
    try:
        async with asyncio.timeout(_CASE_S):
            await world.close()
    except Exception as error:  # a case has not passed if the clean-up fails
        outcome.verdict = "broken"
        outcome.why += f"\nclean-up: {type(error).__name__}: {error}"
