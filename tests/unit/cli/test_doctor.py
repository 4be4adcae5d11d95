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


def warnings(machine: Machine, check: str, mqtt: str, **environ: str) -> list[str]:
    """Return what the doctor warns about, in one check."""
    settings = f'mqtt.brokers = ["127.0.0.1:1"]\n{mqtt}\n[[peripherals]]\nid = "x"\nname = "X"\n'
    command = machine.command("doctor", "--json", "--config", machine.write(settings))
    done = subprocess.run(
        command, env=machine.environ | environ, capture_output=True, timeout=50, check=False
    )
    findings = orjson.loads(done.stdout)["findings"]
    found = [one for one in findings if (one["check"], one["status"]) == (check, "warning")]
    assert all(one["fix"] for one in found)
    return [one["found"] for one in found]


def test_issue_16_a_password_with_invisible_characters_is_named(machine: Machine) -> None:
    file = machine.home / "password"
    mqtt = f"mqtt.password_file = '{file}'"
    for secret in ("hunter2", "hunter2\n", "\ufeffhunter2\r\n", "correct horse\n"):
        file.write_bytes(secret.encode())
        assert warnings(machine, "secrets", mqtt) == []
    for secret in ("hunter2 ", "hunter2 \n", "\thunter2", "hunter2\u00a0\n"):
        file.write_bytes(secret.encode())
        (found,) = warnings(machine, "secrets", mqtt)
        assert "ends with a space" in found
        assert str(file) in found
        assert "hunter2" not in found


def test_issue_16_a_removed_or_empty_password_file_is_named(machine: Machine) -> None:
    file = machine.home / "mqtt-password"
    environ = {"CREDENTIALS_DIRECTORY": str(machine.home)}
    (found,) = warnings(machine, "secrets", "", **environ)
    assert found.startswith(f"{file} is empty or missing")
    # Without a user name, an empty file means that no password is wanted.
    file.write_text("")
    assert warnings(machine, "secrets", "", **environ) == []
    (found,) = warnings(machine, "secrets", "mqtt.username = 'me'", **environ)
    assert found.startswith(f"{file} is empty or missing")
    file.write_text("hunter2")
    assert warnings(machine, "secrets", "mqtt.username = 'me'", **environ) == []


def test_issue_16_a_variable_that_is_not_a_setting_is_named(machine: Machine) -> None:
    (found,) = warnings(machine, "settings", "", HEALTHD_SERVICE_HOST="10.0.0.7")
    assert "HEALTHD_SERVICE_HOST" in found
    assert "10.0.0.7" not in found


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"# nothing\n"])
def test_issue_16_a_settings_file_without_keys_is_wrong(machine: Machine, content: bytes) -> None:
    config = machine.home / "healthd.toml"
    config.write_bytes(content)
    done = doctor(machine, "--config", str(config), "--json")
    assert done.returncode == 1
    findings = {one["check"]: one for one in orjson.loads(done.stdout)["findings"]}
    assert findings["settings"]["status"] == "wrong"
    assert "restore it from a backup" in findings["settings"]["fix"]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_missing_settings(machine: Machine, arguments: list[str]) -> None:
    done = doctor(machine, "--config", str(machine.home / "none.toml"), *arguments)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"none.toml: No such file or directory" in done.stdout
    assert b"a readable TOML file" in done.stdout
