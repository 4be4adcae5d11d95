"""``healthd demo --replay`` and ``healthd run --replay``, each in a process of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from healthd.simulator.broker import EmbeddedBroker
from healthd.traffic import lines
from tests.end_to_end.simulated_gateway import toml
from tests.support.capture_writer import CaptureWriter
from tests.support.process import Healthd, call
from tests.support.subscriber import Subscriber

RATES = [*range(3, 41)]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    writer = CaptureWriter()
    writer.advertise(0.5)
    writer.connect(1)
    writer.read_battery(1.25)
    writer.subscribe(1.5)
    writer.beats(2, 40)
    writer.disconnect(40)
    file = tmp_path / "strap.jsonl"
    file.write_bytes(writer.data())
    return file


def rates(out: list[str], topic: str) -> list[float]:
    found = [json.loads(line.partition(" ")[2]) for line in out if line.startswith(f"{topic} ")]
    return [one["heart_rate_bpm"] for one in found]


async def demo(*arguments: str) -> tuple[int, list[str], list[dict[str, Any]]]:
    async with Healthd("demo", *arguments) as healthd:
        code = await healthd.ended()
    return code, healthd.out, healthd.log


async def test_all_output_is_the_same(capture: Path) -> None:
    first = await demo("--replay", str(capture), "--deterministic")
    second = await demo("--replay", str(capture), "--deterministic")
    assert first == second
    code, out, log = first
    assert code == 0
    topic = "healthd/demo/device/strap"
    assert rates(out, f"{topic}/heart_rate") == RATES
    assert any(line.startswith(f"{topic}/battery ") for line in out)
    assert out[-1] == "healthd/demo/status offline"
    assert log[0]["timestamp"] == "2026-11-24T12:00:00Z"
    assert log[-1]["event"] == "stopped"


async def test_a_fast_demo_ends_by_itself(capture: Path) -> None:
    code, out, _ = await demo("--replay", str(capture), "--speed", "20")
    assert code == 0
    assert rates(out, "healthd/demo/device/strap/heart_rate") == RATES


async def test_a_demo_may_end_early(capture: Path) -> None:
    code, out, _ = await demo("--replay", str(capture), "--deterministic", "--seconds", "20.5")
    assert code == 0
    assert rates(out, "healthd/demo/device/strap/heart_rate") == [*range(3, 22)]


async def test_the_daemon_of_the_settings(
    capture: Path, broker: EmbeddedBroker, subscriber: Subscriber, tmp_path: Path
) -> None:
    file = tmp_path / "healthd.toml"
    settings = {
        "gateway": {"id": "gateway"},
        "mqtt": {"brokers": [f"127.0.0.1:{broker.port}"]},
        "outbox": {"directory": str(tmp_path / "of-the-service"), "max_size": "4MB"},
    }
    file.write_text(toml(settings, [{"id": "mine", "service": "heart_rate"}]))
    arguments = ("--config", str(file), "--replay", str(capture), "--deterministic")
    async with Healthd("run", *arguments) as healthd:
        assert await healthd.ended() == 0
    await subscriber.until_payload("healthd/gateway/status", b"offline", since=0)
    found = [one.json() for one in subscriber.at("healthd/gateway/device/mine/heart_rate")]
    assert [one["heart_rate_bpm"] for one in found] == RATES
    assert found[0]["time"] == "2026-11-24T12:00:02.000000Z"
    # The outbox of the service, which may be running, is not touched.
    assert not (tmp_path / "of-the-service").exists()


@pytest.mark.parametrize("command", ["demo", "run"])
async def test_a_file_that_is_no_capture(command: str, tmp_path: Path) -> None:
    file = tmp_path / "capture.jsonl"
    file.write_text('{"what":"start"}\n')
    code, out, errors = await call(command, "--replay", str(file), environ={})
    assert (code, out) == (1, "")
    assert errors.startswith(f"{file}: line 1: ")


async def test_a_file_that_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "capture.jsonl"
    code, out, errors = await call("demo", "--replay", str(file), environ={})
    assert (code, out, errors) == (1, "", f"{file}: No such file or directory\n")


async def test_a_capture_of_nothing_that_healthd_reads(tmp_path: Path) -> None:
    writer = CaptureWriter()
    writer.advertise(0, name="Mouse", services=("1812",))
    writer.connect(1, (lines.Service(uuid="1812", handle=1),))
    writer.disconnect(2)
    file = tmp_path / "capture.jsonl"
    file.write_bytes(writer.data())
    code, out, errors = await call("demo", "--replay", str(file), environ={})
    assert (code, out) == (1, "")
    assert errors.startswith("healthd can read none of the 1 devices of the capture")


async def test_settings_for_another_device(capture: Path, tmp_path: Path) -> None:
    file = tmp_path / "healthd.toml"
    file.write_text(toml({}, [{"id": "scale", "name": "Scale*"}]))
    arguments = ("--config", str(file), "--replay", str(capture))
    code, out, errors = await call("run", *arguments, environ={})
    assert (code, out) == (1, "")
    assert "in the capture, which has 1 (Strap)" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--speed", "2"),
        ("demo", "--deterministic"),
        ("demo", "--replay", "x", "--speed", "2", "--deterministic"),
        ("demo", "--replay", "x", "--profile", "heart_rate"),
    ],
)
async def test_options_that_do_not_fit(arguments: tuple[str, ...]) -> None:
    code, _, errors = await call(*arguments, environ={})
    assert code == 2
    assert "--" in errors


async def test_values_after_a_pause_that_healthd_takes_for_a_stall_are_reported(
    tmp_path: Path,
) -> None:
    writer = CaptureWriter()
    writer.advertise(0.5)
    writer.connect(1)
    writer.subscribe(1.5)
    writer.beats(2, 10)
    writer.beats(10_000, 10_005)
    writer.disconnect(10_005)
    file = tmp_path / "strap.jsonl"
    file.write_bytes(writer.data())
    code, out, log = await demo("--replay", str(file), "--deterministic")
    assert code == 0
    assert len(rates(out, "healthd/demo/device/strap/heart_rate")) == 8
    (missed,) = [line for line in log if line["event"] == "values not replayed"]
    assert missed["count"] == 5
