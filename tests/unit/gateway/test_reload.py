"""What differs between settings, and what a running daemon can apply without a restart."""

import asyncio
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from healthd.central.radio import Radio
from healthd.errors import Fatal
from healthd.gateway.peripherals import Difference, difference
from healthd.gateway.pipeline import Pipeline
from healthd.gateway.reload import Reload, Source, in_place
from healthd.gateway.sessions import Peripheral, SessionFactory
from healthd.host.clock import Clock
from healthd.mqtt.devices import Devices
from healthd.mqtt.topics import Topics
from healthd.outbox.outbox import Outbox
from healthd.profiles import registry
from healthd.runs import Run
from healthd.sessions.schedule_file import ScheduleFile
from healthd.settings.keys import Keys
from healthd.settings.model import PeripheralSettings, Settings
from healthd.settings.problems import Problem, SettingsError
from healthd.supervision.notify import Manager

REGISTRY = registry.load()
NO_MANAGER = Manager({})


class _Outbox:
    """An outbox without records."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}

    def put(self, *_: object) -> None: ...

    def update_records(self, *_: object) -> None: ...


Prepare = Callable[..., dict[str, Peripheral]]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepare entries as the daemon does at each reload."""
    run, nothing = Run(Clock(tmp_path), {}), cast(Any, object())
    devices = Devices(Topics("healthd", "home"), lambda _topic, _payload: None)
    pipeline = Pipeline(run, cast(Outbox, _Outbox()), devices, REGISTRY)
    file, keys, zone = ScheduleFile(tmp_path), Keys(tmp_path), lambda: UTC
    sessions = SessionFactory(cast(Radio, nothing), REGISTRY, pipeline, run, file, keys, zone)

    def prepared(**entries: dict[str, Any]) -> dict[str, Peripheral]:
        valid = [PeripheralSettings.model_validate({"id": k, **v}) for k, v in entries.items()]
        return {one.id: sessions.prepare(one) for one in valid}

    return prepared


STRAP, SCALE, CUFF = {"name": "Strap"}, {"name": "Scale"}, {"name": "Cuff"}


def test_what_was_added_changed_and_removed(prepare: Prepare) -> None:
    before = prepare(strap=STRAP, scale=SCALE, cuff=CUFF)
    after = prepare(meter={"name": "Meter"}, cuff=CUFF, scale={**SCALE, "every": "15min"})
    assert difference(before, after) == Difference(
        added=["meter"], changed=["scale"], removed=["strap"], unchanged=["cuff"]
    )


def test_another_order_and_explicit_defaults_are_not_a_change(
    prepare: Prepare,
) -> None:
    before = prepare(strap=STRAP, scale=SCALE)
    after = prepare(scale={**SCALE, "pair": False, "rearm": "5min"}, strap=STRAP)
    assert difference(before, after).unchanged == ["scale", "strap"]


@pytest.mark.parametrize(
    "other",
    [
        {"address": "C0:00:00:00:00:01"},
        {"service": "weight_scale"},
        {"name": "Scale*"},
        *(
            {**SCALE, **more}
            for more in (
                {"silence": "30s"},
                {"every": "15min"},
                {"every": "15min", "window": "10s"},
                {"every": "08:00"},
                {"on": "advertising"},
                {"on": "advertising", "rearm": "10min"},
                {"wheel_circumference": 2.0},
                {"pmd": ["ecg"]},
                {"sample_interval": "0.25s"},
                {"hrv": "5min"},
                {"heart_rate_zones": [100]},
                {"pair": True},
                {"set_clock": False},
            )
        ),
    ],
    ids=str,
)
def test_every_key_counts(prepare: Prepare, other: dict[str, Any]) -> None:
    assert difference(prepare(scale=SCALE), prepare(scale=other)).changed == ["scale"]


@pytest.mark.parametrize(
    ("key", "digits", "others"),
    [("passkey_file", "000042", "000043"), ("consent_file", "0042", "0043")],
)
def test_the_content_of_a_file_that_an_entry_names_counts(
    prepare: Prepare, tmp_path: Path, key: str, digits: str, others: str
) -> None:
    file = tmp_path / "code"
    entry = {**SCALE, key: file} | ({"user": 1} if key == "consent_file" else {})
    file.write_text(digits)
    before = prepare(scale=entry)
    file.write_text(f"{digits}\n")
    assert difference(before, prepare(scale=entry)).unchanged == ["scale"]
    file.write_text(others)
    assert difference(before, prepare(scale=entry)).changed == ["scale"]


def test_a_changed_peripheral_keeps_its_known_records(prepare: Prepare) -> None:
    before, after = prepare(scale=SCALE)["scale"], prepare(scale={"name": "Meter"})["scale"]
    assert after.options.records is before.options.records


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"gateway": {"id": "home"}, **sections})


def test_keys_that_need_a_restart_keep_their_value_and_are_named() -> None:
    running = settings(mqtt={"prefix": "a", "brokers": ["one"]}, outbox={"max_size": "4MB"})
    read = Settings.model_validate(
        {
            "gateway": {"id": "away"},
            "mqtt": {
                "prefix": "b",
                "brokers": ["two"],
                "requests": ["scan"],
                "version": "3.1.1",
                "retain": False,
            },
            "bluetooth": {"adapter": "hci1", "slots": 7},
            "log": {"level": "debug"},
            "peripherals": [{"id": "strap", "name": "Strap"}],
        }
    )
    applied, keys = in_place(running, read)
    assert keys == [
        *("bluetooth.adapter", "bluetooth.slots", "gateway.id"),
        *("mqtt.prefix", "outbox.max_size"),
    ]
    assert (applied.gateway, applied.bluetooth, applied.outbox) == (
        *(running.gateway, running.bluetooth, running.outbox),
    )
    assert applied.mqtt == running.mqtt.model_copy(
        update={
            "brokers": read.mqtt.brokers,
            "version": "3.1.1",
            "requests": ("scan",),
            "retain": False,
        }
    )
    assert (applied.log, applied.peripherals) == (read.log, read.peripherals)
    # They are named again at the next reload, and no longer once they have their old value.
    assert in_place(applied, read) == (applied, keys)
    assert in_place(applied, applied) == (applied, [])


PROBLEMS = [Problem("f", "log.level", "'loud'", "a level"), Problem("f", "x", "1", "text")]


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (SettingsError(PROBLEMS), ["bad setting", "bad setting", "not reloaded"]),
        (Fatal("mqtt.password_file: gone"), ["bad settings", "not reloaded"]),
        (KeyError("a bug"), ["crashed"]),
    ],
    ids=["problems", "a file", "a bug"],
)
@pytest.mark.parametrize("in_apply", [False, True], ids=["read", "apply"])
async def test_an_error_is_logged_and_the_next_reload_works(
    error: Exception, events: list[str], in_apply: bool
) -> None:
    errors = [error]
    requested, done = asyncio.Event(), asyncio.Event()

    def may_fail() -> None:
        if errors:
            requested.set()
            raise errors.pop()

    def read() -> Settings:
        if not in_apply:
            may_fail()
        return settings()

    async def apply(_: Settings) -> Difference:
        if in_apply:
            may_fail()
        done.set()
        return Difference([], [], [], [])

    with capture_logs() as log:
        requested.set()
        reload = Reload(settings(), apply, NO_MANAGER)
        reloading = asyncio.create_task(reload.run(Source(requested, read)))
        async with asyncio.timeout(10):
            await done.wait()
        reloading.cancel()
        await asyncio.wait([reloading])
    assert [line["event"] for line in log] == [*events, "reloaded"]
