"""Devices that measure only on request, and devices with two services for the same thing."""

from dataclasses import dataclass, replace

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement
from healthd.profiles.battery import Battery, decode_level
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Dialogue, Opening, Polling, Turn
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.sessions.plan import lack, plan_for
from tests.support.maker import control


@dataclass
class Device:
    """A device as a link has discovered it; what begins with ``fff`` notifies."""

    services: frozenset[str]
    characteristics: frozenset[str]
    advertised: frozenset[str] = frozenset()

    @property
    def found(self) -> Advertisement:
        address = "C0:00:00:00:00:01"
        return Advertisement(address, "Box", self.advertised, -50, BLEDevice(address, "", None))

    def can_notify(self, uuid: str) -> bool:
        return uuid.startswith("fff")


def device(services: str, characteristics: str, advertised: str = "") -> Device:
    return Device(*(frozenset(text.split()) for text in (services, characteristics, advertised)))


def nothing(_: Options) -> Dialogue:
    yield b""


def streaming(uuid: str) -> Characteristic:
    return Characteristic(uuid, Battery, decode_level, Use.STREAM)


SHARED = Characteristic("2a19", Battery, decode_level, Use.STATUS)
PLAIN = Characteristic("fff5", Battery, decode_level, Use.CONTROL)
BOX = Profile("box", "fff0", (control(), SHARED), opening=Opening("fff1", nothing))
OLD = Profile("old", "1810", (streaming("fff7"), SHARED))


def plan_of(found: Device, *profiles: Profile) -> tuple[list[str], set[str], frozenset[str]]:
    """Return the profiles, what is asked, and what else measures."""
    plan = plan_for(Registry(profiles), found)
    return [each.name for each in plan.profiles], {each.uuid for each in plan.asked}, plan.streams


@pytest.mark.parametrize(
    ("profile", "asked"),
    [
        (BOX, {"fff1"}),
        (replace(BOX, opening=None, polling=Polling("fff1", nothing, 1)), {"fff1"}),
        (replace(BOX, opening=None), set[str]()),
        # Its clock is set, which gives no values.
        (replace(BOX, opening=Opening("fff1", nothing, turn=Turn.CLOCK)), set[str]()),
        (Profile("plain", "fff0", (PLAIN,), opening=Opening("fff5", nothing)), {"fff5"}),
        # The streams are what counts.
        (
            Profile("both", "fff0", (PLAIN, streaming("fff6")), opening=Opening("fff5", nothing)),
            set[str](),
        ),
    ],
)
def test_what_only_answers_is_something_to_read(profile: Profile, asked: set[str]) -> None:
    found = device("fff0", "fff1 fff2 fff3 fff4 fff5", "fff0")
    assert plan_of(found, profile)[1] == asked
    registry = Registry([profile])
    fault = lack(registry, found, plan_for(registry, found), None, frozenset())
    assert (fault is None) is bool(asked)


def test_a_control_point_of_an_earlier_link_is_missed() -> None:
    registry, found = Registry([BOX, OLD]), device("1810", "fff7")
    fault = lack(registry, found, plan_for(registry, found), None, frozenset({"fff1", "fff7"}))
    assert fault is not None
    assert fault.reason == "characteristic_missing"


BOTH = device("fff0 1810", "fff1 fff3 fff7 2a19")
WINS = (
    (replace(BOX, replaces=("1810",)), OLD),
    (BOX, replace(OLD, gives_way_to=("fff0",))),
)


@pytest.mark.parametrize("profiles", WINS)
def test_of_two_services_for_the_same_thing_one_is_read(profiles: tuple[Profile, ...]) -> None:
    plan = plan_for(Registry(profiles), BOTH)
    assert ([each.name for each in plan.profiles], plan.streams) == (["box"], frozenset())
    # The battery belongs to both.
    assert [each.uuid for each in plan.states] == ["2a19"]


@pytest.mark.parametrize("profiles", WINS)
@pytest.mark.parametrize(
    "found", [device("1810", "fff7"), device("fff0 1810", "fff7 2a19")], ids=["alone", "empty"]
)
def test_a_service_that_was_not_discovered_replaces_nothing(
    profiles: tuple[Profile, ...], found: Device
) -> None:
    plan = plan_for(Registry(profiles), found)
    assert plan.streams == {"fff7"}
    assert "old" in [each.name for each in plan.profiles]


@pytest.mark.parametrize("profiles", WINS)
def test_what_gave_way_since_the_last_link_is_not_missed(profiles: tuple[Profile, ...]) -> None:
    registry = Registry(profiles)
    plan = plan_for(registry, BOTH)
    assert lack(registry, BOTH, plan, None, before=frozenset({"fff7"})) is None
