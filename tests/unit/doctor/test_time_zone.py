"""The time zone of the installed service: its unit has an environment of its own."""

import os
from pathlib import Path

import pytest

from healthd.doctor.clock import check_time_zone
from healthd.doctor.finding import Status
from healthd.doctor.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine in UTC, whose user has a zone, and whose systemctl shows a file's text."""
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f"#!/bin/sh\nexec cat {tmp_path}/shown\n")
    systemctl.chmod(0o755)
    path = f"{systemctl.parent}{os.pathsep}{os.environ['PATH']}"
    return Machine({"PATH": path, "TZ": "Europe/Nowhere"}, tmp_path)


@pytest.mark.parametrize(
    ("shown", "status", "found"),
    [
        ("Environment=\n", Status.OK, "UTC"),
        ("Environment=PYTHONFAULTHANDLER=1 TZ=Asia/Kolkata BOOT_ID=1\n", Status.OK, "Kolkata"),
        ('Environment=A=1 "TZ=\\"Asia/Kolkata\\""\n', Status.WARNING, "'\"Asia/Kolkata\"'"),
    ],
    ids=["without", "name", "quotes"],
)
async def test_the_environment_of_the_unit_counts(
    machine: Machine, shown: str, status: Status, found: str
) -> None:
    machine.path("shown").write_text(shown)
    finding = await check_time_zone(machine, machine.environ, installed=True)
    assert finding.status is status
    assert found in finding.found


async def test_without_a_unit_the_environment_of_the_user_counts(machine: Machine) -> None:
    finding = await check_time_zone(machine, machine.environ, installed=False)
    assert finding.status is Status.WARNING
    assert "'Europe/Nowhere'" in finding.found
