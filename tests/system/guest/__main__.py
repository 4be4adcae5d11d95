"""Runs in the guest at each boot: the first installs healthd, the second runs the cases."""

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
# Several times within the silence that the host allows.
_ALIVE_S = 60.0


def report(message: dict[str, Any]) -> None:
    """Send a message to the host, in one line."""
    with _RESULTS.open("wb", buffering=0) as line:
        line.write(json.dumps(message).encode() + b"\n")


def main() -> None:
    """Do what this boot is for."""
    # By default a serial line translates line ends and echoes.
    subprocess.run(["stty", "-F", str(_RESULTS), "raw", "-echo"], check=True)
    then = "poweroff"
    stage = _STAGE.read_text() if _STAGE.exists() else "install"
    try:
        if stage == "install":
            _install()
            then = "reboot"
        elif stage == "run":
            # First of all: if the kernel crashes, the next boot must not run the cases again.
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
    from tests.system.guest.comparison import comparison_case
    from tests.system.guest.radio import RadioLog
    from tests.system.guest.soak import soak_case

    report({"event": "running"})
    living = asyncio.create_task(_report_alive(), name="alive")
    cases = CASES | {
        "soak": soak_case(plan["soak_s"], plan["seed"]),
        "comparison": comparison_case(plan["rounds"]),
    }
    log = RadioLog()
    for name in sorted(plan["cases"], key=lambda name: name == LAST):
        outcome = await run_case(cases[name], log)
        report({"event": "outcome", **outcome.message()})
    report({"event": "over", "why": ""})
    living.cancel()


async def _report_alive() -> None:
    # In the same event loop as the cases: if that hangs, these messages stop.
    while True:
        await asyncio.sleep(_ALIVE_S)
        report({"event": "alive"})


main()
