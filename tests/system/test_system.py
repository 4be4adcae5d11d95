"""healthd on whole machines: one test for each case in each guest."""

import pytest

from tests.system.guest.cases import CASES
from tests.system.guests import GUESTS
from tests.system.session import Sessions


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("guest", [guest.name for guest in GUESTS])
def test_case(guest: str, case: str, sessions: Sessions) -> None:
    outcome = sessions.outcome(guest, case)
    if outcome["verdict"] != "passed":
        pytest.fail(f"{CASES[case].promise}\n{outcome['verdict']}: {outcome['why']}", pytrace=False)
