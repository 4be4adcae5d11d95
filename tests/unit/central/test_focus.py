"""How to scan, by what is wanted and what is heard."""

from dataclasses import replace

import pytest

from healthd.central.focus import Focus, Mode
from healthd.central.interest import Interest
from healthd.central.match import By, Match
from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Broadcast, Use

MINE, OTHER = "C0:00:00:00:00:01", "C0:00:00:00:00:02"


def broadcast(key: str = "manufacturer_data_0102", silence_s: float | None = 10.0) -> Broadcast:
    return Broadcast(
        uuid="bike",
        model=Battery,
        decode=lambda data: Battery(level_pct=data[0]),
        use=Use.STREAM,
        silence_s=silence_s,
        keys=(key,),
    )


BIKE = Match("bike", By.ADDRESS, MINE, broadcasts=(broadcast(),))
SCALE = replace(BIKE, broadcasts=(broadcast("service_data_181d", None),))
STRAP = Match("strap", By.ADDRESS, MINE)
EVERYONE = Mode()


class Room:
    """A focus, and its clock."""

    def __init__(self, *matches: Match, everyone: bool = False) -> None:
        self.now_s = 1000.0
        self.interest = Interest(everyone=everyone)
        listened = [match for match in matches if match != STRAP]
        searched = [match for match in matches if match == STRAP]
        self.interest.update(listened, searched, everyone=everyone)
        self.focus = Focus(self.interest, lambda: self.now_s)

    def advertise(self, seconds: float, every_s: float = 1.0, address: str | None = MINE) -> None:
        until = self.now_s + seconds
        while self.now_s < until:
            self.focus.heard(address)
            self.now_s += every_s


def test_bluez_filters_for_one_device_once_it_advertises_all_the_time() -> None:
    room = Room(BIKE)
    assert room.focus.mode() == EVERYONE
    room.advertise(60)
    assert room.focus.mode() == EVERYONE
    room.advertise(5)
    assert room.focus.mode() == Mode(MINE)
    assert not room.focus.mode().hears_everyone
    room.now_s += 31
    assert room.focus.mode() == EVERYONE, "silence could be a fault of the scanner"
    room.advertise(5)
    assert room.focus.mode() == EVERYONE, "not restarted again for a moment"


@pytest.mark.parametrize(
    "matches",
    [
        [],
        [STRAP],
        [BIKE, STRAP],
        [BIKE, replace(BIKE, peripheral="other", wanted=OTHER)],
        [replace(BIKE, by=By.NAME, wanted="Bike*")],
        [replace(BIKE, wanted=OTHER)],
    ],
    ids=[
        "nothing",
        "is to be linked",
        "another is to be linked",
        "two",
        "a name has rivals",
        "another",
    ],
)
def test_bluez_does_not_filter_otherwise(matches: list[Match]) -> None:
    room = Room(*matches)
    room.advertise(120)
    assert room.focus.mode() == EVERYONE


def test_a_scan_for_everyone_is_not_filtered() -> None:
    room = Room(BIKE, everyone=True)
    room.focus.prefers_passive = True
    room.advertise(120)
    assert room.focus.mode() == EVERYONE


def test_passive_if_all_is_recognised_by_manufacturer_data() -> None:
    room = Room(BIKE, replace(BIKE, peripheral="other", by=By.NAME, wanted="Bike*"))
    assert room.focus.mode() == EVERYONE, "active by default"
    room.focus.prefers_passive = True
    assert room.focus.mode() == Mode(companies=frozenset({0x102}))
    room.interest.update([BIKE], [STRAP])
    assert room.focus.mode() == EVERYONE, "names and services need an active scan"
    room.interest.update([BIKE, SCALE])
    assert room.focus.mode() == EVERYONE, "service data"


def of_companies(*numbers: int) -> Match:
    keys = tuple(f"manufacturer_data_{number:04x}" for number in numbers)
    return replace(BIKE, broadcasts=(replace(BIKE.broadcasts[0], keys=keys),))


def test_a_low_byte_with_any_high_byte_is_one_pattern() -> None:
    """The company id of scales for OKOK counts; there are 259 for them."""
    room = Room(of_companies(0x102, 0x20CA, *range(0x00C0, 0x10000, 0x100)))
    room.focus.prefers_passive = True
    assert room.focus.mode().beginnings == [b"\x02\x01", b"\xc0", b"\xca\x20"]


@pytest.mark.parametrize(("count", "is_passive"), [(16, True), (17, False)])
def test_active_if_there_are_more_companies_than_linux_takes(count: int, is_passive: bool) -> None:
    room = Room(of_companies(*range(count)))
    room.focus.prefers_passive = True
    assert bool(room.focus.mode().companies) == is_passive


def test_a_passive_scan_that_hears_nothing_is_checked_by_an_active_one() -> None:
    room = Room(BIKE)
    room.focus.prefers_passive = True
    room.now_s += 599
    assert room.focus.mode().companies
    room.now_s += 2
    assert room.focus.mode() == EVERYONE
    room.advertise(1, address=None)
    assert room.focus.mode().companies, "a foreign device shows that the scanner works"
