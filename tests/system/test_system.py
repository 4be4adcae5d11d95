"""healthd in virtual machines: one test for each case in each guest."""

import pytest

from tests.system.guest.cases import CASES
from tests.system.guests import GUESTS
from tests.system.session import Sessions

_GUESTS = [guest.name for guest in GUESTS]


# The first test of each guest waits for its image, its boot and the installation.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("guest", "case"),
    [
        (guest, name)
        for guest in _GUESTS
        for name, case in CASES.items()
        if case.guest in ("", guest)
    ],
)
def test_case(guest: str, case: str, sessions: Sessions) -> None:
    expect_passed(sessions.outcome(guest, case), CASES[case].promise)


@pytest.mark.timeout(0)  # as long as requested; a guest that hangs is detected separately
@pytest.mark.parametrize("case", ["soak"])
@pytest.mark.parametrize("guest", _GUESTS)
def test_soak(guest: str, case: str, sessions: Sessions) -> None:
    expect_passed(
        sessions.outcome(guest, case),
        "Every peripheral streams again, and the process does not grow.",
    )


@pytest.mark.timeout(0)  # as many rounds as requested
@pytest.mark.parametrize("case", ["comparison"])
@pytest.mark.parametrize("guest", _GUESTS)
def test_comparison(guest: str, case: str, sessions: Sessions) -> None:
    expect_passed(
        sessions.outcome(guest, case), "Both programs run, and the summary compares them."
    )


def expect_passed(outcome: dict[str, str], promise: str) -> None:
    if outcome["verdict"] != "passed":
        pytest.fail(f"{promise}\n{outcome['verdict']}: {outcome['why']}", pytrace=False)
