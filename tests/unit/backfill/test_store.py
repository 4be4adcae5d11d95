"""Sums of hours, which outlive repeats, kills and restarts."""

import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from healthd.backfill.hours import Aggregate, Values
from healthd.backfill.reading import Reading
from healthd.backfill.series import Series
from healthd.backfill.store import Store, Target
from healthd.errors import Fatal, FileUnavailable
from healthd.mqtt.topics import Place

HOUR = 1_796_032_800
LATER = HOUR + 3600
RATE = Series("strap", "heart_rate", "heart_rate_bpm")
OWN = "healthd:gw_strap_heart_rate_bpm"


def reading(
    seq: int, value: float, at: float = HOUR, run: str = "a", series: Series = RATE
) -> Reading:
    place = Place("gw", series.peripheral, series.stream, history=True)
    return Reading(place, run, seq, at, {series: value})


def opened(folder: Path) -> Store:
    return Store(folder / "hass-backfill.sqlite3", "gw")


def add(store: Store, *readings: Reading) -> int:
    return store.add(readings, durable=True)


def due(store: Store, until: int = LATER) -> dict[str, dict[int, Aggregate]]:
    return {target.name: store.due(target, until) for target in store.targets(until)}


def target(store: Store, name: str = OWN) -> Target:
    (found,) = (one for one in store.targets(LATER) if one.name == name)
    return found


def test_samples_of_an_hour_are_summed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert add(store, reading(1, 70), reading(2, 60), reading(3, 90, LATER)) == 3
    assert due(store) == {OWN: {HOUR: Aggregate(2, 130, 60, 70), LATER: Aggregate(1, 90, 90, 90)}}
    assert due(store, HOUR) == {OWN: {HOUR: Aggregate(2, 130, 60, 70)}}
    assert due(store, HOUR - 3600) == {}


def test_a_repeated_sample_counts_once_in_any_order_and_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    random_order = random.Random(5)
    samples = [reading(seq, seq) for seq in range(1, 201)]
    random_order.shuffle(samples)
    assert sum(add(store, sample) for sample in samples[:120]) == 120
    store.close()
    store = opened(tmp_path)
    again = samples * 2
    random_order.shuffle(again)
    assert add(store, *again) == 80
    assert due(store) == {OWN: {HOUR: Aggregate(200, 20100, 1, 200)}}
    # Numbers without a hole are one range, however they came.
    with sqlite3.connect(tmp_path / "copy") as copy:
        store._db.backup(copy)  # pyright: ignore[reportPrivateUsage]
        assert copy.execute("SELECT run, first, last FROM seen").fetchall() == [("a", 1, 200)]


def test_numbers_are_those_of_a_run_and_a_stream(tmp_path: Path) -> None:
    store = opened(tmp_path)
    other = Series("strap", "heart_rate_variability", "rmssd_ms")
    samples = (reading(1, 70), reading(1, 72, run="b"), reading(1, 40, series=other))
    assert add(store, *samples) == 3
    assert add(store, *samples) == 0


def test_an_imported_hour_is_due_again_only_with_another_sample(tmp_path: Path) -> None:
    store = opened(tmp_path)
    add(store, reading(1, 70))
    hours, values = due(store)[OWN], Values(70, 70, 70)
    store.note_sent(target(store), {HOUR: values})
    assert store.sent(target(store), hours) == {HOUR: [values]}
    store.settle(target(store), hours, {HOUR: values})
    assert due(store) == {}
    assert add(store, reading(1, 70)) == 0
    assert due(store) == {}
    add(store, reading(2, 80))
    assert due(store) == {OWN: {HOUR: Aggregate(2, 150, 70, 80)}}
    assert store.sent(target(store), hours) == {HOUR: [values]}


def test_a_sample_that_arrives_during_an_import_keeps_the_hour_due(tmp_path: Path) -> None:
    store = opened(tmp_path)
    add(store, reading(1, 70))
    hours = due(store)[OWN]
    add(store, reading(2, 80))
    store.settle(target(store), hours, {HOUR: Values(70, 70, 70)})
    assert due(store) == {OWN: {HOUR: Aggregate(2, 150, 70, 80)}}


