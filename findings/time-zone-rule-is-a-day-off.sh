#!/usr/bin/env bash
# zoneinfo changes the clock a day earlier or later than the C library, for rules with day numbers.
#
# One expects: the same rule of POSIX (TZ=..., or the last line of a file of zone rules) gives the
#   same local time in Python's zoneinfo and in the C library, which `date` and time.localtime() use.
# What is true: for `n`, which counts the days of the year from 0, zoneinfo counts from 1: the clock
#   changes a day early, each time. For `J59`, which is 28 February in all years, zoneinfo takes 29
#   February in leap years. Rules with months and weeks (`M3.5.0`) are right, as is `J60`.
#
# Version: CPython 3.11.7, 3.12.1 and 3.13.0, glibc 2.36
# Date: 2026-11-30
# Source: tzset(3): "n: day of the year, zero-based, 29 February is counted in leap years";
#   Modules/_zoneinfo.c (dayrule_year_to_timestamp).
# Whom it hurts: programs that read TZ with zoneinfo, where a device or an old script sets it to a
#   rule with day numbers: twice a year, their times are an hour off for a day.
# What helps: write rules with months and weeks, or a name such as Europe/Berlin.
#
# Needs Linux with glibc, and Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
timeout 60 python3 - <<'PYTHON'
import io
import os
import platform
import struct
import sys
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

HOUR_S = 3600


def zone(rule):
    """Make a zone from a file without transitions, after which the rule holds (RFC 8536)."""
    header = b"TZif2" + bytes(15) + struct.pack(">6L", 0, 0, 0, 0, 1, 4)
    block = header + struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    return ZoneInfo.from_file(io.BytesIO(block + block + b"\n" + rule.encode() + b"\n"))


def first_change(year, offset_s):
    """Return the first day of the year on which the offset from UTC is another one."""
    start = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    for seconds in range(start, start + 200 * 24 * HOUR_S, HOUR_S):
        if offset_s(seconds) != offset_s(start):
            return datetime.fromtimestamp(seconds, UTC).strftime("%d %b")
    return "none"


def compared(rule, year):
    os.environ["TZ"] = rule
    time.tzset()
    made = zone(rule)
    libc = first_change(year, lambda seconds: time.localtime(seconds).tm_gmtoff)
    ours = first_change(year, lambda seconds: datetime.fromtimestamp(seconds, made).utcoffset())
    print(f"TZ={rule} in {year}: C library {libc}, zoneinfo {ours}")
    return libc == ours


print(f"CPython {platform.python_version()}, {' '.join(platform.libc_ver())}")
assert compared("AAA0BBB,M3.1.0/12,M10.1.0/12", 2026)
assert compared("AAA0BBB,J60/12,J300/12", 2028)
days = compared("AAA0BBB,59/12,299/12", 2026)
leap = compared("AAA0BBB,J59/12,J300/12", 2028)
if not days and not leap:
    print("still so: the same rule means two different days")
else:
    sys.exit("changed: at least one of the rules means the same day")
PYTHON
