"""The command line, and the modules that it loads."""

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from subprocess import PIPE, CompletedProcess, run

import pytest
from typer.testing import CliRunner, Result

from healthd import __version__
from healthd.cli.app import app
from healthd.simulator.names import NAMES
from tests.unit.cli.machine import Machine

COMMANDS = [
    *("run", "demo", "decode", "schema", "watch", "outbox", "fetch", "pair", "scan", "doctor"),
    "hass-backfill",
    "capture",
]

MODULES = """
import sys
from healthd.cli import main
try:
    main()
except SystemExit as end:
    print("modules", end.code, *(name for name, module in sys.modules.items() if module))
"""


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def in_process(machine: Machine, script: str, *arguments: str) -> CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return run(
        command, env=machine.environ, capture_output=True, text=True, timeout=30, check=False
    )


def loaded(machine: Machine, *arguments: str) -> tuple[str, set[str]]:
    """Return the exit code and the top-level modules that were loaded."""
    line = in_process(machine, MODULES, *arguments).stdout.splitlines()[-1]
    mark, code, *modules = line.split()
    assert mark == "modules"
    return code, {module.split(".")[0] for module in modules}


def test_version() -> None:
    result = invoked("--version")
    assert result.exit_code == 0
    healthd, python, libraries, *bluez = result.output.splitlines()
    # The commit is only there in a clone that git can read.
    commit = r"( \(commit [0-9a-f]{7}, \d{4}-\d\d-\d\d(, modified)?\))?"
    assert re.fullmatch(re.escape(f"healthd {__version__}") + commit, healthd)
    assert f"Python {platform.python_version()}," in python
    assert f"bleak {metadata.version('bleak')}, " in libraries
    assert f"pydantic {metadata.version('pydantic')}" in libraries
    assert not bluez or re.fullmatch(r"BlueZ \d+\.\d+", bluez[0])


def test_the_version_of_bluez_comes_from_bluetoothctl(machine: Machine, tmp_path: Path) -> None:
    tool = tmp_path / "bluetoothctl"
    tool.write_text("#!/bin/sh\necho 'bluetoothctl: 5.66'\n")
    tool.chmod(0o755)
    environ = machine.environ | {"PATH": f"{tmp_path}{os.pathsep}{machine.environ['PATH']}"}
    command = machine.command("--version")
    done = run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "BlueZ 5.66"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(option: str) -> None:
    result = invoked(option)
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output
    callbacks = [command.callback for command in app.registered_commands]
    names = [callback.__name__.replace("_", "-") for callback in callbacks if callback]
    names += [str(group.name) for group in app.registered_groups]
    assert sorted(names) == sorted(COMMANDS)


def test_without_a_command_help_is_shown() -> None:
    assert "Usage" in invoked().output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = invoked(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["scna"],
        ["demo", "--seconds", "0"],
        ["demo", "--seconds", "x"],
        ["decode", "2a37"],
        ["schema", "--format", "yaml"],
        ["schema", "gap", "--format", "markdown"],
    ],
)
def test_a_usage_error_exits_with_2(arguments: list[str]) -> None:
    assert invoked(*arguments).exit_code == 2


def test_demo_with_an_unknown_profile_lists_the_known_ones() -> None:
    result = invoked("demo", "--profile", "treadmill,tredmill")
    assert result.exit_code == 2
    assert "'tredmill'" in result.output
    for name in NAMES:
        assert name in result.output
        assert name in invoked("demo", "--help").output


def test_demo_refuses_profile_together_with_config() -> None:
    result = invoked("demo", "--profile", "treadmill", "--config", "healthd.toml")
    assert result.exit_code == 2
    assert "--profile" in result.output


def test_healthd_runs_as_a_module(machine: Machine) -> None:
    process = run(
        machine.command("--version"),
        env=machine.environ,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert process.stdout.decode().startswith(f"healthd {__version__}")


@pytest.mark.parametrize("unwanted", ["typer", "click", "rich", "bumble", "iotcore", "websockets"])
def test_the_daemon_loads_no_user_interface_and_no_simulator(
    machine: Machine, unwanted: str
) -> None:
    code, modules = loaded(machine, "run", "--config", "absent.toml")
    assert code == "78"
    assert modules >= {"bleak", "aiomqtt", "pydantic"}  # the whole daemon was loaded
    assert unwanted not in modules


def test_help_loads_no_command(machine: Machine) -> None:
    code, modules = loaded(machine, "--help")
    assert code == "0"
    assert modules.isdisjoint({"bleak", "aiomqtt", "pydantic", "bumble", "iotcore"})


def test_demo_without_the_simulator_says_what_to_install(machine: Machine) -> None:
    script = "import sys; sys.modules['bumble'] = None; import healthd.__main__"
    process = in_process(machine, script, "demo")
    assert process.returncode == 1
    assert 'pip install "healthd[sim]"' in process.stderr
    assert "Traceback" not in process.stderr


def test_hass_backfill_without_its_library_says_what_to_install(machine: Machine) -> None:
    script = "import sys; sys.modules['websockets'] = None; import healthd.__main__"
    process = in_process(machine, script, "hass-backfill")
    assert process.returncode == 1
    assert 'pip install "healthd[hass]"' in process.stderr
    assert "Traceback" not in process.stderr


def test_standard_output_may_be_closed(machine: Machine) -> None:
    command = ["/bin/sh", "-c", '"$@" >&-', "sh", *machine.command("decode", "2a37", "0048")]
    process = run(command, env=machine.environ, capture_output=True, timeout=30, check=False)
    assert (process.returncode, process.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", [["schema"], ["decode", "2a37", "0048"], ["--help"]])
def test_the_reader_of_standard_output_may_be_gone(machine: Machine, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    command = machine.command(*arguments)
    process = run(command, env=machine.environ, stdout=writer, stderr=PIPE, timeout=30, check=False)
    os.close(writer)
    assert (process.returncode, process.stderr) == (1, b"")
