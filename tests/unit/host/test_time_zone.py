"""The local time is that of the C library; what it does not understand is said."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest
from structlog.testing import capture_logs

from healthd.host.time_zone import LocalZone, find_zone

ZONEINFO = Path("/usr/share/zoneinfo")
BERLIN = ZoneInfo("Europe/Berlin")

needs_tzdata = pytest.mark.skipif(
    not (ZONEINFO / "Europe/Berlin").is_file(),
    reason="NOT TESTED: no time zones on this machine; apt-get install tzdata",
)

# An odd number of hours over three years: every hour of the day and both sides of each change.
TIMES = range(1_767_225_600, 1_767_225_600 + 3 * 366 * 86_400, 7 * 3600)

_LIBC = """
import sys, time
print([time.localtime(seconds).tm_gmtoff for seconds in eval(sys.argv[1])])
"""


def libc_offsets(value: str, **environ: str) -> list[int]:
    """Return the offsets of the C library with this ``TZ``, in seconds."""
    command = [sys.executable, "-c", _LIBC, repr(TIMES)]
    run = subprocess.run(
        command,
        env={**os.environ, **environ, "TZ": value},
        capture_output=True,
        check=True,
        timeout=30,
    )
    offsets: list[int] = orjson.loads(run.stdout)
    return offsets


def offsets(environ: dict[str, str], file: Path) -> list[int]:
    zone = find_zone(environ, file).zone
    found = [datetime.fromtimestamp(seconds, zone).utcoffset() for seconds in TIMES]
    return [round(offset.total_seconds()) for offset in found if offset is not None]


@pytest.fixture
def berlin(tmp_path: Path) -> Path:
    """Return a file /etc/localtime of a machine in Berlin."""
    link = tmp_path / "localtime"
    link.symlink_to(ZONEINFO / "Europe/Berlin")
    return link


@needs_tzdata
@pytest.mark.parametrize(
    "value",
    [
        "Asia/Kolkata",
        ":Asia/Kolkata",
        "America/Sao_Paulo",
        "/usr/share/zoneinfo/Australia/Lord_Howe",
        ":/usr/share/zoneinfo/Australia/Lord_Howe",
        "UTC",
        "",
        ":",
        "UTC0",
        "JST-9",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        ":CET-1CEST,M3.5.0,M10.5.0/3",
        "<+0330>-3:30",
        "<-03>3",
        "NZST-12NZDT,M9.5.0,M4.1.0/3",
        "IST-1GMT0,M10.5.0,M3.5.0/1",
        "XXX3YYY2:15:30,J60/4:30,J300",
        "AAA-5:45:10BBB,J100,J299/24",
        "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    ],
)
def test_what_the_c_library_understands_is_understood(value: str, berlin: Path) -> None:
    assert offsets({"TZ": value}, berlin) == libc_offsets(value)
    assert find_zone({"TZ": value}, berlin).problem == ""


@needs_tzdata
def test_summer_time_without_rules_follows_those_of_the_c_library(berlin: Path) -> None:
    # Its rules are those of the United States; the day of the change depends on its version.
    pairs = list(zip(offsets({"TZ": "ABC5DEF"}, berlin), libc_offsets("ABC5DEF"), strict=True))
    assert {ours for ours, _ in pairs} == {-18_000, -14_400}
    assert sum(ours != theirs for ours, theirs in pairs) <= 2 * 3


@needs_tzdata
def test_the_folder_of_the_names_can_be_another(tmp_path: Path, berlin: Path) -> None:
    (tmp_path / "Home").symlink_to(ZONEINFO / "Asia/Kolkata")
    environ = {"TZ": "Home", "TZDIR": str(tmp_path)}
    assert offsets(environ, berlin) == libc_offsets("Home", TZDIR=str(tmp_path))
    assert set(offsets(environ, berlin)) == {19_800}


@needs_tzdata
@pytest.mark.parametrize(
    "value",
    [
        '"Europe/Berlin"',
        "'Europe/Berlin'",
        "Europe/Nowhere",
        "Europe/Rome ",
        "Europe",
        "../Europe/Rome",
        "/usr/share/zoneinfo/Europe",
        "/etc/hostname",
        "/nowhere",
        "CET",
        "A3",
        "CET-1CEST,M3.5.0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-99",
        "+1",
        "\udcff",
        "x" * 10_000,
    ],
)
def test_what_it_does_not_understand_is_the_zone_of_the_machine(
    value: str, berlin: Path, tmp_path: Path
) -> None:
    # An empty folder of names in place of the machine's, where some of these are names.
    environ = {"TZ": value} | ({"TZDIR": str(tmp_path)} if value == "CET" else {})
    found = find_zone(environ, berlin)
    assert repr(value) in found.problem
    assert found.source == "Europe/Berlin"
    assert offsets(environ, berlin) == libc_offsets("Europe/Berlin")


@needs_tzdata
def test_without_tz_it_is_the_zone_of_the_machine_and_a_change_takes_effect(berlin: Path) -> None:
    summer = datetime(2027, 7, 1, 12)  # noqa: DTZ001 - a local time
    zone = LocalZone({}, berlin)
    assert zone().utcoffset(summer) == timedelta(hours=2)
    berlin.unlink()
    berlin.write_bytes((ZONEINFO / "Asia/Kolkata").read_bytes())  # a copy instead of a link
    assert zone().utcoffset(summer) == timedelta(hours=5, minutes=30)
    berlin.unlink()
    with capture_logs() as log:
        assert zone() is UTC
    assert log == []  # a machine without a zone is in UTC


@pytest.mark.parametrize("damage", ["dangling", "no rules", "folder"])
def test_a_zone_of_the_machine_that_cannot_be_used(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "localtime"
    match damage:
        case "dangling":
            file.symlink_to(tmp_path / "zoneinfo/Europe/Berlin")  # without the package tzdata
        case "folder":
            file.mkdir()
        case _:
            file.write_bytes(b"Europe/Berlin\n")
    found = find_zone({}, file)
    assert found.zone is UTC
    assert str(file) in found.problem


@needs_tzdata
def test_one_warning_names_the_value(berlin: Path) -> None:
    zone = LocalZone({"TZ": "Europe/Nowhere"}, berlin)
    with capture_logs() as log:
        for _ in range(3):
            zone()
    (line,) = log
    assert (line["log_level"], line["used"]) == ("warning", "Europe/Berlin")
    assert "'Europe/Nowhere'" in line["error"]
    assert "tzdata" in line["hint"]
