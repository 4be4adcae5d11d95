"""Completions offered to a shell, by typer's protocol."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from healthd.cli.app import app
from healthd.profiles.battery import Battery, decode_level
from healthd.profiles.characteristic import Broadcast, Use
from healthd.profiles.profile import Profile
from healthd.profiles.registry import Registry, load
from healthd.simulator.names import NAMES
from tests.unit.cli.machine import Machine
from tests.unit.cli.test_app import COMMANDS

SETTINGS = """
[[peripherals]]
id = "chest-strap"
name = "Polar H10*"
[[peripherals]]
id = "cuff"
name = "Cuff"
every = "15min"
[[peripherals]]
id = "scale"
name = "MI SCALE*"
on = "advertising"
[[peripherals]]
name = "nameless"
[[peripherals]]
id = "$(no)\\u202e"
every = "15min"
"""


def offered(*words: str) -> list[str]:
    """Return what bash is offered for the last of these words after ``healthd``."""
    environ = {
        "_HEALTHD_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("healthd", *words)),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(app, [], prog_name="healthd", env=environ)
    assert result.exit_code == 0
    return result.stdout.split()


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "healthd.toml"
    file.write_text(SETTINGS)
    return str(file)


def test_commands() -> None:
    assert sorted(offered("")) == sorted(COMMANDS)
    assert offered("sche") == ["schema"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "--c"), ["--config"]),  # argparse parses it in the end and has no other option
        (("watch", "--j"), ["--json"]),
        (("schema", "--format", "asy"), ["asyncapi"]),
        (("--ver",), ["--version"]),
    ],
)
def test_options(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_peripherals_of_the_settings(config: str) -> None:
    assert offered("pair", "--config", config, "") == ["chest-strap", "cuff", "scale"]
    assert offered("pair", f"--config={config}", "c") == ["chest-strap", "cuff"]
    # A continuous peripheral is never fetched.
    assert offered("fetch", "--config", config, "") == ["cuff", "scale"]


def test_captures_complete_commands_and_peripherals(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered("capture", "take", "--config", config, "c") == ["chest-strap", "cuff"]
    monkeypatch.setattr("healthd.cli.run.DEFAULT_CONFIG", Path(config))
    assert offered("capture", "") == [
        *("take", "show", "convert", "to-test", "chest-strap", "cuff", "scale")
    ]
    assert offered("capture", "sc") == ["scale"]


@pytest.mark.parametrize("content", [None, b"peripherals = 1", b"[[periph", b"\xff", b"[mqtt]"])
def test_settings_that_cannot_be_read_offer_nothing(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    if content is not None:
        file.write_bytes(content)
    assert offered("pair", "--config", str(file), "") == []


def test_models_of_the_demo() -> None:
    assert offered("demo", "--profile", "") == [*NAMES]
    assert offered("demo", "--profile", "glu") == ["glucose"]
    assert offered("demo", "--profile", "weight_scale,glu") == ["weight_scale,glucose"]


def test_kinds_of_payload() -> None:
    assert set(offered("schema", "hea")) >= {"heart_rate", "health"}
    assert all(kind.startswith("hea") for kind in offered("schema", "hea"))


def test_characteristics() -> None:
    assert offered("decode", "2a37") == ["2a37"]
    assert offered("decode", "") == [*load().characteristics]


def test_keys_of_advertised_data(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("service_data_181d", "manufacturer_data_0157")
    scale = Broadcast("scale", Battery, decode_level, Use.STREAM, keys=keys)
    registry = Registry([Profile("scale", broadcasts=(scale,))])
    monkeypatch.setattr("healthd.profiles.registry.load", lambda: registry)
    assert offered("decode", "--advertisement", "") == [*keys]
    assert offered("decode", "--advertisement", "ma") == ["manufacturer_data_0157"]


@pytest.mark.parametrize("words", [("run", "--config", "/et"), ("outbox", "--directory", "")])
def test_file_names_are_left_to_the_shell(words: tuple[str, ...]) -> None:
    assert offered(*words) == []


@pytest.mark.parametrize("words", [("",), ("pair", ""), ("schema", ""), ("decode", "")])
def test_completion_loads_neither_radio_nor_mqtt(machine: Machine, words: tuple[str, ...]) -> None:
    script = (
        "import sys; sys.argv = ['healthd']; from healthd.cli import main\n"
        "try: main()\n"
        "finally: print('modules', *sys.modules)"
    )
    environ = {
        **machine.environ,
        "_HEALTHD_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("healthd", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    modules = done.stdout.splitlines()[-1].split()
    assert {"healthd.cli.completion", "typer"} <= set(modules)
    assert not {"bleak", "aiomqtt", "dbus_fast", "bumble", "iotcore"} & set(modules)
