"""The verdict finds what is wrong with an entity."""

from typing import Any

from tests.hass import verdict
from tests.hass.snapshot import Entity, Snapshot

CONFIG = {"p": "sensor", "name": "Heart rate", "def_ent_id": "sensor.strap_heart_rate"}
ROW = {"entity_id": "sensor.strap_heart_rate", "disabled_by": None}


def entity(**changes: Any) -> Entity:
    """Return an entity that is as it should be, but for these attributes."""
    state = {"state": changes.pop("value", "72.0"), "attributes": changes.pop("attributes", {})}
    config = {**CONFIG, **changes.pop("config", {})}
    well: dict[str, Any] = {"row": ROW, "state": state, "published": [71.0, 72.0]}
    return Entity(changes.pop("id", "rate"), "home_strap", config, **{**well, **changes})


def of(*entities: Entity) -> Snapshot:
    return Snapshot({one.id: one for one in entities}, [], {})


def test_nothing_is_wrong_with_an_entity_that_shows_what_was_published() -> None:
    well = of(entity())
    checks = (
        verdict.missing,
        verdict.unknown,
        verdict.wrong_ids,
        verdict.wrong_names,
        verdict.wrong_values,
        verdict.wrong_options,
        verdict.long_numbers,
    )
    assert [check(well) for check in checks] == [[]] * len(checks)


def test_an_entity_that_is_not_in_the_registry_is_missing() -> None:
    assert verdict.missing(of(entity(row=None, state=None))) == ["rate"]


def test_an_enabled_entity_without_a_state_is_missing_and_a_disabled_one_is_not() -> None:
    assert verdict.missing(of(entity(state=None))) == ["rate"]
    disabled = {**ROW, "disabled_by": "integration"}
    assert verdict.missing(of(entity(state=None, row=disabled))) == []


def test_an_entity_is_unknown_if_its_value_was_published_or_nothing_was() -> None:
    assert verdict.unknown(of(entity(value="unknown"))) == ["rate is unknown"]
    assert verdict.unknown(of(entity(value="unknown", published=[]))) == ["rate is unknown"]
    assert verdict.unknown(of(entity(value="unavailable", published=[None]))) != []


def test_an_entity_whose_device_has_no_value_may_be_unknown() -> None:
    without = of(entity(value="unknown", published=[72.0, None]))
    assert verdict.unknown(without) == []
    assert verdict.without_value(without) == ["rate"]


def test_a_button_is_unknown_until_it_is_pressed() -> None:
    button = {"p": "button"}
    assert verdict.unknown(of(entity(value="unknown", published=[], config=button))) == []
    assert verdict.unknown(of(entity(value="unavailable", published=[], config=button))) != []


def test_an_id_that_another_entity_had_taken_is_wrong() -> None:
    row = {**ROW, "entity_id": "sensor.strap_heart_rate_2"}
    assert len(verdict.wrong_ids(of(entity(row=row)))) == 1


def test_names_that_a_device_has_twice_or_that_repeat_a_word_are_wrong() -> None:
    assert len(verdict.wrong_names(of(entity(), entity(id="other")))) == 1
    assert len(verdict.wrong_names(of(entity(config={"name": "Glucose (glucose)"})))) == 1


def test_a_value_that_was_not_published_is_wrong() -> None:
    assert len(verdict.wrong_values(of(entity(value="73.0")))) == 1


def test_sixteen_digits_are_too_many() -> None:
    assert len(verdict.long_numbers(of(entity(value="8.147222222222222")))) == 1
    assert verdict.long_numbers(of(entity(value="51.1234567"))) == []


def test_a_word_has_to_be_an_option() -> None:
    word: dict[str, Any] = {"value": "manual", "published": ["manual"]}
    assert len(verdict.wrong_options(of(entity(**word)))) == 1
    assert len(verdict.wrong_options(of(entity(**word, attributes={"options": ["idle"]})))) == 1
    assert verdict.wrong_options(of(entity(**word, attributes={"options": ["manual"]}))) == []
