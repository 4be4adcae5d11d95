"""The numbers in README.md are those of the code."""

from pathlib import Path

import pytest

from healthd.profiles.packet.raw import Raw
from healthd.profiles.registry import load
from healthd.simulator.names import NAMES

README = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
REGISTRY = load()
CHARACTERISTICS = REGISTRY.characteristics.values()
SERVICES = [each for each in REGISTRY.profiles.values() if each.service]
HEX_ONLY = [each for each in CHARACTERISTICS if issubclass(each.model, Raw)]


@pytest.mark.parametrize(
    "text",
    [
        f"{len(CHARACTERISTICS)} characteristics of {len(SERVICES)} GATT services",
        f"{len(HEX_ONLY)} characteristics are passed on as hex only",
        f"healthd reads {len(REGISTRY.broadcasts)} kinds of advertised data",
        f"`--help` lists {len(NAMES)}.",
    ],
)
def test_the_readme_says(text: str) -> None:
    assert text in README
