"""The keys and topics of the gateway's own events."""

from typing import Any

import pytest
from pydantic import ValidationError

from healthd.events import AdapterEvent, ClockEvent, ControlEvent, Gap, LinkEvent, OutboxEvent
from healthd.samples import Measurement

AROUND: dict[str, Any] = {
    "peripheral": "strap",
    "stream": "heart_rate",
    "reason": "link_lost",
    "first": "2026-11-24T02:03:31.000000Z",
    "last": "2026-11-24T02:03:32.000000Z",
    "run": "7f3a1c0e",
}


def test_a_gap_has_numbers_only_if_they_are_known() -> None:
    assert Gap.model_validate(AROUND).fields() == AROUND
    numbers = {"first_seq": 3, "last_seq": 9, "count": 6}
    assert Gap.model_validate(AROUND | numbers).fields() == AROUND | numbers


@pytest.mark.parametrize("key", AROUND)
def test_a_gap_needs_all_other_keys(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Gap.model_validate({name: value for name, value in AROUND.items() if name != key})


@pytest.mark.parametrize("key", ["first_seq", "last_seq", "count"])
def test_numbers_count_from_one(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Gap.model_validate(AROUND | {key: 0})


@pytest.mark.parametrize(
    "change", ["corrupt", "deleted", "degraded", "recovered", "parked", "unparked"]
)
def test_the_changes_of_the_outbox(change: Any) -> None:
    event = OutboxEvent(change=change, detail="why")
    assert event.fields() == {"change": change, "detail": "why"}


@pytest.mark.parametrize("model", [OutboxEvent, ClockEvent, LinkEvent, AdapterEvent, ControlEvent])
def test_an_undocumented_change_is_refused(model: type[Measurement]) -> None:
    with pytest.raises(ValidationError, match="change"):
        model.model_validate({"change": "exploded"})


def test_a_step_of_the_clock_has_a_direction_and_a_unit() -> None:
    assert ClockEvent(change="step", step_s=-1.5).fields() == {"change": "step", "step_s": -1.5}
    assert ClockEvent.model_json_schema()["properties"]["step_s"]["unit"] == "s"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (Gap, "gap"),
        (OutboxEvent, "outbox"),
        (ClockEvent, "clock"),
        (LinkEvent, "link"),
        (AdapterEvent, "adapter"),
        (ControlEvent, "control"),
    ],
)
def test_the_kind_is_the_last_level_of_the_topic(model: type[Measurement], kind: str) -> None:
    assert model.kind == kind
    # A late subscriber must not take an old event for a new one.
    assert not model.retained
