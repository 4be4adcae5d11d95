"""Changes inputs at random, keeps those that reach new lines, and collects what fails."""

import gc
import signal
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

from tests.fuzz.reached import PACKAGE, Reached
from tests.fuzz.target import Target

# The longest seed is the example of the settings file.
LONGEST = 32_768

# Processor time of one input; all take milliseconds. Python collects garbage now and then.
_SLOW_S = 2.0

# Numbers at the ends of what fields hold, and the special values of IEEE 11073.
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x07FE, 0x07FF, 0x0800, 0x7FFF, 0x8000, 0xFFFF)
_DIGITS = (b"0", b"-1", b"1e999", b"1e-7", b"255", b"65536", b"9223372036854775808", b"0.1")


class TooSlow(BaseException):
    """An input took too long. No ``except Exception`` of healthd stops it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An input with an unexpected result.

    Attributes:
        data: the input.
        where: the type of the error and the line that raised it.
        report: the traceback.
    """

    data: bytes
    where: str
    report: str


@dataclass(slots=True)
class Outcome:
    """What a run found.

    Attributes:
        executions: how many inputs were tried.
        lines: how many lines of healthd they reached; 0 if that was not followed.
        found: the inputs that reached new lines, without the seeds.
        failures: one for each place that failed.
    """

    executions: int = 0
    lines: int = 0
    found: list[bytes] = field(default_factory=list[bytes])
    failures: dict[str, Failure] = field(default_factory=dict[str, Failure])


def run(
    target: Target,
    seconds: float,
    seed: int,
    *,
    corpus: Sequence[bytes] = (),
    most: int | None = None,
) -> Outcome:
    """Try the target's seeds, then changed ones until the time is over.

    Args:
        target: to try; opened.
        seconds: how long.
        seed: of the random changes.
        corpus: more inputs to begin with.
        most: how many inputs to try at most; lines are not followed then.
    """
    random, outcome = Random(seed), Outcome()
    until = time.monotonic() + seconds
    start = [*target.seeds(), *corpus]
    inputs = list(start)
    with nullcontext() if most is not None else Reached() as reached, _limited() as limit:
        while time.monotonic() < until and outcome.executions != most:
            data = (
                start[outcome.executions]
                if most is None and outcome.executions < len(start)
                else mutated(random, inputs, target.words)
            )
            outcome.executions += 1
            if failure := attempt(target, data, limit):
                outcome.failures.setdefault(failure.where, failure)
            elif reached is not None and reached.count > outcome.lines:
                outcome.lines = reached.count
                if outcome.executions > len(start):
                    inputs.append(data)
                    outcome.found.append(data)
    return outcome


def attempt(target: Target, data: bytes, limit: Callable[[float], None]) -> Failure | None:
    """Try one input; return what failed."""
    try:
        limit(_SLOW_S)
        target.fuzz(data)
    except (Exception, TooSlow) as error:
        limit(0)
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        where = f"{type(error).__name__} at {place}"
        return Failure(data, where, "".join(traceback.format_exception(error)))
    finally:
        limit(0)
    return None


@contextmanager
def _limited() -> "Generator[Callable[[float], None]]":
    """Yield a function that sets how much processor time is left; 0: as much as it takes."""

    def expired(*_: object) -> NoReturn:
        raise TooSlow(f"more than {_SLOW_S:.0f} s of processor time")

    before = signal.signal(signal.SIGPROF, expired)
    # What exists by now is not looked at again and again.
    gc.freeze()
    try:
        yield lambda seconds: _set_timer(seconds)
    finally:
        _set_timer(0)
        gc.unfreeze()
        signal.signal(signal.SIGPROF, before)


def _set_timer(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)


def mutated(random: Random, inputs: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return one of the inputs after one to eight random changes; newer inputs come more often."""
    at = max(random.randrange(len(inputs)), random.randrange(len(inputs)))
    data = bytearray(inputs[at])
    for _ in range(1 << random.randrange(4)):
        random.choice(_CHANGES)(random, data, inputs, words)
    return bytes(data[:LONGEST])


def _span(random: Random, data: bytearray) -> tuple[int, int]:
    """Return the start and end of a part, mostly a short one."""
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((1, 1, 2, 4, 16, 64, 512)))


def _put(random: Random, data: bytearray, part: bytes) -> None:
    """Insert a part, or write it over what is there."""
    start = random.randrange(len(data) + 1)
    data[start : start + random.choice((0, len(part)))] = part


def _flip(random: Random, data: bytearray, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _byte(random: Random, data: bytearray, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _number(random: Random, data: bytearray, *_: object) -> None:
    size = random.choice((1, 2, 4, 8))
    value = random.choice(_NUMBERS) & (1 << 8 * size) - 1
    _put(random, data, value.to_bytes(size, random.choice(("little", "big"))))


def _digits(random: Random, data: bytearray, *_: object) -> None:
    _put(random, data, random.choice(_DIGITS))


def _insert(random: Random, data: bytearray, *_: object) -> None:
    _put(random, data, random.randbytes(random.choice((1, 2, 8, 32))))


def _delete(random: Random, data: bytearray, *_: object) -> None:
    start, end = _span(random, data)
    del data[start:end]


def _cut(random: Random, data: bytearray, *_: object) -> None:
    del data[random.randrange(len(data) + 1) :]


def _repeat(random: Random, data: bytearray, *_: object) -> None:
    start, end = _span(random, data)
    data[end:end] = data[start:end] * random.choice((1, 1, 3, 16))


def _splice(random: Random, data: bytearray, inputs: Sequence[bytes], _: Sequence[bytes]) -> None:
    other = random.choice(inputs)
    start, end = _span(random, bytearray(other))
    _put(random, data, other[start : random.choice((end, len(other)))])


def _word(random: Random, data: bytearray, inputs: Sequence[bytes], words: Sequence[bytes]) -> None:
    _put(random, data, random.choice(words or inputs))


_Change = Callable[[Random, bytearray, Sequence[bytes], Sequence[bytes]], None]
_CHANGES: tuple[_Change, ...] = (
    *(_flip, _byte, _number, _digits, _insert, _delete, _cut, _repeat, _splice),
    *(_word, _word, _word),
)
