"""The schema in the tools of others: the examples of docs/consumers.md, and a UCUM validator."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from healthd.cli.contract.schema import everything
from healthd.profiles.registry import load
from tests.support.examples import example
from tests.support.node import INSTALL_S, node, packages

PAGE = Path(__file__).parents[2] / "docs" / "consumers.md"
SECTION = (
    PAGE.read_text(encoding="utf-8").partition("\n## Validate payloads\n")[2].split("\n## ")[0]
)

SAMPLE = {
    "id": "7f3a1c0e-18233",
    "time": "2026-11-24T02:03:31.123456Z",
    "clock": "synced",
    "seq": 18233,
    "heart_rate_bpm": 72,
    "sensor_contact_supported": True,
    "sensor_contact_detected": None,
}

# Compiles every kind: strict mode refuses what it does not understand.
_ALL_KINDS = """
ajv.addSchema(schema, "healthd");
for (const kind of Object.keys(schema.$defs)) ajv.getSchema(`healthd#/$defs/${kind}`);
"""

_UNITS = """
const { UcumLhcUtils } = require("@lhncbc/ucum-lhc");
const ucum = UcumLhcUtils.getInstance();
const codes = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const status = (code) => ucum.validateUnitString(code).status;
const met = ucum.convertUnitTo("[MET]", 1, "mL/min/kg").toVal;
process.stdout.write(JSON.stringify({ found: codes.map((code) => [code, status(code)]), met }));
"""

Validate = Callable[[dict[str, Any]], str]
"""Validates a payload as a heart rate; returns the error, empty if there is none."""

pytestmark = pytest.mark.timeout(INSTALL_S + 60)


@pytest.fixture(scope="module")
def modules() -> Path:
    return packages(Path(__file__).parent / "consumers")


@pytest.fixture(params=["js", "python"])
def validate(request: pytest.FixtureRequest, tmp_path: Path) -> Validate:
    """Return a validator that runs an example exactly as it is printed."""
    (tmp_path / "healthd-schema.json").write_text(json.dumps(everything(load())))
    code = example(request.param, SECTION)

    def run(payload: dict[str, Any]) -> str:
        stdin = json.dumps(payload)
        if request.param == "js":
            modules: Path = request.getfixturevalue("modules")
            return failed(lambda: node("-e", code, packages=modules, stdin=stdin, cwd=tmp_path))
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, input=stdin, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stderr if done.returncode else ""

    return run


def failed(run: Callable[[], str]) -> str:
    try:
        run()
    except AssertionError as error:
        return str(error)
    return ""


def test_the_examples_accept_samples_of_this_version_and_the_next(validate: Validate) -> None:
    assert validate(SAMPLE) == ""
    assert validate({**SAMPLE, "resting_heart_rate_bpm": 55}) == "", "a new key is no error"


@pytest.mark.parametrize(
    ("change", "word"),
    [({"heart_rate_bpm": "72"}, "heart_rate_bpm"), ({"clock": "late"}, "clock")],
)
def test_the_examples_refuse_a_wrong_value(
    validate: Validate, change: dict[str, Any], word: str
) -> None:
    assert word in validate({**SAMPLE, **change})


@pytest.mark.parametrize("key", ["id", "time", "clock", "seq", "heart_rate_bpm"])
def test_the_examples_refuse_a_sample_without_a_required_key(validate: Validate, key: str) -> None:
    assert f"'{key}'" in validate({name: SAMPLE[name] for name in SAMPLE if name != key})


def test_ajv_compiles_every_kind_in_strict_mode(modules: Path, tmp_path: Path) -> None:
    (tmp_path / "healthd-schema.json").write_text(json.dumps(everything(load())))
    head = re.sub(
        r"^ajv\.addSchema\((.*), \"healthd\"\);$.*",
        r"const schema = \1;",
        example("js", SECTION),
        flags=re.MULTILINE | re.DOTALL,
    )
    assert node("-e", head + _ALL_KINDS, packages=modules, cwd=tmp_path) == ""


def test_every_unit_is_valid_ucum(modules: Path) -> None:
    codes = sorted(set(units(everything(load()))))
    assert "[MET]" in codes
    answer = json.loads(node("-e", _UNITS, packages=modules, stdin=json.dumps([*codes, "kmh"])))
    assert answer["found"] == [*([code, "valid"] for code in codes), ["kmh", "invalid"]]
    # A metabolic equivalent is 3.5 mL of oxygen per minute and kilogram.
    assert answer["met"] == pytest.approx(3.5)


def units(part: Any) -> Iterator[str]:
    """Yield every UCUM code in a part of the schema."""
    if isinstance(part, dict):
        for key, value in part.items():  # pyright: ignore[reportUnknownVariableType]
            if key == "unit" and isinstance(value, str):
                yield value
            yield from units(value)
    elif isinstance(part, list):
        for value in part:  # pyright: ignore[reportUnknownVariableType]
            yield from units(value)
