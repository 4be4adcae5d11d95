"""Which peripheral gets what a device advertises, and whose devices are refused."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.broadcast import Broadcasts
from healthd.central.faults import AdapterGone
from healthd.central.link import Advertisement
from healthd.central.match import By, Match
from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Broadcast, Use


def broadcast(key: str, first: int = 0x22) -> Broadcast:
    return Broadcast(
        uuid=key,
        model=Battery,
        decode=lambda data: Battery(level_pct=data[1]),
        use=Use.STREAM,
        keys=(key,),
        fits=lambda data: data[:1] == bytes([first]),
    )


SCALE = broadcast("service_data_181d")
DATA = {"service_data_181d": b"\x22\x01"}
MINE, OTHER, THIRD = (f"C0:00:00:00:00:{number:02X}" for number in (1, 2, 3))
# Resolvable private addresses begin with the bits 01.
PRIVATE = [f"4{number:X}:00:00:00:00:00" for number in range(16)]


def heard(
    address: str = MINE, name: str | None = "Scale", data: dict[str, bytes] | None = None
) -> Advertisement:
    device = BLEDevice(address, name, {"path": "/x", "props": {"AddressType": "random"}})
    return Advertisement(address, name, frozenset(), -60, device, DATA if data is None else data)


def by(kind: By, wanted: str, peripheral: str = "scale", *wants: Broadcast) -> Match:
    return Match(peripheral, kind, wanted, broadcasts=wants or (SCALE,))


BY_ADDRESS, BY_NAME = by(By.ADDRESS, MINE), by(By.NAME, "Sc*")
BY_SERVICE = by(By.SERVICE, "", "any")


class Inbox:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.rivals: list[tuple[str, str]] = []
        self.losses: list[str] = []

    def on_broadcast(self, found: Advertisement) -> None:
        self.addresses.append(found.address)

    def on_rivals(self, addresses: tuple[str, str]) -> None:
        self.rivals.append(addresses)

    def on_lost(self, fault: AdapterGone) -> None:
        self.losses.append(fault.reason)


class Home:
    """Several peripherals that are listened to."""

    def __init__(self, blocks: ExitStack) -> None:
        self.broadcasts = Broadcasts()
        self._blocks = blocks
        self.linked: list[Match] = []
        self.claimed: set[str] = set()

    def listen(self, match: Match) -> Inbox:
        inbox = Inbox()
        self._blocks.enter_context(self.broadcasts.receiving(match, inbox))
        return inbox

    def hear(self, *all_heard: Advertisement) -> None:
        for found in all_heard:
            others = (*self.broadcasts.matches, *self.linked)
            claimed = found.address in self.claimed
            self.broadcasts.hand_out(found, others, claimed=claimed)


@pytest.fixture
def home() -> Iterator[Home]:
    with ExitStack() as blocks:
        yield Home(blocks)


@pytest.mark.parametrize("match", [BY_ADDRESS, BY_NAME, BY_SERVICE], ids=lambda match: match.by)
def test_a_peripheral_gets_all_that_its_device_advertises(home: Home, match: Match) -> None:
    inbox = home.listen(match)
    home.hear(heard(), heard())
    assert (inbox.addresses, inbox.rivals) == ([MINE, MINE], [])


@pytest.mark.parametrize("match", [BY_ADDRESS, BY_NAME, BY_SERVICE], ids=lambda match: match.by)
def test_what_is_not_wanted_is_left_out_and_makes_no_rival(home: Home, match: Match) -> None:
    inbox = home.listen(match)
    home.hear(
        heard(OTHER, data={}),
        heard(OTHER, data={"service_data_181b": b"\x22"}),
        heard(OTHER, data={"service_data_181d": b"\x23"}),  # another kind of device
        heard(OTHER, data={"service_data_181d": b""}),
        heard(),
    )
    assert (inbox.addresses, inbox.rivals) == ([MINE], [])


def test_an_address_has_no_rivals(home: Home) -> None:
    inbox = home.listen(BY_ADDRESS)
    home.hear(heard(OTHER), heard(), heard(OTHER), heard())
    assert (inbox.addresses, inbox.rivals) == ([MINE, MINE], [])


@pytest.mark.parametrize("match", [BY_NAME, BY_SERVICE], ids=lambda match: match.by)
def test_two_devices_that_match_are_both_refused(home: Home, match: Match) -> None:
    inbox = home.listen(match)
    home.hear(heard(), heard(OTHER), heard(), heard(OTHER), heard(THIRD))
    assert inbox.addresses == [MINE], "the second device shows that the first may be wrong, too"
    assert inbox.rivals == [(MINE, OTHER)]


def test_a_name_that_arrives_later_may_make_a_rival(home: Home) -> None:
    inbox = home.listen(BY_NAME)
    home.hear(heard(), heard(OTHER, name=None), heard(OTHER, name="Scale"))
    assert inbox.rivals == [(MINE, OTHER)]


def test_the_device_of_another_address_is_no_rival(home: Home) -> None:
    by_name, by_address = home.listen(BY_NAME), home.listen(by(By.ADDRESS, OTHER, "other"))
    by_service = home.listen(BY_SERVICE)
    home.hear(heard(), heard(OTHER), heard())
    assert (by_name.addresses, by_address.addresses) == ([MINE, MINE], [OTHER])
    assert by_service.addresses == [], "both devices are described better elsewhere"
    assert by_name.rivals == by_service.rivals == []


def test_the_device_of_a_peripheral_that_is_linked_is_no_rival(home: Home) -> None:
    inbox = home.listen(BY_SERVICE)
    home.linked.append(Match("cuff", By.NAME, "Cuff*"))
    home.claimed.add(THIRD)
    home.hear(heard(), heard(OTHER, "Cuff 7"), heard(THIRD), heard())
    assert (inbox.addresses, inbox.rivals) == ([MINE, MINE], [])


def test_equal_descriptions_get_the_same_device(home: Home) -> None:
    weights = home.listen(BY_SERVICE)
    body = broadcast("service_data_181b")
    bodies = home.listen(by(By.SERVICE, "", "bodies", body))
    both = {"service_data_181b": b"\x22", **DATA}
    home.hear(heard(), heard(data=both), heard(data={"service_data_181b": b"\x22"}))
    assert (len(weights.addresses), len(bodies.addresses)) == (2, 2)


def test_a_private_address_that_changes_is_no_rival(home: Home) -> None:
    inbox = home.listen(BY_NAME)
    home.hear(*(heard(address) for address in PRIVATE for _ in range(2)))
    assert inbox.addresses == [address for address in PRIVATE for _ in range(2)]
    assert not inbox.rivals


def test_an_old_private_address_that_is_heard_again_is_a_rival(home: Home) -> None:
    inbox = home.listen(BY_NAME)
    home.hear(heard(PRIVATE[0]), heard(PRIVATE[1]), heard(PRIVATE[0]), heard(PRIVATE[1]))
    assert inbox.rivals == [(PRIVATE[1], PRIVATE[0])]
    assert inbox.addresses == PRIVATE[:2]


def test_a_private_and_a_fixed_address_are_two_devices(home: Home) -> None:
    inbox = home.listen(BY_NAME)
    home.hear(heard(MINE), heard(PRIVATE[0]))
    assert inbox.rivals == [(MINE, PRIVATE[0])]


def test_rivals_are_forgotten_with_the_block() -> None:
    broadcasts, inbox = Broadcasts(), Inbox()
    for _ in range(2):
        with broadcasts.receiving(BY_NAME, inbox):
            for address in (MINE, OTHER, MINE):
                broadcasts.hand_out(heard(address), [], claimed=False)
    assert inbox.addresses == [MINE, MINE]
    assert inbox.rivals == [(MINE, OTHER)] * 2
    broadcasts.hand_out(heard(), [], claimed=False)
    assert (broadcasts.matches, len(inbox.addresses)) == ((), 2)


def test_all_who_listen_learn_that_the_adapter_is_gone(home: Home) -> None:
    inboxes = [home.listen(BY_NAME), home.listen(BY_ADDRESS)]
    home.broadcasts.lose(AdapterGone("adapter_off", "off"))
    assert [inbox.losses for inbox in inboxes] == [["adapter_off"]] * 2


def test_a_device_is_remembered_until_its_peripheral_is_removed_or_changed() -> None:
    broadcasts, inbox = Broadcasts(), Inbox()

    def hear(match: Match, address: str) -> None:
        with broadcasts.receiving(match, inbox):
            broadcasts.hand_out(heard(address), (match,), claimed=False)

    hear(BY_NAME, MINE)
    hear(BY_NAME, OTHER)
    assert inbox.rivals == [(MINE, OTHER)]
    hear(by(By.NAME, "Scal*"), OTHER)
    broadcasts.forget("scale")
    hear(by(By.NAME, "Scal*"), MINE)
    assert inbox.addresses == [MINE, OTHER, MINE]
    assert len(inbox.rivals) == 1
