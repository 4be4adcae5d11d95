"""Run in the guest at each boot: installs healthd at the first, runs the cases at the second."""

import asyncio
import json
import subprocess
import time
import traceback
from pathlib import Path
from typing import Any

_PLAN = Path("/payload/plan.json")
_STAGE = Path("/var/lib/system-test-stage")
_RESULTS = Path("/dev/ttyS1")
# Several times in what the host allows for silence.
_ALIVE_S = 60.0


def report(message: dict[str, Any]) -> None:
    """Tell the host, in one line."""
    with _RESULTS.open("wb", buffering=0) as line:
        line.write(json.dumps(message).encode() + b"\n")


def main() -> None:
    """Do what this boot is for."""
    # A serial line translates line ends and echoes, unless told not to.
    subprocess.run(["stty", "-F", str(_RESULTS), "raw", "-echo"], check=True)
    then = "poweroff"
    stage = _STAGE.read_text() if _STAGE.exists() else "install"
    try:
        if stage == "install":
            _install()
            then = "reboot"
        elif stage == "run":
            # Before anything else: where the kernel falls over, the next boot is the third.
            _STAGE.write_text("over")
            asyncio.run(_run(json.loads(_PLAN.read_text())))
        else:
            report({"event": "over", "why": "the machine booted again in the middle of the cases"})
    except Exception:
        report({"event": "over", "why": traceback.format_exc()})
    finally:
        subprocess.run(["systemctl", "--no-block", then], check=True)


def _install() -> None:
    from tests.system.guest import install

    began_at = time.monotonic()
    install.prepare()
    install.make("install")
    _STAGE.write_text("run")
    report({"event": "installed", "seconds": round(time.monotonic() - began_at, 1)})


async def _run(plan: dict[str, Any]) -> None:
    from tests.system.guest.case import run_case
    from tests.system.guest.cases import CASES, LAST
    from tests.system.guest.radio import RadioLog
    from tests.system.guest.soak import soak_case

    report({"event": "running"})
    living = asyncio.create_task(_say_that_it_lives())
    cases = CASES | {"soak": soak_case(plan["soak_s"], plan["seed"])}
    log = RadioLog()
    for name in sorted(plan["cases"], key=lambda name: name == LAST):
        outcome = await run_case(cases[name], log)
        report({"event": "outcome", **outcome.message()})
    report({"event": "over", "why": ""})
    living.cancel()


async def _say_that_it_lives() -> None:
    # By the same event loop as the cases: when that hangs, the host hears no more.
    while True:
        await asyncio.sleep(_ALIVE_S)
        report({"event": "alive"})


main()
