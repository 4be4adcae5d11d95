"""A budget: some at once, then one in a while."""

import time

import pytest

from healthd.supervision.budget import Budget


def test_some_at_once_then_one_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    budget = Budget(3, 10.0)
    for _ in range(3):
        assert budget.wait_s() == 0
        budget.spend()
    assert budget.wait_s() == pytest.approx(10)
    now += 4
    assert budget.wait_s() == pytest.approx(6)
    now += 6
    assert budget.wait_s() == 0
    budget.spend()
    now += 1000
    for _ in range(3):
        assert budget.wait_s() == 0
        budget.spend()
    assert budget.wait_s() == pytest.approx(10)
