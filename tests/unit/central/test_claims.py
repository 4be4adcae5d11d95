"""Which peripheral has which device when peripherals are added, changed and removed."""

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.claims import Claims
from healthd.central.link import Advertisement
from healthd.central.match import By, Match

VAGUE = Match("any", By.SERVICE, "180d")
NAMED = Match("polar", By.NAME, "Polar*")
EXACT = Match("strap", By.ADDRESS, "C0:00:00:00:00:01")


def device(number: int) -> Advertisement:
    address = f"C0:00:00:00:00:{number:02X}"
    name = f"Polar {number}"
    handle = BLEDevice(address, name, details=None)
    return Advertisement(address, name, frozenset({"180d"}), -50, handle)


@pytest.fixture
def claims() -> Claims:
    claims = Claims()
    claims.add(VAGUE)
    claims.claim(VAGUE, device(1))
    return claims


def test_a_better_description_gets_the_device_of_a_vaguer_one(claims: Claims) -> None:
    assert claims.add(EXACT) == [device(1)]
    assert claims.is_contested(VAGUE)
    claims.release(VAGUE)
    assert not claims.is_contested(VAGUE)
    assert claims.claimant(device(1), [VAGUE]) is None
    assert claims.claimant(device(1), [VAGUE, EXACT]) == EXACT


@pytest.mark.parametrize("other", [VAGUE, Match("more", By.SERVICE, "180d")])
def test_a_description_that_is_not_better_gets_no_device(claims: Claims, other: Match) -> None:
    assert claims.add(other) == []
    assert not claims.is_contested(VAGUE)


def test_a_peripheral_that_is_recognised_as_before_gets_no_second_device(claims: Claims) -> None:
    claims.release(VAGUE)
    claims.add(NAMED)
    claims.claim(NAMED, device(2))
    claims.claim(VAGUE, device(1))
    # Its own link is about to end, and the device of the other peripheral fits it, too.
    assert claims.add(Match("polar", By.NAME, "Polar*", periodic=True)) == []


def test_a_peripheral_with_a_changed_description_gets_a_new_device(claims: Claims) -> None:
    claims.add(Match("strap", By.ADDRESS, "C0:00:00:00:00:09"))
    assert claims.add(EXACT) == [device(1)]


def test_a_peripheral_does_not_contest_its_own_device(claims: Claims) -> None:
    assert claims.add(Match("any", By.ADDRESS, "C0:00:00:00:00:01")) == []


def test_a_claimed_device_is_held_until_it_is_released(claims: Claims) -> None:
    assert claims.is_claimed(device(1).address)
    assert not claims.is_claimed(device(2).address)
    claims.add(NAMED)
    claims.claim(NAMED, device(2))
    assert [claims.holder(device(1)), claims.holder(device(2))] == [VAGUE, NAMED]
    claims.release(VAGUE)
    assert not claims.is_claimed(device(1).address)
    assert claims.holder(device(2)) == NAMED


def test_releasing_a_search_that_found_nothing_changes_nothing(claims: Claims) -> None:
    claims.add(NAMED)
    claims.release(NAMED)
    assert not claims.is_claimed(device(2).address)
    assert claims.holder(device(1)) == VAGUE


def test_a_device_reserved_for_a_removed_peripheral_is_free(claims: Claims) -> None:
    claims.add(NAMED)
    assert claims.claimant(device(2), [VAGUE]) is None
    claims.remove("polar")
    assert claims.claimant(device(2), [VAGUE]) == VAGUE
    assert list(claims.matches) == [VAGUE]
