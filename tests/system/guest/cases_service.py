"""healthd as a unit of systemd: what it refuses, and what comes of a healthd that hangs."""

import shutil
from pathlib import Path

from tests.system.guest import vm
from tests.system.guest.case import case
from tests.system.guest.vm import Failed, until
from tests.system.guest.world import SERVICE, World, drop_in

_SETTINGS = Path("/etc/healthd/healthd.toml")
_HOOKS = Path("/run/healthd-hooks")
# Python runs it at its start: on SIGUSR1 the event loop's thread is busy for good.
_HOOK = """
import signal, time

def block(number, frame):
    time.sleep(3600)

signal.signal(signal.SIGUSR1, block)
"""
_HOOKED = f"""
[Service]
Environment=PYTHONPATH={_HOOKS}
# Its own 60 s would make this the longest case of all.
WatchdogSec=10
"""
_BAD_SETTINGS_EXIT = "78"


@case()
async def bad_settings(world: World) -> None:
    """Bad settings: exit code 78, no second try, and the journal says what is wrong where."""
    world.configure(more="[mqtt]\nbrokers = 5\n[log]\nlevle = 'info'")
    await world.start()

    async def failed() -> bool:
        return (await world.service_state())["ActiveState"] == "failed"

    await until(failed, "the service fails", 60)
    # Longer than RestartSec: a loop would have begun.
    try:
        await until(lambda: vm.is_active(SERVICE), "it is restarted", 8)
    except Failed:
        pass
    else:
        raise Failed("systemd restarted it")
    state = await world.service_state()
    if state["ExecMainStatus"] != _BAD_SETTINGS_EXIT or state["NRestarts"] != "0":
        raise Failed(f"expected exit code 78 and no restart, found {state}")
    text = "\n".join(await world.journal.lines())
    for key in ("mqtt.brokers", "log.levle"):
        if key not in text:
            raise Failed(f"the journal does not name {key}: {text}")


@case()
async def reload(world: World) -> None:
    """`systemctl reload` with one more peripheral: it streams, and the first one keeps its link."""
    first, second = await world.strap("first"), await world.strap("second")
    world.configure([first])
    await world.start()
    await world.streaming(first)
    process = await vm.main_pid(SERVICE)
    world.configure()
    await vm.run("systemctl", "reload", SERVICE)
    await world.streaming(first, second)
    if ends := world.radio.end_times(first.address):
        raise Failed(f"the first one's link has ended {len(ends)} times")
    state = await world.service_state()
    if (state["ActiveState"], state["MainPID"]) != ("active", str(process)):
        raise Failed(f"expected process {process} to go on, found {state}")


@case()
async def second_instance(world: World) -> None:
    """A second healthd on the same outbox is refused, and the first one goes on."""
    strap = await world.strap()
    await world.start_streaming()
    said = await vm.run(
        *("setpriv", "--reuid=healthd", "--regid=healthd", "--clear-groups"),
        *("env", "STATE_DIRECTORY=/var/lib/healthd", "RUNTIME_DIRECTORY=/run/healthd"),
        *("/opt/healthd/bin/python", "-c", _RUN_AND_TELL),
        timeout_s=60,
    )
    code = said.strip().splitlines()[-1]
    if code in ("0", "-9", ""):
        raise Failed(f"it was not refused: {said}")
    world.notes.append(f"refused with exit code {code}")
    await world.streaming(strap)


# Ends it where it is not refused, and shows its exit code where it is.
_RUN_AND_TELL = """
import subprocess, sys
command = ["/opt/healthd/bin/healthd", "run"]
second = subprocess.Popen(command)
try:
    code = second.wait(timeout=40)
except subprocess.TimeoutExpired:
    second.kill()
    code = second.wait()
print(code)
"""


@case(crashes=True)
async def event_loop_blocked(world: World) -> None:
    """A blocked event loop: systemd's watchdog ends the process, a new one streams."""
    if (await world.service_state())["WatchdogUSec"] in ("0", "infinity"):
        raise Failed("the unit has no watchdog")
    _hook()
    await vm.run("systemctl", "daemon-reload")
    strap = await world.strap()
    await world.start_streaming()
    before = await vm.main_pid(SERVICE)
    async with world.fault():
        await vm.run("systemctl", "kill", "--kill-whom=main", "--signal=USR1", SERVICE)

        async def restarted() -> bool:
            state = await world.service_state()
            return state["MainPID"] not in ("0", str(before)) and state["NRestarts"] != "0"

        await until(restarted, "the watchdog restarts it", 60)
    await world.recovered(strap)
    world.notes.append("WatchdogSec=10 in place of the unit's own")


def _hook() -> None:
    shutil.rmtree(_HOOKS, ignore_errors=True)
    _HOOKS.mkdir()
    (_HOOKS / "sitecustomize.py").write_text(_HOOK)
    drop_in("hook", _HOOKED)


@case()
async def security(world: World) -> None:
    """`systemd-analyze security` finds an exposure of 1.5 at most."""
    said = await vm.run(
        "systemd-analyze", "security", SERVICE, "--threshold=15", "--no-pager", may_fail=True
    )
    verdict = next((line for line in said.splitlines() if "exposure level" in line), said[-300:])
    world.notes.append(verdict.strip().lstrip("→ "))
    level = float(verdict.split(":")[1].split()[0])
    if level > 1.5:
        raise Failed(verdict)
