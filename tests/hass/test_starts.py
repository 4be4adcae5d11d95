"""Home Assistant shows all devices in the same way, in whatever order the programs start."""

import pytest

from tests.hass import verdict
from tests.hass.settings import MODELS
from tests.hass.starts import Start

# The first test waits for all starts.
pytestmark = pytest.mark.timeout(1200)


def test_all_devices_and_the_gateway_are_there(starts: list[Start]) -> None:
    for start in starts:
        assert len(start.snapshot.devices) == len(MODELS) + 1


def test_no_entity_is_missing(starts: list[Start]) -> None:
    assert [verdict.missing(start.snapshot) for start in starts] == [[]] * len(starts)
    assert [start.snapshot.unannounced for start in starts] == [[]] * len(starts)


def test_no_entity_stays_unknown(starts: list[Start]) -> None:
    assert [verdict.unknown(start.snapshot) for start in starts] == [[]] * len(starts)


def test_home_assistant_logs_no_warning(starts: list[Start]) -> None:
    assert [start.warnings for start in starts] == [[]] * len(starts)


def test_the_gateway_logs_no_warning(starts: list[Start]) -> None:
    assert [start.problems for start in starts] == [[]] * len(starts)


def test_entity_ids_are_equal_in_all_starts(starts: list[Start]) -> None:
    first, *others = (start.snapshot.ids for start in starts)
    assert [other.items() ^ first.items() for other in others] == [set()] * len(others)


def test_each_entity_has_the_id_that_was_announced(starts: list[Start]) -> None:
    assert [verdict.wrong_ids(start.snapshot) for start in starts] == [[]] * len(starts)


def test_states_are_what_was_published(starts: list[Start]) -> None:
    assert [verdict.wrong_values(start.snapshot) for start in starts] == [[]] * len(starts)


def test_no_state_has_more_digits_than_a_device_measures(starts: list[Start]) -> None:
    assert [verdict.long_numbers(start.snapshot) for start in starts] == [[]] * len(starts)


def test_words_are_options(starts: list[Start]) -> None:
    assert [verdict.wrong_options(start.snapshot) for start in starts] == [[]] * len(starts)
