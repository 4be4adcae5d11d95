"""How long a stream's history waits after refusals that pass by themselves."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from healthd.mqtt.pauses import FIRST_S, Pauses

STRAP, SCALE = ("strap", "beat"), ("scale", "beat")


class Watch:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    watch = Watch()
    monkeypatch.setattr("healthd.mqtt.pauses.time", SimpleNamespace(monotonic=watch.monotonic))
    yield watch


def test_pauses_grow_up_to_half_a_minute_and_start_over(watch: Watch) -> None:
    pauses = Pauses()
    found: list[float] = []
    for _ in range(7):
        found.append(pauses.extend(STRAP))
        assert pauses.is_paused(STRAP) and pauses.paused() == [STRAP]
        watch.now_s += found[-1]
        assert not pauses.is_paused(STRAP)
    assert found == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert pauses.is_doubtful(STRAP) and not pauses.is_doubtful(SCALE)
    pauses.end(STRAP)
    assert not pauses
    assert pauses.extend(STRAP) == FIRST_S


def test_samples_refused_together_count_once(watch: Watch) -> None:
    pauses = Pauses()
    assert [pauses.extend(STRAP) for _ in range(3)] == [FIRST_S, 0.0, 0.0]
    # One that was in flight before the refusal.
    pauses.end(STRAP)
    assert pauses.is_paused(STRAP)


def test_a_refused_live_sample_does_not_make_the_pause_longer(watch: Watch) -> None:
    pauses = Pauses()
    assert [pauses.begin(STRAP) for _ in range(3)] == [FIRST_S, 0.0, 0.0]
    watch.now_s += FIRST_S
    assert pauses.begin(STRAP) == 0.0
    assert not pauses.is_paused(STRAP)


def test_a_new_connection_ends_all_pauses_but_not_the_doubt(watch: Watch) -> None:
    pauses = Pauses()
    pauses.extend(STRAP)
    pauses.end_all()
    assert not pauses.is_paused(STRAP)
    assert pauses.is_doubtful(STRAP)
