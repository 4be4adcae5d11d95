"""What is read and subscribed on a link, in which order, and what is missing on it."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement
from healthd.profiles import registry
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.dialogue import Dialogue, Opening, Pairing
from healthd.profiles.options import Consent, Options
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry
from healthd.samples import Measurement
from healthd.sessions.memory import DeviceMemory, Step
from healthd.sessions.no_data import advice_for
from healthd.sessions.plan import due, lack, plan_for

KNOWN = registry.load()
PM5 = {
    number: f"ce06{number:04x}-43e5-11e4-916c-0800200c9a66" for number in (0x31, 0x32, 0x33, 0x80)
}
NOTIFIED = {"2a37", "2a63", "2a64", "2ad1", "2acd", "2ada", "2a19", "2aa7", "2a9d", "2a35"} | set(
    PM5.values()
)


@dataclass
class Device:
    """A device as a link has discovered it."""

    services: frozenset[str]
    characteristics: frozenset[str]
    advertised: frozenset[str] = field(default_factory=frozenset[str])

    @property
    def found(self) -> Advertisement:
        address = "C0:00:00:00:00:01"
        return Advertisement(address, "Strap", self.advertised, -50, BLEDevice(address, "", None))

    def can_notify(self, uuid: str) -> bool:
        return uuid in NOTIFIED


def device(services: str, characteristics: str, advertised: str = "") -> Device:
    return Device(*(frozenset(text.split()) for text in (services, characteristics, advertised)))


def test_measurements_come_before_what_accompanies_them_and_facts_come_last() -> None:
    bike = device("1818 180f 180a", "2a63 2a64 2a65 2a19 2a29")
    plan = plan_for(KNOWN, bike)
    assert [each.uuid for each in plan.measurements] == ["2a63"]
    assert [str(step) for step, _ in plan.rest(bike)] == [
        "subscribe 2a64",
        "read 2a19",
        "subscribe 2a19",
        "read 2a29",
        "read 2a65",
    ]


def test_what_decoders_depend_on_comes_first() -> None:
    # The decoder of the cuff's measurement depends on maker and model.
    plan = plan_for(KNOWN, device("1810 180a", "2a35 2a29 2a24 2a25"))
    assert [each.uuid for each in plan.first] == ["2a24", "2a29"]
    assert [each.uuid for each in plan.facts] == ["2a25"]


def test_what_dates_the_measurements_comes_first() -> None:
    # The times of CGM Measurements are offsets to the CGM Session Start Time (0x2AAA).
    monitor = device("181f", "2aa7 2aa8 2aa9 2aaa")
    plan = plan_for(KNOWN, monitor)
    assert [each.uuid for each in plan.first] == ["2aaa"]
    assert [str(step) for step, _ in plan.rest(monitor)] == ["read 2aa9", "read 2aa8"]


def test_a_status_without_any_measurement_is_what_the_link_is_for() -> None:
    plan = plan_for(KNOWN, device("1826", "2ada"))
    assert ([each.uuid for each in plan.measurements], plan.extras) == (["2ada"], [])


def test_a_measurement_that_cost_the_last_link_comes_last_and_then_not_at_all() -> None:
    plan, memory = plan_for(KNOWN, device("180d 1818", "2a37 2a63")), DeviceMemory()

    def order() -> list[str]:
        return [each.uuid for each in due(plan, memory)]

    assert order() == ["2a37", "2a63"]
    memory.on_loss(Step("subscribe", "2a37"), tolerated=1)
    assert order() == ["2a63", "2a37"]
    memory.on_loss(Step("subscribe", "2a37"), tolerated=1)
    assert order() == ["2a63"]
    # Without any measurement a link is of no use.
    for _ in range(2):
        memory.on_loss(Step("subscribe", "2a63"), tolerated=1)
    assert set(order()) == {"2a37", "2a63"}


@pytest.mark.parametrize(
    ("found", "service", "before", "reason"),
    [
        pytest.param(device("180d", "2a37", "180d"), "180d", "2a37", None, id="all there"),
        pytest.param(device("180a", "2a29"), None, "", "nothing_to_read", id="description only"),
        pytest.param(device("180f", "2a19"), None, "", "no_measurements", id="battery only"),
        pytest.param(device("180f", "2a19"), "180d", "", "service_missing", id="by the settings"),
        pytest.param(device("180f", "2a19", "180d"), None, "", "service_missing", id="advertised"),
        pytest.param(
            device("180f 180d", "2a19", "180d"), None, "", "service_missing", id="empty service"
        ),
        pytest.param(
            device("180d", "2a37", "180d 1818"), None, "", "service_missing", id="one of two"
        ),
        pytest.param(
            device("180d", "2a37"), None, "2a37 2a63", "characteristic_missing", id="before"
        ),
        # Neither is a measurement: a device that lacks it is not worth another link.
        pytest.param(device("180d", "2a37", "180d 180f 1805"), None, "", None, id="battery"),
        pytest.param(device("180d", "2a37", "180d feed"), None, "", None, id="unknown service"),
    ],
)
def test_what_a_fresh_discovery_might_bring(
    found: Device, service: str | None, before: str, reason: str | None
) -> None:
    fault = lack(KNOWN, found, plan_for(KNOWN, found), service, frozenset(before.split()))
    assert (fault and fault.reason) == reason


@pytest.mark.parametrize(
    ("found", "options", "starts", "helps", "is_setting"),
    [
        (device("1826", "2ad1 2ad9"), Options(), False, "start = true", True),
        (device("1826", "2ad1 2ad9"), Options(), True, "its own start key", False),
        (device("1826", "2acd 2ad9"), Options(), False, "control.speed_mps", True),
        (device("181d 181c", "2a9d"), Options(), False, "consent_file", True),
        (
            device("181d 181c", "2a9d"),
            Options(consent=Consent(1, 1234)),
            False,
            'on = "advertising"',
            False,
        ),
        (device("1810", "2a35"), Options(), False, 'on = "advertising"', False),
        (device("fb005c80-02e7-f387-1cad-8acd2d8df0c8", ""), Options(), False, "pmd = ", True),
        (device("180d", "2a37"), Options(), False, "wear it", False),
        (device("1818", "2a63"), Options(), False, "wake it up", False),
    ],
)
def test_the_advice_for_a_device_that_yields_nothing(
    found: Device, options: Options, starts: bool, helps: str, is_setting: bool
) -> None:
    profiles = plan_for(KNOWN, found).profiles
    text, by_setting = advice_for(found, profiles, options, starts=starts)
    assert helps in text
    assert by_setting is is_setting


class Nothing(Measurement):
    kind: ClassVar[str] = "nothing"


def cuff_with(kind: str) -> Registry:
    """Return the known profiles, and a cuff whose memory has a key or not."""
    control = Characteristic("ee02", Nothing, decode_nothing, Use.CONTROL)
    opening = Opening("ee02", lambda _options: ask_nothing(b""))
    pairing = Pairing("ee02", ask_nothing, 16, "hold its button") if kind == "key" else None
    cuff = Profile(
        "memory", "ee01", (control,), opening=opening, replaces=("1810",), pairing=pairing
    )
    return Registry([*KNOWN.profiles.values(), cuff])


def ask_nothing(_key: bytes) -> Dialogue:
    yield b""


def decode_nothing(_data: bytes) -> Measurement:
    return Nothing()


CUFF = device("1810 ee01", "2a35 ee02")


@pytest.mark.parametrize(
    ("kind", "has_key", "read"),
    [("key", False, "blood_pressure"), ("key", True, "memory"), ("none", False, "memory")],
)
def test_what_is_locked_does_not_replace_what_can_be_read(
    kind: str, has_key: bool, read: str
) -> None:
    plan = plan_for(cuff_with(kind), CUFF, has_key=has_key)
    assert [profile.name for profile in plan.profiles] == [read]
    assert [profile.name for profile in plan.locked] == (["memory"] if read != "memory" else [])
    assert plan.sources == ({"2a35"} if read != "memory" else {"ee02"})


def test_without_the_key_nothing_may_be_left_to_read() -> None:
    plan = plan_for(cuff_with("key"), device("ee01 180f", "ee02 2a19"))
    assert [profile.name for profile in plan.profiles] == ["battery"]
    assert not plan.sources
    assert [profile.name for profile in plan.locked] == ["memory"]


@pytest.mark.parametrize(
    ("numbers", "subscribed"),
    [
        ({0x31, 0x32, 0x33, 0x80}, {0x31, 0x32, 0x33}),
        ({0x80}, {0x80}),
        # A PM5 leaves out of 0080 what is subscribed, so nothing comes twice.
        ({0x32, 0x80}, {0x32, 0x80}),
    ],
)
def test_what_only_repeats_another_characteristic_is_left_out(
    numbers: set[int], subscribed: set[int]
) -> None:
    uuids = " ".join(PM5[number] for number in numbers)
    plan = plan_for(KNOWN, device("ce060030-43e5-11e4-916c-0800200c9a66", uuids))
    assert plan.streams == {PM5[number] for number in subscribed}
