"""Which devices can be connected again without a search."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.faults import AdapterGone, GaveWay, LinkFault, LinkLost
from healthd.central.link import Advertisement
from healthd.central.match import By, Match
from healthd.central.recent import Recent

_ADDRESS = "C0:00:00:00:00:01"
# Random and not static, so it changes: the two highest bits are 01 (Core 4.2, volume 6, 1.3).
_CHANGING = "40:00:00:00:00:01"
STRAP = Match("strap", By.ADDRESS, _ADDRESS)
OTHER = Match("other", By.ADDRESS, "C0:00:00:00:00:02")


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("healthd.central.recent.time", SimpleNamespace(monotonic=clock.monotonic))
    yield clock


def advertised(address: str = _ADDRESS) -> Advertisement:
    details = {"path": "/org/bluez/hci0/dev", "props": {"AddressType": "random"}}
    return Advertisement(address, None, frozenset(), 0, BLEDevice(address, None, details))


def lose(
    recent: Recent,
    clock: Clock,
    fault: LinkFault,
    lasted_s: float,
    match: Match = STRAP,
    device: Advertisement | None = None,
) -> None:
    with pytest.raises(type(fault)), recent.watching(match, device or advertised()):
        clock.now += lasted_s
        raise fault


def test_a_link_that_lasted_is_made_again_once(clock: Clock) -> None:
    recent = Recent()
    lose(recent, clock, LinkLost(), 3.0)
    found = recent.take(STRAP)
    assert found is not None
    assert (found.address, found.is_recent) == (_ADDRESS, True)
    recent.tried(STRAP)
    assert recent.take(STRAP) is None


@pytest.mark.parametrize(
    ("fault", "lasted_s"),
    [
        (LinkLost(), 2.9),
        (AdapterGone("adapter_off", "it is off"), 3.0),
        (GaveWay(), 3.0),
        (LinkFault("notifications_stalled", "silent", LinkLost().backoff), 3.0),
    ],
)
def test_other_ends_need_a_search(clock: Clock, fault: LinkFault, lasted_s: float) -> None:
    recent = Recent()
    lose(recent, clock, fault, lasted_s)
    assert recent.take(STRAP) is None


def test_what_sleeps_between_links_or_changes_its_address_needs_a_search(clock: Clock) -> None:
    recent = Recent()
    lose(recent, clock, LinkLost(), 60.0, replace(STRAP, periodic=True))
    lose(recent, clock, LinkLost(), 60.0, OTHER, advertised(_CHANGING))
    assert recent.take(replace(STRAP, periodic=True)) is None
    assert recent.take(OTHER) is None


def test_after_a_while_it_needs_a_search(clock: Clock) -> None:
    recent = Recent()
    lose(recent, clock, LinkLost(), 3.0)
    clock.now += 2.1
    assert recent.take(STRAP) is None


def test_one_at_a_time(clock: Clock) -> None:
    recent = Recent()
    both = recent.watching(STRAP, advertised()), recent.watching(OTHER, advertised())
    with pytest.raises(LinkLost), both[0], both[1]:
        clock.now += 3.0
        raise LinkLost
    assert recent.take(STRAP) is not None
    assert recent.take(OTHER) is None


def test_a_forgotten_peripheral_has_no_device(clock: Clock) -> None:
    recent = Recent()
    lose(recent, clock, LinkLost(), 3.0)
    recent.forget(STRAP.peripheral)
    assert recent.take(STRAP) is None