def test_of_several_values_that_were_sent_the_stored_one_is_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    add(store, reading(1, 70))
    hours = due(store)[OWN]
    first, second = Values(70, 70, 70), Values(75, 70, 80)
    strap = target(store)
    store.note_sent(strap, {HOUR: first})
    store.note_sent(strap, {HOUR: second})
    store.settle(strap, hours, {HOUR: second})
    assert store.sent(strap, hours) == {HOUR: [second]}


def test_entities_get_all_hours_and_only_while_they_are_asked_for(tmp_path: Path) -> None:
    store = opened(tmp_path)
    add(store, reading(1, 70))
    store.settle(target(store), due(store)[OWN], {})
    store.set_entities({"sensor.rate": RATE})
    assert due(store) == {"sensor.rate": {HOUR: Aggregate(1, 70, 70, 70)}}
    entity = target(store, "sensor.rate")
    store.settle(entity, due(store)["sensor.rate"], {})
    store.set_entities({"sensor.rate": RATE})
    assert due(store) == {}
    add(store, reading(2, 80))
    assert set(due(store)) == {OWN, "sensor.rate"}
    store.set_entities({})
    assert set(due(store)) == {OWN}
    add(store, reading(3, 80))
    assert set(due(store)) == {OWN}


def test_two_peripherals_with_the_same_statistic_id_are_not_mixed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    twins = [RATE._replace(peripheral="a-b"), RATE._replace(peripheral="a_b")]
    for series in twins:
        add(store, reading(1, 70, series=series))
    add(store, reading(2, 90, series=twins[1]))
    assert due(store) == {"healthd:gw_a_b_heart_rate_bpm": {HOUR: Aggregate(1, 70, 70, 70)}}


def test_many_hours_come_in_parts_of_a_month(tmp_path: Path) -> None:
    store = opened(tmp_path)
    year = range(HOUR, HOUR + 1000 * 3600, 3600)
    add(store, *(reading(seq, 70, hour) for seq, hour in enumerate(year, 1)))
    until = year[-1]
    parts: list[int] = []
    while hours := store.due(store.targets(until)[0], until) if store.targets(until) else {}:
        parts.append(len(hours))
        store.settle(store.targets(until)[0], hours, {})
    assert parts == [720, 280]


def test_nothing_of_a_transaction_remains_if_it_fails(tmp_path: Path) -> None:
    store = opened(tmp_path)

    def broken() -> Iterable[Reading]:
        yield reading(1, 70)
        raise OSError("gone")

    with pytest.raises(FileUnavailable):
        store.add(broken(), durable=True)
    assert due(store) == {}
    assert add(store, reading(1, 70)) == 1
    assert due(store) == {OWN: {HOUR: Aggregate(1, 70, 70, 70)}}


def test_samples_that_stay_missing_are_counted_once(tmp_path: Path) -> None:
    store = opened(tmp_path)
    add(store, reading(7, 70), reading(8, 70), reading(11, 70), reading(1, 70, run="b"))
    # What was before the first one of a run is not known; 9 and 10 may be late.
    assert store.missing(1000, 3600) == {}
    add(store, reading(20, 70))
    assert store.missing(2000, 3600) == {}
    add(store, reading(15, 70))
    assert store.missing(4599, 3600) == {}
    assert store.missing(4600, 3600) == {("strap", "heart_rate"): 2}
    store.close()
    store = opened(tmp_path)
    assert store.missing(5000, 3600) == {}
    add(store, *(reading(seq, 70) for seq in (9, 10, 12, 13, 14)))
    # 16 to 19 were noticed at 4599, when 15 arrived.
    assert store.missing(8199, 3600) == {("strap", "heart_rate"): 4}
    assert store.missing(99999, 3600) == {}


def test_sessions_are_remembered(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert not store.note_session("broker live")
    store.close()
    store = opened(tmp_path)
    assert store.note_session("broker live")
    assert not store.note_session("broker history")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    store = opened(tmp_path)
    add(store, reading(1, 70))
    with pytest.raises(Fatal, match="another healthd hass-backfill uses it"):
        opened(tmp_path)
    store.close()
    opened(tmp_path).close()


def test_no_other_user_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    add(opened(folder), reading(1, 70))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "hass-backfill.sqlite3"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Fatal, match="a newer version"):
        opened(tmp_path)


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "hass-backfill.sqlite3"
    file.write_bytes(b"no database" * 1000)
    store = opened(tmp_path)
    assert add(store, reading(1, 70)) == 1
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes().startswith(b"no database")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileUnavailable, match="file"):
        opened(tmp_path / "file")
