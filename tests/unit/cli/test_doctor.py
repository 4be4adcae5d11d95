"""The command itself; what it finds is tested with real brokers and a real bus."""

import subprocess

import orjson
import pytest

from tests.unit.cli.machine import Machine


def asked(machine: Machine, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = machine.command("doctor", *arguments)
    return subprocess.run(
        command, env=machine.environ, capture_output=True, timeout=50, check=False
    )


def test_a_machine_without_anything(machine: Machine) -> None:
    config = machine.write('[mqtt]\nbrokers = ["127.0.0.1:1"]\n')
    done = asked(machine, "--config", config, "--json")
    assert (done.returncode, done.stderr) == (1, b"")
    report = orjson.loads(done.stdout)
    assert report["ok"] is False
    status = {one["check"]: one["status"] for one in report["findings"]}
    assert (status["dbus"], status["broker_tcp"], status["settings"]) == (
        "wrong",
        "wrong",
        "warning",
    )
    assert all(set(one) == {"check", "status", "found", "fix", "of"} for one in report["findings"])


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_settings_that_are_not_there(machine: Machine, arguments: list[str]) -> None:
    done = asked(machine, "--config", str(machine.home / "none.toml"), *arguments)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"none.toml: No such file or directory" in done.stdout
    assert b"a readable TOML file" in done.stdout
