"""A name server that does not answer keeps no command from ending."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.process import clean_environment

# How long a look-up takes; three silent name servers take 27 to 40 s.
_LOOK_UP_S = 50

# For the start on a busy machine.
_START_S = 30.0

# A healthy process ends within a second; one that waits for the look-up takes at least 40 s.
_END_S = 15.0

_SCRIPT = f"""
import runpy, socket, sys, time
known = socket.getaddrinfo
def look_up(host, *rest, **more):
    if host not in ("silent.example", b"silent.example"):
        return known(host, *rest, **more)
    print("ASKED", flush=True)
    time.sleep({_LOOK_UP_S})
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
socket.getaddrinfo = look_up
sys.argv[0] = "healthd"
runpy.run_module("healthd", run_name="__main__", alter_sys=True)
"""

SETTINGS = """
[mqtt]
brokers = ["silent.example"]
[outbox]
directory = "{folder}/outbox"
max_size = "1MB"
"""


async def started(folder: Path, *command: str) -> asyncio.subprocess.Process:
    """Start a command of healthd, and wait until it looks the name up."""
    config = folder / "healthd.toml"
    config.write_text(SETTINGS.format(folder=folder))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SCRIPT, *command, "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=clean_environment() | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/nowhere"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(_START_S):
        while await process.stdout.readline() != b"ASKED\n":
            pass
    return process


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [("run", signal.SIGTERM, 0), ("watch", signal.SIGINT, None)],
)
async def test_it_stops_while_it_looks_a_name_up(
    tmp_path: Path, command: str, number: signal.Signals, code: int | None
) -> None:
    process = await started(tmp_path, command)
    since = time.monotonic()
    os.kill(process.pid, number)
    async with asyncio.timeout(_LOOK_UP_S):
        await process.communicate()
    assert time.monotonic() - since < _END_S
    assert code is None or process.returncode == code


async def test_doctor_says_that_there_is_no_answer(tmp_path: Path) -> None:
    process = await started(tmp_path, "doctor", "--json")
    since = time.monotonic()
    async with asyncio.timeout(_LOOK_UP_S):
        out, _ = await process.communicate()
    assert b"cannot resolve silent.example: no answer in 10 s" in out
    assert time.monotonic() - since < 10 + _END_S
