"""What those are told who ask for something that cannot be done."""

from typing import cast

import pytest

from healthd.central.link import Backends
from healthd.central.radio import Radio
from healthd.central.slots import Slots
from healthd.gateway.handlers import PeripheralRequests, ScanRequests
from healthd.profiles.registry import load
from healthd.sessions.periodic import Periodic
from healthd.sessions.session import Session
from healthd.verbs import REQUESTS as VERBS
from healthd.verbs import RequestRefused, Scan

# Neither is asked for anything.
STRAP, SCALE = cast(Session, object()), Periodic.__new__(Periodic)

REQUESTS = PeripheralRequests({"strap": STRAP, "scale": SCALE})


def test_all_that_may_be_asked_of_a_peripheral_has_a_handler() -> None:
    assert REQUESTS.handlers.keys() == VERBS.keys() - {"scan"}


@pytest.mark.parametrize("verb", ["fetch", "reconnect", "start"])
async def test_one_that_the_running_healthd_has_not(verb: str) -> None:
    request = VERBS[verb].model_validate({"peripheral": "rower"})
    said = 'peripheral: found "rower", expected one that the running healthd has: strap, scale'
    with pytest.raises(RequestRefused, match=said):
        await REQUESTS.handlers[verb](request)


@pytest.mark.parametrize(
    ("verb", "peripheral", "said"),
    [
        ("fetch", "strap", "it is continuous: .*; expected a periodic one"),
        ("reconnect", "scale", "it is periodic: .*; expected a continuous one"),
        ("start", "scale", "it is periodic, and not controlled; expected a continuous one"),
    ],
)
async def test_one_of_the_wrong_kind(verb: str, peripheral: str, said: str) -> None:
    request = VERBS[verb].model_validate({"peripheral": peripheral})
    with pytest.raises(RequestRefused, match=said):
        await REQUESTS.handlers[verb](request)


async def test_a_radio_that_does_not_scan_is_told_from_an_empty_room() -> None:
    still = Radio(Backends(), Slots(5))
    with pytest.raises(RequestRefused, match="the adapter does not scan"):
        await ScanRequests(still, load()).scan(Scan(seconds=0.01))
