"""The longest wait, and the branches of the error tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import Backoff, DecodeError, Fatal, HealthdError, Transient

BACKOFF = Backoff(first_s=0.5, ceiling_s=15.0)


@pytest.mark.parametrize(
    ("attempt", "limit_s"), [(0, 0.5), (1, 1.0), (2, 2.0), (4, 8.0), (5, 15.0), (6, 15.0)]
)
def test_limit_doubles_up_to_the_ceiling(attempt: int, limit_s: float) -> None:
    assert BACKOFF.limit(attempt) == limit_s


def test_limit_is_never_above_the_ceiling() -> None:
    assert Backoff(first_s=60.0, ceiling_s=5.0).limit(0) == 5.0


@given(attempt=st.integers(min_value=0, max_value=10**12))
def test_limit_never_falls_and_never_overflows(attempt: int) -> None:
    assert 0 < BACKOFF.limit(attempt) <= BACKOFF.limit(attempt + 1) <= 15.0


def test_transient_has_a_reason_a_backoff_and_a_message() -> None:
    error = Transient("link_lost", "the link ended", BACKOFF)
    assert (error.reason, error.backoff, str(error)) == ("link_lost", BACKOFF, "the link ended")


def test_no_branch_contains_another() -> None:
    for branch in (DecodeError, Fatal, Transient):
        assert issubclass(branch, HealthdError)
    assert not issubclass(Fatal, Transient)
    assert not issubclass(Transient, Fatal)
    assert not issubclass(HealthdError, ValueError)  # pydantic must not catch it
