"""What the daemon says to those who ask for a run that it cannot make."""

from typing import Any, cast

import pytest

from healthd.central.session import Session
from healthd.control import Refused
from healthd.sessions import FetchRequests


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "no such peripheral"),
        ({"peripheral": ["strap"]}, "no such peripheral"),
        ({"peripheral": "scale"}, "no such peripheral: restart it"),
        ({"peripheral": "strap"}, "continuous peripheral: restart it"),
    ],
)
async def test_what_the_running_daemon_does_not_fetch(request_: dict[str, Any], said: str) -> None:
    requests = FetchRequests({"strap": cast(Session, object())})
    with pytest.raises(Refused, match=said):
        await requests.fetch(request_)
