from collections.abc import Iterable

import pytest

from healthd.errors import DecodeError
from healthd.profiles.common.glucose_values import later
from healthd.profiles.common.racp import decode_record_access
from healthd.profiles.dialogue import ExchangeRefused
from healthd.profiles.glucose import PROFILE, GlucoseState, decode_glucose, fetch_records
from healthd.profiles.glucose.context import decode_glucose_context
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.records import Records
from healthd.samples import Measurement, Record

NOON = "e407030e0c0000"


def result(number: int, mg_per_dl: int = 100) -> Measurement:
    """Return a result of capillary plasma from the finger at 13:00, with a context to follow."""
    amount = (0xB000 | mg_per_dl).to_bytes(2, "little").hex()
    head = f"13{number.to_bytes(2, 'little').hex()}{NOON}"
    return decode_glucose(bytes.fromhex(f"{head}3c00{amount}12"))


def fasting(number: int) -> Measurement:
    return decode_glucose_context(b"\x02" + number.to_bytes(2, "little") + b"\x03")


def published(found: Iterable[Timed], mono_ns: int) -> Measurement:
    (timed,) = found
    assert timed.mono_ns == mono_ns
    return timed.measurement


def test_a_live_result_is_published_at_once_and_unchanged() -> None:
    measurement = result(7)
    assert published(GlucoseState(Options()).take(measurement, 5), 5) is measurement


def test_a_context_is_joined_with_its_result() -> None:
    state = GlucoseState(Options())
    list(state.take(result(7), 1))
    context = published(state.take(fasting(7), 2), 2)
    assert context.fields() == {
        "sequence_number": 7,
        "device_time": "2020-03-14T13:00:00",
        "base_time": "2020-03-14T12:00:00",
        "time_offset_s": 3600,
        "glucose_mmol_per_l": 5.55,
        "sample_type": "capillary_plasma",
        "sample_location": "finger",
        "meal": "fasting",
    }


def test_only_fields_of_the_result_are_added() -> None:
    state = GlucoseState(Options())
    list(state.take(decode_glucose(bytes.fromhex(f"080700{NOON}0200")), 1))
    assert published(state.take(fasting(7), 2), 2).fields() == {
        "sequence_number": 7,
        "device_time": "2020-03-14T12:00:00",
        "base_time": "2020-03-14T12:00:00",
        "status": ["sensor_malfunction"],
        "meal": "fasting",
    }


def test_a_cut_context_is_still_marked() -> None:
    state = GlucoseState(Options())
    list(state.take(result(7), 1))
    context = decode_glucose_context(bytes.fromhex("420700033d"))
    fields = published(state.take(context, 2), 2).fields()
    assert fields["truncated"] is True
    assert "glucose_mmol_per_l" in fields


@pytest.mark.parametrize("before", [[], [8]])
def test_a_context_without_its_result_is_published_alone(before: list[int]) -> None:
    state = GlucoseState(Options())
    for number in before:
        list(state.take(result(number), 1))
    assert published(state.take(fasting(7), 2), 2).fields() == fasting(7).fields()


def test_contexts_after_all_results_find_theirs() -> None:
    state = GlucoseState(Options())
    for number in range(1000):
        list(state.take(result(number, 40 + number), 1))
    for number in range(1000):
        fields = published(state.take(fasting(number), 2), 2).fields()
        assert fields["glucose_mmol_per_l"] == round((40 + number) / 18.0156, 2)


def test_a_repeated_result_replaces_the_first() -> None:
    state = GlucoseState(Options())
    list(state.take(result(7, 100), 1))
    list(state.take(result(7, 200), 2))
    fields = published(state.take(fasting(7), 3), 3).fields()
    assert fields["glucose_mmol_per_l"] == 11.1


