"""The unit files, checked by the systemd of this machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from healthd.cli.run import EXIT_BAD_SETTINGS
from healthd.host.adapter_reset import REQUEST

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".service", ".path"))

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: systemd-analyze is not installed"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Without colours and symbols: the test reads plain text.
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"}
    return subprocess.run(
        ["systemd-analyze", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def exposure(unit: str) -> float:
    judged = analyze("security", "--offline=yes", "--no-pager", str(FOLDER / unit))
    found = re.search(rf"exposure level for {re.escape(unit)}: ([0-9.]+)", judged.stdout)
    assert found, judged
    return float(found[1])


def lines(unit: str) -> list[str]:
    return (FOLDER / unit).read_text(encoding="utf-8").splitlines()


def test_the_units_are_these() -> None:
    assert UNITS == [
        "healthd-adapter-reset.path",
        "healthd-adapter-reset.service",
        "healthd.service",
    ]


@needs_systemd
@pytest.mark.parametrize(
    ("unit", "at_most"),
    [
        ("healthd.service", 1.5),
        # Root with a capability and the network of the host: a reset needs all of these.
        ("healthd-adapter-reset.service", 2.0),
    ],
)
def test_exposure(unit: str, at_most: float) -> None:
    assert exposure(unit) <= at_most


@needs_systemd
def test_the_exposure_check_can_fail(tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=yes", "--threshold=15", str(bare)).returncode != 0
    good = str(FOLDER / "healthd.service")
    assert analyze("security", "--offline=yes", "--threshold=15", good).returncode == 0


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    copies: list[str] = []
    for unit in UNITS:
        # The programs that the units start are not installed here.
        text = (FOLDER / unit).read_text(encoding="utf-8")
        copy = tmp_path / unit
        copy.write_text(re.sub(r"/opt/healthd/bin/\w+", sys.executable, text), encoding="utf-8")
        copies.append(str(copy))
    judged = analyze("verify", "--man=no", *copies)
    assert (judged.returncode, judged.stderr) == (0, "")
    (tmp_path / "healthd.service").write_text("[Service]\nExecStart=/bin/true\nUmbrella=yes\n")
    assert "Umbrella" in analyze("verify", "--man=no", copies[-1]).stderr


def test_the_service_restarts_unless_the_settings_are_bad() -> None:
    unit = lines("healthd.service")
    assert "Restart=always" in unit
    assert f"RestartPreventExitStatus={EXIT_BAD_SETTINGS}" in unit
    assert "StartLimitIntervalSec=0" in unit


def test_the_path_unit_watches_the_request_file() -> None:
    assert f"PathExists=/run/healthd/{REQUEST}" in lines("healthd-adapter-reset.path")
    assert "RuntimeDirectory=healthd" in lines("healthd.service")


def test_the_reset_runs_at_most_six_times_an_hour_on_bad_requests() -> None:
    """Unless systemd ends it before its own pause is over."""
    (program,) = (
        line for line in lines("healthd-adapter-reset.service") if "adapter_reset" in line
    )
    assert float(program.rsplit(" ", 1)[1]) >= 600
    assert "ExecStartPost=/usr/bin/sleep 30" in lines("healthd-adapter-reset.service")
    assert "TimeoutStartSec=12min" in lines("healthd-adapter-reset.service")


def test_the_d_bus_policy_allows_one_user_to_call_bluez() -> None:
    root = ElementTree.parse(FOLDER / "healthd-dbus.conf").getroot()
    (policy,) = root
    assert (root.tag, policy.tag, policy.attrib) == ("busconfig", "policy", {"user": "healthd"})
    assert [(rule.tag, rule.attrib) for rule in policy] == [
        ("allow", {"send_destination": "org.bluez"})
    ]
