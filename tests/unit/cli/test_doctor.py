"""The command; its findings are tested with real brokers and a real bus elsewhere."""

import subprocess

import orjson
import pytest

from tests.unit.cli.machine import Machine


def doctor(machine: Machine, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = machine.command("doctor", *arguments)
    return subprocess.run(
        command, env=machine.environ, capture_output=True, timeout=50, check=False
    )


def test_a_machine_without_bus_and_broker(machine: Machine) -> None:
    config = machine.write('[mqtt]\nbrokers = ["127.0.0.1:1"]\n')
    done = doctor(machine, "--config", config, "--json")
    assert (done.returncode, done.stderr) == (1, b"")
    report = orjson.loads(done.stdout)
    assert report["ok"] is False
    findings = report["findings"]
    status = {finding["check"]: finding["status"] for finding in findings}
    assert (status["dbus"], status["broker_tcp"], status["settings"]) == (
        "wrong",
        "wrong",
        "warning",
    )
    keys = {"check", "status", "found", "fix", "of"}
    assert all(set(finding) == keys for finding in findings)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_missing_settings(machine: Machine, arguments: list[str]) -> None:
    done = doctor(machine, "--config", str(machine.home / "none.toml"), *arguments)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"none.toml: No such file or directory" in done.stdout
    assert b"a readable TOML file" in done.stdout