def test_memory_is_bounded_and_drops_the_oldest() -> None:
    state = GlucoseState(Options())
    list(state.take(result(0), 1))
    list(state.take(result(1), 1))
    list(state.take(result(0), 1))
    for number in range(2, 1025):
        list(state.take(result(number), 1))
    assert "glucose_mmol_per_l" not in published(state.take(fasting(1), 2), 2).fields()
    assert "glucose_mmol_per_l" in published(state.take(fasting(0), 2), 2).fields()
    assert "glucose_mmol_per_l" in published(state.take(fasting(1024), 2), 2).fields()


def test_a_new_link_starts_without_results() -> None:
    assert PROFILE.state is not None
    list(PROFILE.state(Options()).take(result(7), 1))
    again = PROFILE.state(Options())
    assert published(again.take(fasting(7), 2), 2).fields() == fasting(7).fields()


@pytest.mark.parametrize("message", ["0101", "06000101", "05000c00"])
def test_control_point_is_not_published(message: str) -> None:
    assert not list(GlucoseState(Options()).take(decode_record_access(bytes.fromhex(message)), 1))


@pytest.mark.parametrize("answer", ["06000101", "06000106"])
def test_the_opening_asks_for_all_records_if_none_is_known(answer: str) -> None:
    exchange = fetch_records(Options())
    assert next(exchange) == b"\x01\x01"
    with pytest.raises(StopIteration):
        exchange.send(bytes.fromhex(answer))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("06000102", ExchangeRefused),
        ("06000108", ExchangeRefused),
        ("", DecodeError),
        ("ff", DecodeError),
    ],
)
def test_the_opening_reports_an_incomplete_transfer(answer: str, error: type[Exception]) -> None:
    exchange = fetch_records(Options())
    next(exchange)
    with pytest.raises(error):
        exchange.send(bytes.fromhex(answer))


def test_results_are_identified_by_number_and_time_and_requested_from_the_last_one_on() -> None:
    records = Records()
    state, exchange = (
        GlucoseState(Options(records=records)),
        fetch_records(Options(records=records)),
    )
    state.take(decode_record_access(next(exchange)), 1)
    stored = [timed for each in (7, 8) for timed in state.take(result(each), each)]
    stored += state.take(fasting(8), 9)
    stored += state.take(decode_record_access(b"\x06\x00\x01\x01"), 10)
    assert [(timed.mono_ns, timed.stored) for timed in stored] == [
        (7, True),
        (8, False),
        (9, False),
    ]
    noon = "2020-03-14-12-00-00"
    assert [timed.record for timed in stored] == [
        Record("", 7, noon),
        Record("", 8, noon),
        Record("", 8, noon),
    ]
    assert all(
        timed.record is not None and records.add_if_new(timed.measurement.kind, timed.record)
        for timed in stored
    )
    with pytest.raises(StopIteration):
        exchange.send(b"\x06\x00\x01\x01")
    assert next(fetch_records(Options(records=records))) == b"\x01\x03\x01\x08\x00"


def test_a_link_that_ends_during_a_transfer_releases_the_newest_result() -> None:
    state = GlucoseState(Options())
    state.take(decode_record_access(b"\x01\x01"), 1)
    assert not list(state.take(result(7), 2))
    assert [timed.mono_ns for timed in state.end()] == [2]


def test_the_opening_uses_the_control_point_of_the_profile() -> None:
    assert PROFILE.opening is not None
    assert PROFILE.opening.control in {each.uuid for each in PROFILE.characteristics}


def test_later() -> None:
    assert later("2020-02-28T23:59:30", 86_400) == "2020-02-29T23:59:30"
    assert later("2020-03-01T00:00:00", -60) == "2020-02-29T23:59:00"
    assert later("0001-01-01T00:00:00", -60) is None
    assert later("9999-12-31T23:59:59", 1) is None
    assert later(None, 60) is None


def test_an_incomplete_time_is_kept_without_the_offset() -> None:
    """A meter whose clock was never set: year 0."""
    fields = decode_glucose(bytes.fromhex("01050000000000173b003c00")).fields()
    assert fields == {
        "sequence_number": 5,
        "device_time": None,
        "base_time": "XXXX-XX-XXT23:59:00",
        "time_offset_s": 3600,
        "context_follows": False,
    }
