"""Which advertisements match which peripherals."""

import pytest
from bleak.backends.device import BLEDevice

from healthd.central.link import Advertisement
from healthd.central.match import By, Match

ADDRESS = "C0:00:00:00:00:01"


def heard(name: str | None = "Polar H10 1", *services: str) -> Advertisement:
    device = BLEDevice(ADDRESS, name, None)
    return Advertisement(ADDRESS, name, frozenset(services), -60, device)


def test_more_specific_kinds_come_first() -> None:
    assert By.ADDRESS < By.NAME < By.SERVICE


@pytest.mark.parametrize(("wanted", "fits"), [(ADDRESS, True), ("C0:00:00:00:00:02", False)])
def test_address(wanted: str, fits: bool) -> None:
    assert Match("strap", By.ADDRESS, wanted).fits(heard()) is fits


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("Polar H10*", "Polar H10 1", True),
        ("Polar H10*", "Polar H10", True),
        ("Polar H10", "Polar H10 1", False),
        ("Polar H?0 1", "Polar H10 1", True),
        ("Polar H?", "Polar H10", False),
        ("polar*", "Polar H10", False),
        ("*", "", True),
        ("*", None, False),
        ("[TV] Bedroom", "[TV] Bedroom", True),
        ("Strap [1-9]", "Strap 5", False),
        (r"\*", "*", True),
        (r"\*", "a", False),
        (r"Strap\?", "Strap?", True),
        (r"Strap\?", "Strap1", False),
        (r"a\\\*", r"a\*", True),
        (r"a\\*", "a\\b", True),
        (r"a\b*", r"a\b1", True),
        ("a]b", "a]b", True),
    ],
)
def test_name_with_stars_and_question_marks(pattern: str, name: str | None, fits: bool) -> None:
    assert Match("strap", By.NAME, pattern).fits(heard(name)) is fits


@pytest.mark.parametrize(
    ("services", "fits"), [(["180d", "180f"], True), (["180f"], False), ([], False)]
)
def test_service(services: list[str], fits: bool) -> None:
    assert Match("strap", By.SERVICE, "180d").fits(heard("x", *services)) is fits


@pytest.mark.parametrize(
    ("name", "services", "fits"),
    [
        ("O2Ring 0042", [], True),
        ("o2RING 0042", [], True),
        ("My O2Ring", [], False),
        (None, ["ff01"], True),
        (None, ["180f"], False),
        ("Strap", ["ff01"], True),
    ],
)
def test_service_that_some_devices_show_only_by_their_names(
    name: str | None, services: list[str], fits: bool
) -> None:
    match = Match("ring", By.SERVICE, "ff01", names=("o2ring*",))
    assert match.fits(heard(name, *services)) is fits


def test_a_name_that_other_devices_have_too_counts_only_without_their_services() -> None:
    match = Match("cuff", By.SERVICE, "ff01", names=("cuff*",), others=frozenset({"ff02"}))
    assert match.fits(heard("Cuff 1"))
    assert match.fits(heard("Cuff 1", "1810"))
    assert not match.fits(heard("Cuff 1", "1810", "ff02"))
    assert match.fits(heard("Cuff 1", "ff01", "ff02")), "it has both"


def test_the_names_of_a_profile_do_not_widen_a_more_specific_description() -> None:
    found = heard("O2Ring 0042")
    assert not Match("ring", By.NAME, "Strap", names=("o2ring*",)).fits(found)
    assert not Match("ring", By.ADDRESS, "C0:00:00:00:00:02", names=("o2ring*",)).fits(found)
