"""Each parser with its seeds and a few changed inputs; ``make fuzz`` tries each for ten minutes."""

from collections.abc import Iterable

import pytest

from tests.fuzz.engine import LONGEST, run
from tests.fuzz.target import Target, load, names

_INPUTS = 300


@pytest.mark.untraced
@pytest.mark.parametrize("name", names())
def test_no_input_gives_anything_but_the_documented_error(name: str) -> None:
    with load(name) as target:
        outcome = run(target, seconds=50, seed=1, most=_INPUTS)
    assert outcome.executions == _INPUTS
    assert not outcome.failures, "\n".join(each.report for each in outcome.failures.values())


@pytest.mark.parametrize("name", names())
def test_seeds_are_small(name: str) -> None:
    with load(name) as target:
        seeds = list(target.seeds())
    assert seeds
    assert all(len(seed) <= LONGEST for seed in seeds)


class Example(Target):
    """Fails for one long word, which chance alone does not find."""

    words = (b"magic",)

    def seeds(self) -> Iterable[bytes]:
        yield b"0123456789"

    def fuzz(self, data: bytes) -> None:
        if b"magic" in data:
            raise LookupError(data)


def test_a_failure_is_reported_once_with_its_input() -> None:
    outcome = run(Example(), seconds=50, seed=1, most=1000)
    (failure,) = outcome.failures.values()
    assert b"magic" in failure.data
    assert failure.where.startswith("LookupError at ")
    assert "LookupError" in failure.report


class Endless(Target):
    """Never returns, and catches what can be caught."""

    def seeds(self) -> Iterable[bytes]:
        yield b""

    def fuzz(self, data: bytes) -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue


def test_an_input_that_takes_too_long_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.engine._SLOW_S", 0.05)
    outcome = run(Endless(), seconds=50, seed=1, most=1)
    (failure,) = outcome.failures.values()
    assert failure.where.startswith("TooSlow")
