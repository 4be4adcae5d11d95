"""The answers to requests that cannot be carried out."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

import orjson
import pytest
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement, Backends
from healthd.central.radio import Radio
from healthd.central.slots import Slots
from healthd.gateway.handlers import PeripheralRequests, ScanRequests
from healthd.profiles.registry import load
from healthd.sessions.choice import Choice
from healthd.sessions.listening import Listening
from healthd.sessions.periodic import Periodic
from healthd.sessions.session import Session
from healthd.verbs import REQUESTS as VERBS
from healthd.verbs import RequestRefused, Scan

# Placeholders: no request reaches them.
STRAP, SCALE = Session.__new__(Session), Periodic.__new__(Periodic)

BIKE, BAND, WATCH = Listening.__new__(Listening), Choice.__new__(Choice), Choice.__new__(Choice)
BAND.current, WATCH.current = BIKE, STRAP

REQUESTS = PeripheralRequests(
    {"strap": STRAP, "scale": SCALE, "bike": BIKE, "band": BAND, "watch": WATCH}
)


def test_every_verb_for_a_peripheral_has_a_handler() -> None:
    assert REQUESTS.handlers.keys() == VERBS.keys() - {"scan"}


@pytest.mark.parametrize("verb", ["fetch", "reconnect", "start"])
async def test_an_unknown_peripheral_is_refused(verb: str) -> None:
    request = VERBS[verb].model_validate({"peripheral": "rower"})
    error = 'peripheral: found "rower", expected one of the running healthd: strap, scale, bike'
    with pytest.raises(RequestRefused, match=error):
        await REQUESTS.handlers[verb](request)


@pytest.mark.parametrize(
    ("verb", "peripheral", "error"),
    [
        ("fetch", "strap", "it is continuous .*; expected a periodic one"),
        ("reconnect", "scale", "it is periodic .*; expected a continuous one"),
        ("start", "scale", "it is periodic and cannot be controlled; expected a continuous one"),
        ("fetch", "bike", "it only advertises.*; expected a periodic one"),
        ("fetch", "band", "it only advertises.*; expected a periodic one"),
        ("fetch", "watch", "it is continuous .*; expected a periodic one"),
        ("reconnect", "bike", "it only advertises.*; expected a continuous one"),
        ("set_target_power", "band", "it only advertises.*; expected a continuous one"),
    ],
)
async def test_a_peripheral_of_the_wrong_kind_is_refused(
    verb: str, peripheral: str, error: str
) -> None:
    fields = {"power_w": 100} if verb == "set_target_power" else {}
    request = VERBS[verb].model_validate({"peripheral": peripheral, **fields})
    with pytest.raises(RequestRefused, match=error):
        await REQUESTS.handlers[verb](request)


async def test_a_radio_that_does_not_scan_is_not_an_empty_room() -> None:
    still = Radio(Backends(), Slots(5))
    with pytest.raises(RequestRefused, match="the adapter does not scan"):
        await ScanRequests(still, load()).scan(Scan(seconds=0.01))


class Noisy(Radio):
    """A radio that hears very many devices with long names."""

    @property
    def is_scanning(self) -> bool:
        return True

    @contextmanager
    def listening(
        self, listener: Callable[[Advertisement], None], keys: Iterable[str] = ()
    ) -> Generator[None]:
        for number in range(1000):
            address, name = f"D0:00:00:00:{number >> 8:02X}:{number & 255:02X}", "\x01" * 248
            device = BLEDevice(address, name, None)
            listener(Advertisement(address, name, frozenset(), -50, device))
        yield


async def test_the_response_to_a_scan_is_bounded_and_says_what_is_left_out() -> None:
    """D14."""
    scan = ScanRequests(Noisy(Backends(), Slots(5)), load()).scan
    response = await scan(Scan(seconds=0.01))
    assert len(orjson.dumps(response)) < 64_000
    assert len(response["found"]) > 10
    assert response["left_out"] == 1000 - len(response["found"])
