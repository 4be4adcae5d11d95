"""``healthd run`` as systemd sees it: log lines on standard error, and an exit code."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from subprocess import CompletedProcess, run
from typing import Any

import orjson
import pytest

from healthd.cli.run import Main, until_signal
from healthd.errors import Fatal
from healthd.supervision.supervisor import CrashLoop
from tests.support.certificates import Authority, encrypted, needs_openssl
from tests.support.terminal import running as on_terminal
from tests.unit.cli.machine import Machine

# Nothing listens on port 1.
SETTINGS = """
gateway.id = "home"
log.level = "debug"
mqtt.brokers = ["127.0.0.1:1"]
[[peripherals]]
id = "strap"
name = "Strap"
"""

Line = dict[str, Any]


def ended(machine: Machine, *arguments: str) -> CompletedProcess[bytes]:
    command = machine.command("run", *arguments)
    return run(command, env=machine.environ, capture_output=True, timeout=30, check=False)


def lines(process: CompletedProcess[bytes]) -> list[Line]:
    assert process.stdout == b""
    return [orjson.loads(line) for line in process.stderr.splitlines()]


def test_each_bad_setting_is_one_line_and_the_exit_code_is_78(machine: Machine) -> None:
    file = machine.write("log.level = 'loud'\nmqtt.tls = 'maybe'\n[[peripherals]]\nid = 'x'\n")
    process = ended(machine, "--config", file)
    assert process.returncode == 78
    problems = {line["key"]: line for line in lines(process)}
    assert problems.keys() == {"log.level", "mqtt.tls", "peripherals[0]"}
    for line in problems.values():
        assert (line["level"], line["event"], line["file"]) == ("critical", "bad setting", file)
    assert problems["log.level"]["found"] == "'loud'"
    assert "'info'" in problems["log.level"]["expected"]


def test_a_bad_environment_variable_is_logged(machine: Machine) -> None:
    file = machine.write("gateway.id = 'home'")
    command = machine.command("run", "--config", file)
    environ = machine.environ | {"HEALTHD_LOG__LEVEL": "loud"}
    process = run(command, env=environ, capture_output=True, timeout=30, check=False)
    assert process.returncode == 78
    (line,) = lines(process)
    assert (line["file"], line["key"]) == ("environment", "HEALTHD_LOG__LEVEL")


@pytest.mark.parametrize("name", ["absent.toml", os.fsdecode(b"absent-\xff.toml")])
def test_a_missing_file_exits_with_78(machine: Machine, name: str) -> None:
    process = ended(machine, "--config", name)
    assert process.returncode == 78
    (line,) = lines(process)
    assert line["found"] == "No such file or directory"
    assert "absent" in line["file"]


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("mqtt.password_file", "mqtt.password_file = '{}'"),
        ("mqtt.ca_file", "mqtt = {{ tls = true, ca_file = '{}' }}"),
        ("mqtt.cert_file", "mqtt = {{ tls = true, cert_file = '{}' }}"),
        (
            "peripherals.cuff.passkey_file",
            "[[peripherals]]\nid = 'cuff'\nname = 'Cuff'\npasskey_file = '{}'",
        ),
        (
            "peripherals.cuff.consent_file",
            "[[peripherals]]\nid = 'cuff'\nname = 'Cuff'\nuser = 1\nconsent_file = '{}'",
        ),
    ],
)
def test_issue_16_after_a_missing_file_systemd_tries_again(
    machine: Machine, key: str, settings: str
) -> None:
    """The file may be missing for a moment only; systemd restarts after any exit code but 78."""
    absent = f"{machine.home}/absent"
    process = ended(machine, "--config", machine.write(settings.format(absent)))
    assert process.returncode == 1
    (line,) = lines(process)
    assert (line["level"], line["event"]) == ("critical", "file unavailable")
    assert line["error"] == f"{key}: {absent}: No such file or directory"
    assert "check the path" in line["hint"]
    assert "tries again" in line["hint"]


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"# a comment\n"])
def test_issue_16_a_settings_file_without_keys_exits_with_78(
    machine: Machine, content: bytes
) -> None:
    file = machine.write("")
    (machine.home / "healthd.toml").write_bytes(content)
    process = ended(machine, "--config", file)
    assert process.returncode == 78
    (line,) = lines(process)
    assert (line["event"], line["file"]) == ("bad setting", file)
    assert "restore it from a backup" in line["expected"]


@needs_openssl
@pytest.mark.parametrize(("command", "code"), [("run", 78), ("doctor", 1)])
async def test_issue_16_an_encrypted_key_is_named_without_a_prompt(
    machine: Machine, command: str, code: int
) -> None:
    certificate, key = Authority(machine.home, "authority").issue("gateway")
    secret = encrypted(key, "pkcs8")
    mqtt = f"mqtt = {{ tls = true, cert_file = '{certificate}', key_file = '{secret}' }}"
    arguments = machine.command(command, "--config", machine.write(mqtt))
    # Without a terminal of the session, OpenSSL asks on standard input.
    async with on_terminal("setsid", *arguments, environ=machine.environ) as terminal:
        await terminal.shows(f"mqtt.key_file: {secret}: the key is encrypted", "openssl pkey -in")
        async with asyncio.timeout(40):
            assert await terminal.process.wait() == code
    assert "phrase:" not in terminal.screen, "OpenSSL asked on the terminal"


def test_an_impossible_outbox_folder_exits_with_78(machine: Machine) -> None:
    file = machine.write(f"outbox.directory = '{machine.home}/healthd.toml/outbox'")
    process = ended(machine, "--config", file)
    assert process.returncode == 78
    assert "outbox" in lines(process)[-1]["error"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--confg", "x"], b"No such option: --confg"),
        (["extra"], b"unexpected extra argument"),
        (["--config"], b"Option '--config' requires an argument"),
    ],
)
def test_a_usage_error_exits_with_2(machine: Machine, arguments: list[str], error: bytes) -> None:
    process = ended(machine, *arguments)
    assert process.returncode == 2
    assert error in process.stderr


@pytest.mark.parametrize("option", ["--config {}", "--config={}"])
def test_the_settings_file_can_be_given_in_two_ways(machine: Machine, option: str) -> None:
    process = ended(machine, *option.format("absent.toml").split())
    assert process.returncode == 78
    assert lines(process)[0]["file"] == "absent.toml"


@asynccontextmanager
async def running(
    machine: Machine, settings: str = SETTINGS, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[Process]:
    command = machine.command("run", "--config", machine.write(settings))
    environ = {**machine.environ, **(environ or {})}
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(process: Process, condition: Callable[[list[Line]], bool]) -> list[Line]:
    """Read lines until the condition holds for the lines read so far."""
    assert process.stderr is not None
    seen: list[Line] = []
    while not condition(seen):
        line = await process.stderr.readline()
        assert line, seen
        seen.append(orjson.loads(line))
    return seen


def logged(event: str) -> Callable[[list[Line]], bool]:
    """Return a condition that holds once a line with this event was read."""
    return lambda seen: any(line["event"] == event for line in seen)


def retries(seen: list[Line], service: str) -> int:
    return sum(line["event"] == "retrying" and line.get("service") == service for line in seen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_keeps_trying_without_radio_and_broker_and_stops_cleanly(
    machine: Machine, number: signal.Signals
) -> None:
    async with asyncio.timeout(40), running(machine) as process:
        await until(
            process, lambda seen: retries(seen, "mqtt") >= 2 and retries(seen, "bluez") >= 1
        )
        assert process.returncode is None
        process.send_signal(number)
        seen = await until(process, logged("stopped"))
        assert await process.wait() == 0
    events = [line["event"] for line in seen]
    assert [event for event in events if event.startswith("stop")] == ["stopping", "stopped"]
    assert not any(line["level"] in ("error", "critical") for line in seen)


async def test_issue_16_variables_of_kubernetes_are_named_and_ignored(machine: Machine) -> None:
    injected = {
        "HEALTHD_SERVICE_HOST": "10.0.0.7",
        "HEALTHD_SERVICE_PORT": "1883",
        "HEALTHD_PORT": "tcp://10.0.0.7:1883",
        "HEALTHD_PORT_1883_TCP_ADDR": "10.0.0.7",
    }
    async with asyncio.timeout(40), running(machine, SETTINGS, injected) as process:
        seen = await until(process, logged("started"))
        process.terminate()
        assert await process.wait() == 0
    ignored = [line for line in seen if line["event"] == "variable ignored"]
    assert sorted(line["variable"] for line in ignored) == sorted(injected)
    assert all(line["level"] == "warning" for line in ignored)
    assert "10.0.0.7" not in str(ignored)


async def test_a_second_signal_does_no_harm(machine: Machine) -> None:
    async with asyncio.timeout(40), running(machine) as process:
        await until(process, lambda seen: retries(seen, "mqtt") >= 1)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_sighup_never_ends_healthd_and_reloads_the_settings(machine: Machine) -> None:
    pipe = machine.home / "settings"
    os.mkfifo(pipe)
    command = machine.command("run", "--config", str(pipe))
    process = await asyncio.create_subprocess_exec(*command, env=machine.environ, stderr=PIPE)
    try:
        async with asyncio.timeout(40):
            # The pipe opens as soon as healthd reads it: before it has any settings.
            first = await asyncio.to_thread(pipe.open, "w")
            process.send_signal(signal.SIGHUP)
            with first:
                first.write(SETTINGS)
            await until(process, logged("started"))
            with await asyncio.to_thread(pipe.open, "w") as second:
                second.write(SETTINGS + "[[peripherals]]\nid = 'scale'\nname = 'Scale'")
            seen = await until(process, logged("reloaded"))
            assert (seen[-1]["added"], seen[-1]["unchanged"]) == (["scale"], 1)
            process.send_signal(signal.SIGHUP)
            with await asyncio.to_thread(pipe.open, "w") as third:
                third.write("log.level = 'loud'")
            seen = await until(process, logged("not reloaded"))
            assert [line["key"] for line in seen if line["event"] == "bad setting"] == ["log.level"]
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGHUP)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_settings_without_peripherals_are_logged_and_accepted(machine: Machine) -> None:
    async with asyncio.timeout(40), running(machine, "mqtt.brokers = ['127.0.0.1:1']") as process:
        seen = await until(process, lambda seen: retries(seen, "mqtt") > 0)
        process.terminate()
        assert await process.wait() == 0
    assert seen[0]["event"] == "started"
    assert seen[1]["event"] == "no peripherals in the settings"


async def test_an_unknown_time_zone_is_logged_once(machine: Machine) -> None:
    command = machine.command("run", "--config", machine.write(SETTINGS))
    environ = machine.environ | {"TZ": '"Europe/Berlin"'}
    async with asyncio.timeout(40):
        process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=PIPE)
        seen = await until(process, lambda seen: retries(seen, "mqtt") > 0)
        process.terminate()
        seen += await until(process, logged("stopped"))
        assert await process.wait() == 0
    (line,) = [line for line in seen if environ["TZ"] in str(line.get("error"))]
    assert (line["level"], line["event"]) == ("warning", "time zone unknown")


def failing(error: Exception) -> Main:
    async def body(stop: asyncio.Event) -> None:
        assert not stop.is_set()
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Fatal("bad"), 78),
        (ExceptionGroup("", [KeyError("x"), ExceptionGroup("", [Fatal("bad")])]), 78),
        (KeyError("x"), 1),
        (CrashLoop("again"), 1),  # systemd restarts it
        (ExceptionGroup("", [KeyError("x")]), 1),
    ],
)
def test_exit_code_of_an_error(error: Exception, code: int) -> None:
    assert until_signal(failing(error)) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    async def body(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stop.wait()

    assert until_signal(body) == 0


async def test_the_outbox_is_in_the_users_state_folder(machine: Machine) -> None:
    async with asyncio.timeout(40), running(machine) as process:
        await until(process, lambda seen: retries(seen, "mqtt") > 0)
        process.terminate()
        assert await process.wait() == 0
    assert machine.stores == ["outbox.sqlite3"]
